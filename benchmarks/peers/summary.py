"""The tables of docs/performance.md, as Markdown, by the names of the comments between which they stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.peers.catalogue import LANGUAGE, TRANSLATION, System
from benchmarks.peers.growth import ROWS
from benchmarks.peers.results import FAILED, Figures
from benchmarks.tables import table

Found = Mapping[str, Mapping[str, Figures]]
_NOTHING = "–"
_BITS = {32: "fp32", 8: "8 bit", 4: "4 bit"}
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
        "goals": _goals(found),
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
    return _value(found, "language-loss", name, "perplexity")


def loss(found: Found, name: str) -> float | None:
    """Return by which share the perplexity is above that of the weights in float32."""
    own, whole = perplexity(found, name), perplexity(found, "transformers-fp32")
    return None if own is None or whole is None else own / whole - 1


def _value(found: Found, case: str, name: str, figure: str) -> float | None:
    value = found.get(case, {}).get(name, {}).get(figure)
    return None if value is None else float(value)


def _show(value: float | None, form: Callable[[float], str]) -> str:
    return _NOTHING if value is None else form(value)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:,.0f} ms" if seconds >= 0.01 else f"{1e3 * seconds:.1f} ms"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"


def _percent(share: float) -> str:
    return f"{100 * share:+.1f} %"


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
                _show(_value(found, "language-1", one.name, "decode_tokens_per_second"), _number),
                _show(_value(found, "language-first-token", one.name, "first_token_seconds"), _ms),
                _show(_value(found, "language-1", one.name, "resident_bytes"), _megabytes),
                _show(perplexity(found, one.name), lambda value: f"{value:.3f}"),
                _show(loss(found, one.name), _percent),
            )
            for one in LANGUAGE
        ],
    )


def _many(found: Found, streams: int) -> str:
    case = f"language-{streams}"
    return table(
        ("", "output tokens/s", "gap 50 %", "gap 99 %", "first token 50 %", "memory", "loss"),
        [(_label(one), *_row(found, case, one.name), _show(loss(found, one.name), _percent)) for one in LANGUAGE],
    )


def _row(found: Found, case: str, name: str) -> Sequence[str]:
    return (
        _show(_value(found, case, name, "tokens_per_second"), _number),
        *(_show(_value(found, case, name, f"{figure}_seconds{at}"), _ms)
          for figure, at in (("gap", "_50"), ("gap", "_99"), ("first_token", ""))),
        _show(_value(found, case, name, "resident_bytes"), _megabytes),
    )  # fmt: skip


def _translation(found: Found) -> str:
    streams = (1, 8, 32)
    return table(
        ("tokens/s", *(f"{count} streams" for count in streams), "first token at 32", "memory"),
        [
            (
                _label(one),
                *(_show(_value(found, f"translation-{n}", one.name, "tokens_per_second"), _number) for n in streams),
                _show(_value(found, "translation-32", one.name, "first_token_seconds"), _ms),
                _show(_value(found, "translation-32", one.name, "resident_bytes"), _megabytes),
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
                *(_show(_value(found, f"{kind}-{n}", name, "tokens_per_second"), _number) for n in streams),
                _show(_value(found, f"{kind}-32", name, "gap_seconds_99"), _ms),
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
                *(_show(_value(found, "ratio", name, figure), _number) for figure in figures),
                _show(_value(found, "ratio", name, "served_over_bare"), lambda value: f"{value:.3f}"),
            )
            for name in found.get("ratio", {})
        ],
    )


def _growth(found: Found) -> dict[str, str]:
    growth = {name: one for name, one in found.get("growth", {}).items() if FAILED not in one}
    rows: dict[str, list[tuple[str, Callable[[Figures, int], str]]]] = {
        "context": [
            (f"a step of {ROWS} rows", lambda one, at: _ms(one["seconds"][at])),
            ("cache that it reads", lambda one, at: _megabytes(one["cache_bytes"][at])),
        ],
        "streams": [
            ("tokens/s", lambda one, at: _number(one["tokens_per_second"][at])),
            ("time a token", lambda one, at: f"{1e6 / one['tokens_per_second'][at]:.0f} µs"),
            ("gap 99 %", lambda one, at: _ms(one["gap_seconds_99"][at])),
            ("memory", lambda one, at: _megabytes(one["resident_bytes"][at])),
        ],
        "vocabulary": [
            (f"a step of {ROWS} rows", lambda one, at: _ms(one["seconds"][at])),
            ("table that it reads", lambda one, at: _megabytes(one["table_bytes"][at])),
        ],
        "prompt": [
            ("first token", lambda one, at: _ms(one["seconds"][at])),
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


def _goals(found: Found) -> str:
    """Return ours against the best peer at equal bits, where both have figures."""
    rows = [
        ("SmolLM2, one stream, decode", "language-1", "decode_tokens_per_second", LANGUAGE),
        ("SmolLM2, first token of 128", "language-first-token", "first_token_seconds", LANGUAGE),
        ("SmolLM2, 8 streams", "language-8", "tokens_per_second", LANGUAGE),
        ("SmolLM2, 32 streams", "language-32", "tokens_per_second", LANGUAGE),
        ("Marian's size, 1 stream", "translation-1", "tokens_per_second", TRANSLATION),
        ("Marian's size, 8 streams", "translation-8", "tokens_per_second", TRANSLATION),
        ("Marian's size, 32 streams", "translation-32", "tokens_per_second", TRANSLATION),
    ]
    lines = [line for row in rows for bits in _BITS for line in _compared(found, *row, bits)]
    for kind in ("lstm", "gru"):
        lines += _against_torch(found, kind)
    return table(("work", "weights", "seqstream", "best peer", "ours ÷ theirs"), lines)


def _compared(
    found: Found, work: str, case: str, figure: str, systems: Sequence[System], bits: int
) -> list[Sequence[str]]:
    values = {one.name: _value(found, case, one.name, figure) for one in systems if one.bits == bits}
    known = {one: values[one.name] for one in systems if values.get(one.name) is not None}
    ours = {one: value for one, value in known.items() if one.is_ours}
    peers = {one: value for one, value in known.items() if not one.is_ours}
    if not ours or not peers:
        return []
    seconds = figure.endswith("seconds")
    best = min if seconds else max
    own, other = (best(group, key=lambda one: group[one] or 0.0) for group in (ours, peers))
    form = _ms if seconds else _number
    ratio = (ours[own] or 0.0) / (peers[other] or 1.0)
    shown = [f"{form(value or 0.0)} ({one.label})" for one, value in ((own, ours[own]), (other, peers[other]))]
    return [(work, _BITS[bits], *shown, f"{ratio:.2f}")]


def _against_torch(found: Found, kind: str) -> list[Sequence[str]]:
    ours = _value(found, f"{kind}-32", "ours", "tokens_per_second")
    peers = [_value(found, f"{kind}-32", name, "tokens_per_second") for name in _RECURRENT if name != "ours"]
    best = max((value for value in peers if value is not None), default=None)
    if ours is None or best is None:
        return []
    return [
        (
            f"{kind.upper()}, 32 streams",
            "fp32",
            _number(ours),
            f"{_number(best)} (the best of torch's)",
            f"{ours / best:.1f}",
        )
    ]
