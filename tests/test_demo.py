"""What the demo promises of its data."""

from pathlib import Path

from training.pairs import read_pairs, split_pairs
from training.settings import PairsData

DATES = Path(__file__).parent.parent / "examples" / "dates.txt"


def test_the_model_of_the_demo_never_saw_the_dates_that_it_is_shown():
    settings = PairsData()
    training, _ = split_pairs(read_pairs("dates", seed=0).pairs, settings.validation_fraction, seed=0)
    sources = {source for source, _ in training}
    shown = DATES.read_text(encoding="utf-8").splitlines()
    assert len(shown) == 6
    assert not sources.intersection(shown)
