"""Ours against the best peer at equal bits, in one table."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.peers.catalogue import LANGUAGE, TRANSLATION, System
from benchmarks.peers.cells import Found, milliseconds, number, value_of
from benchmarks.tables import table

_BITS = {32: "fp32", 8: "8 bit", 4: "4 bit"}
TORCH = ("torch-threads", "torch-lock", "triton")


def goals(found: Found) -> str:
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
    values = {one.name: value_of(found, case, one.name, figure) for one in systems if one.bits == bits}
    known = {one: values[one.name] for one in systems if values.get(one.name) is not None}
    ours = {one: value for one, value in known.items() if one.is_ours}
    peers = {one: value for one, value in known.items() if not one.is_ours}
    if not ours or not peers:
        return []
    seconds = figure.endswith("seconds")
    best = min if seconds else max
    own, other = (best(group, key=lambda one: group[one] or 0.0) for group in (ours, peers))
    form = milliseconds if seconds else number
    ratio = (ours[own] or 0.0) / (peers[other] or 1.0)
    shown = [f"{form(value or 0.0)} ({one.label})" for one, value in ((own, ours[own]), (other, peers[other]))]
    return [(work, _BITS[bits], *shown, f"{ratio:.2f}")]


def _against_torch(found: Found, kind: str) -> list[Sequence[str]]:
    ours = value_of(found, f"{kind}-32", "ours", "tokens_per_second")
    peers = [value_of(found, f"{kind}-32", name, "tokens_per_second") for name in TORCH]
    best = max((value for value in peers if value is not None), default=None)
    if ours is None or best is None:
        return []
    return [
        (
            f"{kind.upper()}, 32 streams",
            "fp32",
            number(ours),
            f"{number(best)} (the best of torch's)",
            f"{ours / best:.1f}",
        )
    ]
