"""The contract as measurements: what must hold between a model and its bundle, and between ways to call the bundle.

Each check is a function from a case to the error found. Their cases and tolerances stand in `contract.py`. Knows
nothing about files or about how a failure is reported.
"""

from __future__ import annotations

import numpy as np

from export import compare
from export.check import Case, Measurement, Trial
from export.extent import Array
from export.sequences import Sequences, cut


def same_as_torch(trial: Trial, case: Case) -> Measurement:
    """The bundle gives the logits and the state of the model itself, at every position of ragged batches."""
    sequences = case.sequences
    trial.reference.begin(sequences)
    expected = trial.reference.feed(sequences.tokens)
    errors = [compare.relative_rows(trial.player.whole(sequences), expected)]
    for row in range(len(sequences)):
        found = trial.player.states(row)
        wanted = trial.reference.states(row, trial.player.extent(row))
        errors.append(compare.relative_rows(found.values(), (wanted[name] for name in found)))
    return Measurement(max(errors))


def same_in_pieces(trial: Trial, case: Case) -> Measurement:
    """Sequences fed in pieces of `numbers` tokens give the bits of sequences fed whole, rows at different places."""
    single = trial.player.manifest.calls.chunk == "single"
    turns = [case.numbers[row % len(case.numbers) :] + case.numbers for row in range(len(case.sequences))]
    cuts = [cut(len(row), sizes, single) for row, sizes in zip(case.sequences.tokens, turns, strict=True)]
    expected, before = _whole(trial, case.sequences)
    found, after = _in_pieces(trial, case.sequences, cuts)
    return Measurement(max(compare.rows(found, expected), *map(compare.states, after, before)))


def same_token_by_token(trial: Trial, case: Case) -> Measurement:
    """Sequences fed as decode steps, all rows together, give what sequences fed whole give."""
    cuts = [cut(len(row), (1,), single=False) for row in case.sequences.tokens]
    expected, before = _whole(trial, case.sequences)
    found, after = _in_pieces(trial, case.sequences, cuts)
    errors = [compare.relative_rows(left.values(), right.values()) for left, right in zip(after, before, strict=True)]
    return Measurement(max(compare.relative_rows(found, expected), *errors))


def same_with_padding(trial: Trial, case: Case) -> Measurement:
    """A wider grid with other garbage behind the real tokens changes no bit of logits or state."""
    (padding,) = case.numbers
    expected, before = _whole(trial, case.sequences)
    found, after = _whole(trial, case.sequences, padding=padding)
    return Measurement(max(compare.rows(found, expected), *map(compare.states, after, before)))


def same_prompt_in_crowd(trial: Trial, case: Case) -> Measurement:
    """Prompts in one call, from row `numbers[0]` on, give the bits that each of them gives alone."""
    (first,) = case.numbers
    found, states = _whole(trial, case.sequences, first)
    errors = []
    for row in range(len(case.sequences)):
        (alone,), (state,) = _whole(trial, case.sequences.row(row))
        errors += [compare.distance(found[row], alone), compare.states(states[row], state)]
    return Measurement(max(errors))


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
    every = trial.player.whole(case.sequences)
    trial.player.begin(case.sequences)
    output = trial.player.last(case.sequences.tokens)
    expected = np.stack([logits[-1] for logits in every])
    order = np.argsort(-output.logits, axis=1, kind="stable")[:, : trial.player.manifest.top_k]
    sorted_logits = np.take_along_axis(output.logits, order, axis=1)
    named = np.take_along_axis(output.logits, output.top_indices, axis=1)
    pairs = [(output.logits, expected), (output.top_values, sorted_logits), (named, output.top_values)]
    return Measurement(max(compare.distance(found, wanted) for found, wanted in pairs))


def _whole(
    trial: Trial, sequences: Sequences, first: int = 0, padding: int = 0
) -> tuple[list[Array], list[dict[str, Array]]]:
    """Feed sequences in one call; return each row's logits and its state behind them."""
    logits: list[Array] = [*trial.player.whole(sequences, first, padding)]
    return logits, [trial.player.states(first + row) for row in range(len(sequences))]


def _in_pieces(
    trial: Trial, sequences: Sequences, cuts: list[list[slice]]
) -> tuple[list[Array], list[dict[str, Array]]]:
    """Feed every row its tokens in the given pieces; return each row's logits and its state behind them."""
    trial.player.begin(sequences)
    found: list[list[Array]] = [[] for _ in cuts]
    for turn in range(max(map(len, cuts))):
        pieces = {row: sequences.tokens[row][cut[turn]] for row, cut in enumerate(cuts) if turn < len(cut)}
        for row, logits in trial.player.feed(pieces).items():
            found[row].append(logits)
    return [np.concatenate(parts) for parts in found], [trial.player.states(row) for row in range(len(cuts))]


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
