"""The contract as a reader meets it: the likeliest token, chosen again and again, is the same for model and bundle.

Where the two choose differently, the error is how much likelier (in logits) the model finds its own choice: next to
nothing where it holds both for equally likely. Both then go on with the bundle's choice, so every step is compared.
"""

from __future__ import annotations

import numpy as np

from export import compare
from export.check import Case, Measurement, Trial
from export.extent import Array
from export.sequences import Ids


def same_greedy_tokens(trial: Trial, case: Case) -> Measurement:
    """Decode `numbers[0]` tokens greedily behind every prompt, on both sides, feeding both the bundle's choice."""
    (steps,) = case.numbers
    tokens = case.sequences.tokens
    trial.player.begin(case.sequences)
    trial.reference.begin(case.sequences, steps)
    largest, ties = 0.0, 0
    for _ in range(steps):
        pieces = dict(enumerate(tokens))
        found = np.stack([logits[-1] for _, logits in sorted(trial.player.feed(pieces).items())])
        expected = np.stack([logits[-1] for logits in trial.reference.feed(tokens)])
        chosen = found.argmax(axis=1)
        ties += int(np.count_nonzero(chosen != expected.argmax(axis=1)))
        largest = max(largest, _preference(expected, chosen))
        tokens = tuple(chosen[:, None])
    return Measurement(largest, f"({ties} near ties)" if ties else "")


def _preference(logits: Array, chosen: Ids) -> float:
    """Return by how much, at most, a row of `logits` [B, V] prefers its own best to `chosen` [B]."""
    own = np.take_along_axis(logits, chosen[:, None], axis=1)[:, 0]
    return compare.relative(own, logits.max(axis=1))
