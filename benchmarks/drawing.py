"""The pictures of docs/scaling.md: what was measured are dots, what was computed are lines."""

from __future__ import annotations

import math
from pathlib import Path

from matplotlib.axes import Axes

from benchmarks.computed import Computed
from benchmarks.measured import MODELS
from benchmarks.queueing import Waiting
from training.style import COLOURS, picture


def draw(computed: Computed, folder: Path) -> None:
    """Write scaling.png and scaling-change.png into `folder`."""
    with picture(folder / "scaling.png", 2, "Measured (dots) and computed (lines)") as (servers, waits):
        _servers(computed, servers)
        _waits(computed.by_load, waits)
    with picture(
        folder / "scaling-change.png", 2, "Computed: what to scale on, and what ageing connections do"
    ) as axes:
        _readings(computed, axes[0])
        _ages(computed, axes[1])


def _servers(computed: Computed, axes: Axes) -> None:
    checks = [one for one in computed.checks if one.run.model == MODELS[0]]
    names = list(dict.fromkeys(one.run.balancer for one in checks))
    for number, name in enumerate(names):
        own = [one for one in checks if one.run.balancer == name]
        x = [one.run.servers * 1.04 ** (number - len(names) // 2) for one in own]
        rates = [one.run.seen.tokens_per_second for one in own]
        axes.plot(x, rates, "o", color=COLOURS[number], label=f"measured: {name}", zorder=3)
    balanced = [one for one in checks if one.run.balancer == "round_robin"]
    counts = [one.run.servers for one in balanced]
    axes.plot(counts, [one.tokens_per_second for one in balanced], color="#555555", label="computed: these cores")
    axes.plot(counts, [one.alone for one in balanced], "--", color="#555555", label="computed: a core each")
    axes.set(title="64 streams of a Transformer LM", xlabel="servers of one thread", ylabel="tokens/s", xscale="log")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)


def _waits(found: list[Waiting], axes: Axes) -> None:
    for number, policy in enumerate(dict.fromkeys(one.policy for one in found)):
        own = [one for one in found if one.policy == policy]
        axes.plot([one.x for one in own], [one.worst for one in own], color=COLOURS[number], label=policy)
    axes.set(title="Computed: 100 replicas, one core each", xlabel="load", yscale="log")
    axes.set_ylabel("first token, 99th percentile (s)")
    axes.legend(fontsize=8)


def _readings(computed: Computed, axes: Axes) -> None:
    loads = [one.load for one in computed.readings]
    axes.plot(loads, [one.busy for one in computed.readings], color=COLOURS[1], label="CPU: replicas that compute")
    axes.plot(loads, [one.rows for one in computed.readings], color=COLOURS[0], label="rows that run")
    axes.set(title="Metrics by load", xlabel="load", ylabel="share")
    waiting = axes.twinx()
    waiting.plot(loads, [one.waiting for one in computed.readings], color=COLOURS[2])
    axes.plot([], [], color=COLOURS[2], label="streams waiting a replica (right)")
    waiting.set_ylabel("streams", color=COLOURS[2])
    waiting.grid(visible=False)
    # Room for the legend above the lines.
    axes.set_ylim(top=1.35)
    axes.set_yticks((0, 0.2, 0.4, 0.6, 0.8, 1.0))
    waiting.set_ylim(top=1.35 * max(one.waiting for one in computed.readings))
    axes.legend(fontsize=8, loc="upper left")


def _ages(computed: Computed, axes: Axes) -> None:
    for number, (age, shares) in enumerate(computed.spreading.items()):
        label = "never dialled anew" if math.isinf(age) else f"dialled anew after {age:g} s"
        axes.plot(*zip(*shares, strict=True), color=COLOURS[number], label=label)
    axes.axhline(0.5, color="#8a8a8a", linewidth=1, linestyle=":")
    axes.set(title="10 replicas join 10", xlabel="seconds since", ylabel="share of new streams on the new replicas")
    axes.legend(fontsize=8, loc="center right")
