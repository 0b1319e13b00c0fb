"""The contract about memory: a step changes the state of its own rows, and of caches only the entries it appends.

Reads whole buffers, filled or not: what a step must not touch includes what nobody has written yet.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from bundle.manifest import StateSpec
from export import compare
from export.check import Case, Measurement, Trial
from export.extent import Array
from export.play import Player
from export.sequences import Ids

ROWS = 5
STEPPING = (1, 2, 3)


def only_own_state(trial: Trial, case: Case) -> Measurement:
    """Steps over rows 1 to 3 of 5 leave rows 0 and 4, static states, and all other entries of caches as they were.

    numbers: how many tokens each of the two steps appends.
    """
    player = trial.player
    prompts = [row[: len(row) - sum(case.numbers)] for row in case.sequences.tokens]
    player.begin(case.sequences)
    player.feed(dict(enumerate(prompts)))
    places = player.used[:ROWS].copy()
    errors = []
    for size in case.numbers:
        before = _buffers(player)
        pieces = {row: case.sequences.tokens[row][places[row] : places[row] + size] for row in STEPPING}
        player.feed(pieces)
        errors += _touched(player.manifest.states, before, _buffers(player), places, size)
        places[list(STEPPING)] += size
    return Measurement(max(errors))


def copies_are_equal(trial: Trial, case: Case) -> Measurement:
    """A row copied to another place (onto what some other row left there) goes on with the same bits.

    numbers: length of the prompts before the copy.
    """
    player = trial.player
    (prompt,) = case.numbers
    tokens: Ids = case.sequences.tokens[0]
    player.begin(case.sequences)
    player.feed({row: ids[:prompt] for row, ids in enumerate(case.sequences.tokens)})
    player.copy(0, 1)
    errors = [compare.states(player.states(1), player.states(0))]
    for place in range(prompt, len(tokens)):
        logits = player.feed(dict.fromkeys((0, 1), tokens[place : place + 1]))
        errors.append(compare.distance(logits[1], logits[0]))
    errors.append(compare.states(player.states(1), player.states(0)))
    return Measurement(max(errors))


def rewound_rows_are_equal(trial: Trial, case: Case) -> Measurement:
    """A row that forgets tokens goes on with the bits of a row that never had them, and its neighbour is left alone.

    numbers: length of the prompts, how many tokens of the next call are kept, and how many behind them are forgotten.
    """
    expected, before = _continued(trial.player, case, 0)
    found, after = _continued(trial.player, case, case.numbers[2])
    errors = [compare.rows(left.values(), right.values()) for left, right in zip(found, expected, strict=True)]
    return Measurement(max(*errors, *map(compare.states, after, before)))


def _continued(player: Player, case: Case, forgotten: int) -> tuple[list[dict[int, Array]], list[dict[str, Array]]]:
    """Feed two rows in four calls, row 0 tokens beside that it forgets; return what all calls but the first gave."""
    prompt, kept, _ = case.numbers
    tokens = case.sequences.tokens
    ends = (prompt, prompt + kept, prompt + kept + 2, prompt + kept + 3)
    player.begin(case.sequences)
    player.feed({row: ids[:prompt] for row, ids in enumerate(tokens)})
    found: list[dict[int, Array]] = []
    if kept or forgotten:
        pieces = {row: ids[prompt : ends[1]] for row, ids in enumerate(tokens) if kept}
        pieces[0] = np.concatenate((tokens[0][prompt : ends[1]], tokens[0][::-1][:forgotten]))
        made = player.feed(pieces)
        player.rewind(0, forgotten)
        if kept:
            found.append({row: logits[:kept] for row, logits in made.items()})
    for start, end in itertools.pairwise(ends[1:]):
        found.append(dict(player.feed({row: ids[start:end] for row, ids in enumerate(tokens)})))
    return found, [player.states(row) for row in range(len(tokens))]


def _buffers(player: Player) -> dict[str, Array]:
    return {spec.name: player.rows.read(spec.name, 0, ROWS) for spec in player.manifest.states}


def _touched(
    specs: Sequence[StateSpec], before: dict[str, Array], after: dict[str, Array], places: Ids, size: int
) -> list[float]:
    """Return, by state, the largest change where none may be; `size` tokens were appended at `places` of each row."""
    errors = []
    for spec in specs:
        old, new = before[spec.name], after[spec.name]
        if spec.kind == "static":
            errors.append(compare.distance(new, old))
            continue
        may_change = np.zeros(old.shape, bool)
        for row in STEPPING:
            own: list[int | slice] = [row]
            if spec.kind == "cache" and spec.axis is not None:
                own += [slice(None)] * spec.axis + [slice(places[row], places[row] + size)]
            may_change[tuple(own)] = True
        errors.append(compare.distance(np.where(may_change, old, new), old))
    return errors
