"""The tables of docs/performance.md, as Markdown, by the names of the comments between which they stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.peers.catalogue import LANGUAGE, TRANSLATION, System
from benchmarks.peers.cells import Found, megabytes, milliseconds, number, percent, show, value_of
from benchmarks.peers.goals import goals
from benchmarks.peers.growth import ROWS
from benchmarks.peers.results import FAILED, Figures
from benchmarks.tables import table

_RECURRENT = {
    "ours": "seqstream",
    "torch-threads": "torch + grpcio, requests side by side",
    "torch-lock": "torch + grpcio, one step at a time",
    "triton": "torch behind PyTriton, batched by Triton",
}


def tables(machine: Mapping[str, Any], found: Found) -> dict[str, str]:
    """Return all tables."""
    return {
        "where": _where(machine),
        "goals": goals(found),
        "one stream": _one_stream(found),
        **{f"language {streams}": _many(found, streams) for streams in (8, 32)},
        "translation": _translation(found),
        **{kind: _recurrent(found, kind) for kind in ("lstm", "gru")},
        "ratio": _ratio(found),
        **_growth(found),
        "not run": _not_run(found),
    }


def perplexity(found: Found, name: str) -> float | None:
    """Return the perplexity of a system of LANGUAGE."""
    return value_of(found, "language-loss", name, "perplexity")


def loss(found: Found, name: str) -> float | None:
    """Return by which share the perplexity is above that of the weights in float32."""
    own, whole = perplexity(found, name), perplexity(found, "transformers-fp32")
    return None if own is None or whole is None else own / whole - 1


def _label(system: System) -> str:
    return f"**{system.label}**" if system.is_ours else system.label


def _where(machine: Mapping[str, Any]) -> str:
    versions = [f"{name} {version}" for name, version in {**machine["peers"], **machine["ours"]}.items()]
    features = ", ".join(machine["features"])
    return (
        f"Measured on {machine['date']}: {machine['processor']}, {machine['cores']} cores ({features}), "
        f"{machine['memory_bytes'] / 2**30:.0f} GB, Python {machine['python']}, {machine['threads']} threads in every "
        f"system; {', '.join(versions)}."
    )


def _one_stream(found: Found) -> str:
    return table(
        ("", "decode tokens/s", "first token of 128", "memory", "perplexity", "loss"),
        [
            (
                _label(one),
                show(value_of(found, "language-1", one.name, "decode_tokens_per_second"), number),
                show(value_of(found, "language-first-token", one.name, "first_token_seconds"), milliseconds),
                show(value_of(found, "language-1", one.name, "resident_bytes"), megabytes),
                show(perplexity(found, one.name), lambda value: f"{value:.3f}"),
                show(loss(found, one.name), percent),
            )
            for one in LANGUAGE
        ],
    )


def _many(found: Found, streams: int) -> str:
    case = f"language-{streams}"
    return table(
        ("", "output tokens/s", "gap 50 %", "gap 99 %", "first token 50 %", "memory", "loss"),
        [(_label(one), *_row(found, case, one.name), show(loss(found, one.name), percent)) for one in LANGUAGE],
    )


def _row(found: Found, case: str, name: str) -> Sequence[str]:
    return (
        show(value_of(found, case, name, "tokens_per_second"), number),
        *(show(value_of(found, case, name, f"{figure}_seconds{at}"), milliseconds)
          for figure, at in (("gap", "_50"), ("gap", "_99"), ("first_token", ""))),
        show(value_of(found, case, name, "resident_bytes"), megabytes),
    )  # fmt: skip


def _translation(found: Found) -> str:
    streams = (1, 8, 32)
    return table(
        ("tokens/s", *(f"{count} streams" for count in streams), "first token at 32", "memory"),
        [
            (
                _label(one),
                *(show(value_of(found, f"translation-{n}", one.name, "tokens_per_second"), number) for n in streams),
                show(value_of(found, "translation-32", one.name, "first_token_seconds"), milliseconds),
                show(value_of(found, "translation-32", one.name, "resident_bytes"), megabytes),
            )
            for one in TRANSLATION
        ],
    )


def _recurrent(found: Found, kind: str) -> str:
    streams = (1, 8, 32, 128)
    return table(
        ("tokens/s", *(f"{count} streams" for count in streams), "gap 99 % at 32"),
        [
            (
                label,
                *(show(value_of(found, f"{kind}-{n}", name, "tokens_per_second"), number) for n in streams),
                show(value_of(found, f"{kind}-32", name, "gap_seconds_99"), milliseconds),
            )
            for name, label in _RECURRENT.items()
        ],
    )


def _ratio(found: Found) -> str:
    figures = ("bare_tokens_per_second", "served_tokens_per_second")
    return table(
        ("32 streams", "bare loop, tokens/s", "served, tokens/s", "served ÷ bare"),
        [
            (
                f"SmolLM2 {name.removeprefix('ours-')}",
                *(show(value_of(found, "ratio", name, figure), number) for figure in figures),
                show(value_of(found, "ratio", name, "served_over_bare"), lambda value: f"{value:.3f}"),
            )
            for name in found.get("ratio", {})
        ],
    )


def _growth(found: Found) -> dict[str, str]:
    growth = {name: one for name, one in found.get("growth", {}).items() if FAILED not in one}
    rows: dict[str, list[tuple[str, Callable[[Figures, int], str]]]] = {
        "context": [
            (f"a step of {ROWS} rows", lambda one, at: milliseconds(one["seconds"][at])),
            ("cache that it reads", lambda one, at: megabytes(one["cache_bytes"][at])),
        ],
        "streams": [
            ("tokens/s", lambda one, at: number(one["tokens_per_second"][at])),
            ("time a token", lambda one, at: f"{1e6 / one['tokens_per_second'][at]:.0f} µs"),
            ("gap 99 %", lambda one, at: milliseconds(one["gap_seconds_99"][at])),
            ("memory", lambda one, at: megabytes(one["resident_bytes"][at])),
        ],
        "vocabulary": [
            (f"a step of {ROWS} rows", lambda one, at: milliseconds(one["seconds"][at])),
            ("table that it reads", lambda one, at: megabytes(one["table_bytes"][at])),
        ],
        "prompt": [
            ("first token", lambda one, at: milliseconds(one["seconds"][at])),
            ("a token of the prompt", lambda one, at: f"{1e6 * one['seconds'][at] / one['x'][at]:.0f} µs"),
        ],
    }
    return {
        f"growth {name}": table(
            (name, *(f"{x:,.0f}" for x in one["x"])),
            [(label, *(form(one, at) for at in range(len(one["x"])))) for label, form in rows[name]],
        )
        for name, one in growth.items()
    }


def _not_run(found: Found) -> str:
    labels = {one.name: one.label for one in LANGUAGE}
    rows = [
        (labels.get(name, name), case, str(one[FAILED]))
        for case, systems in found.items()
        for name, one in systems.items()
        if FAILED in one
    ]
    return table(("system", "case", "reason"), rows) if rows else "Everything ran."
