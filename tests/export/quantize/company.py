"""Whether a row of a bundle is what it is, whatever runs beside it and however its sequence is cut."""

from pathlib import Path

import numpy as np

from bundle.folder import open_bundle
from bundle.runner import Runner
from export import compare
from export.contract import CROWD
from export.play import Player
from export.sequences import Maker


def player(path: Path, capacity: int) -> Player:
    return Player(Runner(open_bundle(path), threads=1, spin=False), capacity)


def assert_rows_are_their_own(path: Path) -> None:
    """Some rows of a full crowd have the same bits alone, at once and in pieces."""
    here = player(path, CROWD)
    crowd = Maker(here.manifest, 16).of_lengths([17 + row % 3 for row in range(CROWD)])
    together = here.whole(crowd)
    for row in (0, 7, CROWD - 1):
        alone = crowd.row(row)
        assert compare.distance(here.whole(alone)[0], together[row]) == 0
        here.begin(alone)
        (tokens,) = alone.tokens
        pieces = [here.feed({0: piece})[0] for piece in np.split(tokens, (2, 5, 9))]
        assert compare.distance(np.concatenate(pieces), together[row]) == 0
