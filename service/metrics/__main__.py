"""`python -m service.metrics`: prints every metric, as a table in Markdown."""

from __future__ import annotations

from service.metrics.catalogue import GROUPS, PREFIX, Metric

_HEAD = ("| metric | kind | labels | what it tells | elsewhere |", "|---|---|---|---|---|")


def table() -> str:
    """Return the table of docs/metrics.md."""
    parts = []
    for group, metrics in GROUPS.items():
        parts.append("\n".join([f"### {group}\n", *_HEAD, *map(_line, metrics)]))
    return "\n\n".join(parts)


def _line(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    name = metric.full_name if metric.bounds else metric.series
    known = [f"vllm:{name.removeprefix(PREFIX)}"] if metric.vllm else []
    elsewhere = ", ".join(f"`{other}`" for other in [*known, *([metric.otel] if metric.otel else [])])
    return f"| `{name}` | {metric.kind} | {labels} | {metric.documentation} | {elsewhere} |"


if __name__ == "__main__":
    print(table())
