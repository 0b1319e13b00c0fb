"""The contract of a bundle: every check of the parity gate, its tolerance and the cases it tries.

This table is what `docs/bundle.md` promises. A tolerance of 0 means to the bit: what a row computes may depend on
nothing but its own tokens, however a server cuts and mixes them. Between PyTorch and ONNX Runtime, and between the
kernels for one token and for many, sums are taken in another order and float32 differs in its last places.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle

from export.check import Case, Check
from export.checks import (
    same_as_torch,
    same_decode_in_crowd,
    same_in_pieces,
    same_prompt_in_crowd,
    same_token_by_token,
    same_where_asked,
    same_with_padding,
)
from export.greedy import same_greedy_tokens
from export.sequences import Maker
from export.state_checks import ROWS, copies_are_equal, only_own_state, rewound_rows_are_equal

# Rows of the largest crowd: one more than the server's default, so that every smaller number of rows is met as well.
CROWD = 33
GREEDY_TOKENS = 200
# How far a rounded graph may be from itself where kernels differ, as a share of the largest value.
ROUNDED = 0.2
# The same for half precision on a GPU.
HALF = 0.05

# Between kernels that sum in another order.
_ROUNDING = 1e-4

_PIECES = ((16,), (2, 3), (1, 7, 32, 16, 40), (1,))
_PADDING = (1, 6, 2)
_REWINDS = ((1, 0, 1), (5, 2, 3), (9, 3, 12))  # tokens before, kept and forgotten
# Small pieces, and decode steps, of one row of a large model: what is before them goes in one piece.
_LARGE_PIECES, _LARGE_STEPS = 8, 32


def contract() -> tuple[Check, ...]:
    """Return the checks in the order in which they run: first what most often goes wrong."""
    return (
        Check("torch", _ROUNDING, _grid, same_as_torch),
        Check("padding", 0.0, _padded, same_with_padding),
        Check("pieces", 0.0, _pieces, same_in_pieces),
        Check("token by token", _ROUNDING, _long, same_token_by_token),
        Check("prompt in a crowd", 0.0, _crowds, same_prompt_in_crowd),
        Check("decode in a crowd", 0.0, _decoding, same_decode_in_crowd),
        Check("logits where asked", 0.0, _long, same_where_asked),
        Check("own state only", 0.0, _steps, only_own_state),
        Check("copied rows", 0.0, _copies, copies_are_equal),
        Check("rewound rows", 0.0, _rewound, rewound_rows_are_equal),
        Check("greedy", 1e-5, greedy_cases, same_greedy_tokens),
    )


def against_model() -> tuple[Check, ...]:
    """Return the checks that compare with the model itself, or are as sharp: for graphs that will be rounded next."""
    return tuple(check for check in contract() if check.tolerance)


def rounded_contract(*, twice: bool = False) -> tuple[Check, ...]:
    """Return what graphs with rounded weights and values keep: every bit that fp32 keeps.

    Token by token another kernel sums in another order; where a value lies between two steps of a rounding, that moves
    it by a whole step, and what follows with it.

    twice: whether prompts are rounded otherwise than single tokens, so that what both are off comes together.
    """
    most = 2 * ROUNDED if twice else ROUNDED
    checks = (replace(check, tolerance=most) if check.tolerance else check for check in contract())
    return tuple(check for check in checks if check.name not in ("torch", "greedy"))


def half_contract() -> tuple[Check, ...]:
    """Return what graphs in half precision keep on a GPU, whose kernels depend on the shape of a call: no bits."""
    exact = ("own state only", "copied rows")
    checks = (check if check.name in exact else replace(check, tolerance=HALF) for check in contract())
    return tuple(check for check in checks if check.name not in ("torch", "greedy"))


def greedy_cases(maker: Maker) -> list[Case]:
    """Return prompts whose continuations are at least GREEDY_TOKENS together; `numbers` holds how many for each."""
    prompt = min(4, maker.limit // 2)
    steps = min(50, maker.limit - prompt)
    rows = -(-GREEDY_TOKENS // steps)
    return [Case(maker.of_lengths([prompt] * rows), (steps,), f"+ {steps}")]


def rows_needed(maker: Maker) -> int:
    """Return how many rows the largest case has, with room for one that starts at row 2."""
    return max(CROWD, *(len(case.sequences) for case in greedy_cases(maker)), ROWS) + 2


def _grid(maker: Maker) -> list[Case]:
    return [Case(sequences) for sequences in maker.grid()]


def _padded(maker: Maker) -> list[Case]:
    # A prompt is never padded beyond the context: no row of its call is longer.
    return [
        Case(sequences, (padding,), f"padded by {padding}")
        for sequences, padding in zip(maker.grid(), cycle(_PADDING), strict=False)
        if sequences.longest + padding <= maker.limit
    ]


def _pieces(maker: Maker) -> list[Case]:
    most = _LARGE_PIECES if maker.large else 0
    return [
        Case(maker.batch(3, length), (most, *sizes), f"in {'+'.join(map(str, sizes))}")
        for length in maker.lengths
        for sizes in _PIECES
        if length > sizes[0]
    ]


def _long(maker: Maker) -> list[Case]:
    most = _LARGE_STEPS if maker.large else maker.limit
    return [Case(maker.batch(3, length), (most,)) for length in maker.lengths if length > 1]


def _crowds(maker: Maker) -> list[Case]:
    crowd = Case(maker.ragged(CROWD, min(33, maker.longest)), (0,))
    grid = [Case(sequences, (2,), "from row 2") for sequences in maker.grid() if len(sequences) > 1]
    return [*grid, Case(maker.one_of_each(), (1,), "one of each length"), crowd]


def _decoding(maker: Maker) -> list[Case]:
    prompts = [min(1 + row * 5 % 7, maker.limit // 2) for row in range(CROWD)]
    lengths = [min(prompt + CROWD - row, maker.limit) for row, prompt in enumerate(prompts)]
    return [Case(maker.of_lengths(lengths), tuple(prompts), "one row less at every step")]


def _steps(maker: Maker) -> list[Case]:
    sizes = (2, 1)
    room = maker.limit - sum(sizes)
    lengths = [min(room, length) + sum(sizes) for length in (7, 3, 1, 5, 2)]
    return [Case(maker.of_lengths(lengths), sizes, "steps of 2 and 1")] if room > 0 else []


def _copies(maker: Maker) -> list[Case]:
    prompt, steps = min(5, maker.limit // 2), min(4, maker.limit // 2)
    return [Case(maker.of_lengths([prompt + steps, prompt]), (prompt,), f"+ {steps} after the copy")]


def _rewound(maker: Maker) -> list[Case]:
    if not maker.rewinds:
        return []
    return [
        Case(
            maker.of_lengths([prompt + kept + max(3, forgotten)] * 2),
            (prompt, kept, forgotten),
            f"{kept} kept, {forgotten} forgotten",
        )
        for prompt, kept, forgotten in _REWINDS
        if prompt + kept + max(3, forgotten) <= maker.limit
    ]
