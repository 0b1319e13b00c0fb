"""The contract as measurements: what must hold between a model and its bundle, and between ways to call the bundle.

Each check is a function from a case to the error found. Their cases and tolerances stand in `contract.py`. Knows
nothing about files or about how a failure is reported.
"""

from __future__ import annotations

import numpy as np

from export import compare
from export.check import Case, Measurement, Trial, Whole
from export.extent import Array
from export.sequences import Sequences, cut

# States are values on the way, and may be further off than what comes out: the cache of the 28th of SmolLM2-135M's
# layers was found 1.03e-4 from PyTorch's where the logits were within 4.2e-5.
_STATE_SHARE = 0.2


def same_as_torch(trial: Trial, case: Case) -> Measurement:
    """The bundle gives the logits and the state of the model itself, at every position of ragged batches."""
    expected = trial.expected(case.sequences)
    return _close(trial.whole(case.sequences), expected)


def same_in_pieces(trial: Trial, case: Case) -> Measurement:
    """Sequences fed in pieces of `numbers` tokens give the bits of sequences fed whole, rows at different places.

    numbers: sizes, and before them how many of the smallest pieces there may be at most (0: any number).
    """
    most, *sizes = case.numbers
    calls = trial.player.manifest.calls
    turns = [sizes[row % len(sizes) :] + sizes for row in range(len(case.sequences))]
    rows = zip(case.sequences.tokens, turns, strict=True)
    cuts = [cut(len(row), sizes, calls, most or None) for row, sizes in rows]
    return _equal(_in_pieces(trial, case.sequences, cuts), trial.whole(case.sequences))


def same_token_by_token(trial: Trial, case: Case) -> Measurement:
    """Sequences fed as decode steps, all rows together, give what sequences fed whole give.

    numbers: at most how many steps; what is above goes first, in one piece.
    """
    (most,) = case.numbers
    cuts = [cut(len(row), (1,), None, most=most) for row in case.sequences.tokens]
    return _close(_in_pieces(trial, case.sequences, cuts), trial.whole(case.sequences))


def same_with_padding(trial: Trial, case: Case) -> Measurement:
    """A wider grid with other garbage behind the real tokens changes no bit of logits or state."""
    (padding,) = case.numbers
    return _equal(trial.feed(case.sequences, padding=padding), trial.whole(case.sequences))


def same_prompt_in_crowd(trial: Trial, case: Case) -> Measurement:
    """Prompts in one call, from row `numbers[0]` on, give the bits that each of them gives alone."""
    (first,) = case.numbers
    return _equal(trial.feed(case.sequences, first), trial.alone(case.sequences))


def same_decode_in_crowd(trial: Trial, case: Case) -> Measurement:
    """Rows that decode together, fewer at every step, give the bits that each of them gives alone.

    numbers: length of each row's prompt, which is fed before; the rows are sorted by the length of what follows.
    """
    together = _decode(trial, case.sequences, case.numbers)
    errors = []
    for row, prompt in enumerate(case.numbers):
        (alone,) = _decode(trial, case.sequences.row(row), (prompt,))
        errors.append(compare.rows(together[row], alone))
    return Measurement(max(errors))


def same_where_asked(trial: Trial, case: Case) -> Measurement:
    """Logits of last positions alone are the bits of those among all positions; the top ones are sorted and theirs."""
    every = trial.whole(case.sequences)
    trial.player.begin(case.sequences)
    output = trial.player.last(case.sequences.tokens)
    expected = np.stack([whole.logits[-1] for whole in every])
    order = np.argsort(-output.logits, axis=1, kind="stable")[:, : trial.player.manifest.top_k]
    sorted_logits = np.take_along_axis(output.logits, order, axis=1)
    named = np.take_along_axis(output.logits, output.top_indices, axis=1)
    pairs = [(output.logits, expected), (output.top_values, sorted_logits), (named, output.top_values)]
    return Measurement(max(compare.distance(found, wanted) for found, wanted in pairs))


def _equal(found: list[Whole], expected: list[Whole]) -> Measurement:
    """Measure how far rows are from the same bits."""
    errors = []
    for left, right in zip(found, expected, strict=True):
        errors += [compare.distance(left.logits, right.logits), compare.states(left.state, right.state)]
    return Measurement(max(errors))


def _close(found: list[Whole], expected: list[Whole]) -> Measurement:
    """Measure how far rows are from the same values, as shares of the largest; of states a fifth of that."""
    errors = []
    for left, right in zip(found, expected, strict=True):
        states = (right.state[name] for name in left.state)
        state = compare.relative_rows(left.state.values(), states)
        errors += [compare.relative(left.logits, right.logits), state * _STATE_SHARE]
    return Measurement(max(errors))


def _in_pieces(trial: Trial, sequences: Sequences, cuts: list[list[slice]]) -> list[Whole]:
    """Feed every row its tokens in the given pieces."""
    trial.player.begin(sequences)
    found: list[list[Array]] = [[] for _ in cuts]
    for turn in range(max(map(len, cuts))):
        pieces = {row: sequences.tokens[row][cut[turn]] for row, cut in enumerate(cuts) if turn < len(cut)}
        for row, logits in trial.player.feed(pieces).items():
            found[row].append(logits)
    return [Whole(np.concatenate(parts), trial.player.states(row)) for row, parts in enumerate(found)]


def _decode(trial: Trial, sequences: Sequences, prompts: tuple[int, ...]) -> list[list[Array]]:
    """Feed prompts, then one token a step to every row that has one left; return the logits of these steps by row."""
    trial.player.begin(sequences)
    trial.player.feed({row: sequences.tokens[row][:prompt] for row, prompt in enumerate(prompts)})
    logits: list[list[Array]] = [[] for _ in prompts]
    for step in range(max(len(row) - prompt for row, prompt in zip(sequences.tokens, prompts, strict=True))):
        places = {row: prompt + step for row, prompt in enumerate(prompts)}
        pieces = {
            row: sequences.tokens[row][place : place + 1]
            for row, place in places.items()
            if place < len(sequences.tokens[row])
        }
        for row, found in trial.player.feed(pieces).items():
            logits[row].append(found)
    return logits
