"""The tables of docs/scaling.md, as Markdown, and how they get into the page: each stands between two comments."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from benchmarks.computed import Computed
from benchmarks.measured import Measured
from benchmarks.queueing import Waiting
from benchmarks.steps import StepTimes

Row = Sequence[str]


def measured_tables(measured: Measured) -> dict[str, str]:
    """Return the tables of what was measured, by name."""
    runs, first = measured.replicas.runs, measured.replicas.first_token
    tables = {
        "where": f"Measured on {measured.day}, {measured.machine}.",
        "rates": table(
            ("model", "", *(f"{rows} rows" for rows in next(iter(measured.rates.values())).bare)),
            [
                (name, label, *(f"{rate:,.0f}" for rate in found.values()))
                for name, rates in measured.rates.items()
                for label, found in (("graph alone", rates.bare), ("served", rates.served))
            ],
        ),
        "balancers": table(
            ("balancer", "first token of a lone call", "more than without", "balancer's CPU time a message"),
            [
                (name, _ms(seconds), f"{1e3 * (seconds - first['none']):+.2f} ms", _cost(measured, name))
                for name, seconds in first.items()
            ],
        ),
    }
    for model in measured.rates:
        tables[f"servers {model}"] = table(
            ("servers", "balancer", "tokens/s", "first token", "gap", "fullest ÷ mean", "CPU: servers, balancer, load"),
            [
                (
                    str(run.servers),
                    run.balancer,
                    f"{run.seen.tokens_per_second:,.0f}",
                    _pair(run.seen.first_token, run.seen.first_token_99),
                    _pair(run.seen.gap, run.seen.gap_99),
                    f"{run.seen.imbalance:.2f}",
                    f"{run.server_cpu:.2f}, {run.balancer_cpu:.2f}, {run.seen.client_cpu:.2f}",
                )
                for run in runs
                if run.model == model
            ],
        )
    return tables


def computed_tables(computed: Computed) -> dict[str, str]:
    """Return the tables of what was computed, by name."""
    return {
        "steps": table(
            ("", "a step of n rows", "tokens/s with 32 rows"),
            [
                (name, _line(step), f"{step.tokens_per_second(32):,.0f}")
                for name, step in {**computed.steps, "published GPU": computed.gpu}.items()
            ],
        ),
        "checks": table(
            (
                "model",
                "servers",
                "balancer",
                "tokens/s: measured",
                "computed",
                "ratio",
                "a core each",
                "first token: measured",
                "computed",
            ),
            [
                (
                    one.run.model,
                    str(one.run.servers),
                    one.run.balancer,
                    f"{one.run.seen.tokens_per_second:,.0f}",
                    f"{one.tokens_per_second:,.0f}",
                    f"{one.run.seen.tokens_per_second / one.tokens_per_second:.2f}",
                    f"{one.alone:,.0f}",
                    _seconds(one.run.seen.first_token),
                    _seconds(one.first_token),
                )
                for one in computed.checks
            ],
        ),
        "load": _waits("load", computed.by_load),
        "load gpu": _waits("load", computed.by_load_gpu),
        "size": _waits("replicas", computed.by_size),
        "proxies": _waits("proxies", computed.by_proxies),
        "largest": table(
            ("balancing", "first token, median and 99 %", "streams at once"),
            [(one.policy, _pair(one.median, one.worst), f"{one.most:,}") for one in computed.largest_gpu],
        ),
        **_change_tables(computed),
    }


def _change_tables(computed: Computed) -> dict[str, str]:
    return {
        "updates": table(
            (
                "at once",
                "where",
                "drain",
                "whole update",
                "replicas that serve",
                "first token",
                "streams cut",
                "tokens made again",
            ),
            [
                (
                    str(one.plan.at_once),
                    "beside the old" if one.plan.surge else "in their place",
                    f"{one.plan.drain:g} s",
                    f"{one.seconds:.0f} s",
                    f"{one.lowest:.0%}",
                    _pair(one.median, one.worst),
                    str(one.cut),
                    f"{one.replayed:.2%}",
                )
                for one in computed.updates
            ],
        ),
        "ages": table(
            ("age of connections", "share of new streams after 30 s", "60 s", "2 min", "5 min", "7 min"),
            [
                ("never" if math.isinf(age) else f"{age:g} s", *_shares(shares, (30, 60, 120, 300, 415)))
                for age, shares in computed.spreading.items()
            ],
        ),
        "readings": table(
            ("load", "replicas that compute (CPU)", "rows that run", "streams waiting a replica"),
            [
                (f"{one.load:g}", f"{one.busy:.0%}", f"{one.rows:.0%}", f"{one.waiting:.1f}")
                for one in computed.readings
            ],
        ),
        "scaled": table(
            ("metric and target", "replicas before", "after", "streams waited > 1 s for", "longest wait"),
            [
                (name, str(one.before), str(one.after), f"{one.slow:.0f} s", f"{one.longest:.1f} s")
                for name, one in computed.scaled.items()
            ],
        ),
    }


def table(header: Row, rows: Iterable[Row]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def replaced(page: str, tables: dict[str, str]) -> str:
    """Return a page with every table whose two comments it has: <!-- NAME --> and <!-- /NAME -->."""
    for name, text in tables.items():
        pattern = rf"(<!-- {re.escape(name)} -->\n).*?(<!-- /{re.escape(name)} -->)"
        page = re.sub(pattern, lambda found, text=text: f"{found[1]}{text}\n{found[2]}", page, flags=re.DOTALL)  # type: ignore[misc]
    return page


def _waits(x: str, found: list[Waiting]) -> str:
    places = sorted({one.x for one in found})
    worst = {(one.policy, one.x): one.worst for one in found}
    policies = list(dict.fromkeys(one.policy for one in found))
    return table(
        (f"99 % of first tokens come within, by {x}", *(f"{place:g}" for place in places)),
        [(policy, *(_seconds(worst[policy, place]) for place in places)) for policy in policies],
    )


def _shares(shares: list[tuple[float, float]], moments: Sequence[float]) -> list[str]:
    return [f"{min(shares, key=lambda one: abs(one[0] - moment))[1]:.0%}" for moment in moments]


def _cost(measured: Measured, balancer: str) -> str:
    runs = [run for run in measured.replicas.runs if run.balancer == balancer]
    costs = [run.balancer_cpu / run.seen.messages_per_second for run in runs]
    return f"{1e6 * sum(costs) / len(costs):.0f} µs" if sum(costs) else "none"


def _line(step: StepTimes) -> str:
    return f"{1e3 * step.fixed:.2f} ms + {1e3 * step.per_row:.3f} ms × n"


def _pair(median: float, worst: float) -> str:
    return f"{_seconds(median)}, {_seconds(worst)}"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.2f} ms"


def _seconds(seconds: float) -> str:
    if seconds < 0.1:
        return f"{1e3 * seconds:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
