from __future__ import annotations

import numpy as np
import pytest
import torch

from training.batches import IGNORED, Batches, PairBatches, Share, WindowBatches, padded

STREAM = np.arange(3, 1003, dtype=np.uint16)


def windows(seed: int = 0, batch_size: int = 6, length: int = 8, validation_tokens: int = 10_000) -> WindowBatches:
    return WindowBatches(STREAM, STREAM[:100], batch_size, length, validation_tokens, seed)


def some_pairs(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(0)
    return [
        (np.full(generator.integers(1, 9), 10 + row), np.full(generator.integers(1, 9), 10 + row))
        for row in range(count)
    ]


def test_a_window_opens_with_bos_and_predicts_its_own_continuation():
    batch = windows().training(0, Share())
    assert batch.tokens.shape == batch.targets.shape == (6, 8)
    assert (batch.tokens[:, 0] == 1).all()
    assert torch.equal(batch.tokens[:, 1:], batch.targets[:, :-1])
    assert torch.equal(batch.targets.diff(dim=1), torch.ones(6, 7, dtype=torch.int64))


def test_the_batch_of_a_step_needs_no_steps_before_it():
    first, second = windows(), windows()
    for step in range(5):
        first.training(step, Share())
    assert torch.equal(first.training(5, Share()).targets, second.training(5, Share()).targets)
    assert not torch.equal(second.training(4, Share()).targets, second.training(5, Share()).targets)
    assert not torch.equal(windows(seed=1).training(5, Share()).targets, second.training(5, Share()).targets)


def test_processes_share_every_batch():
    whole = windows().training(3, Share())
    parts = [windows().training(3, Share(rank, 2)).targets for rank in range(2)]
    assert torch.equal(torch.stack(parts, dim=1).flatten(0, 1), whole.targets)


def test_validation_sees_each_token_once():
    targets = torch.cat([batch.targets.flatten() for batch in windows().validation(Share())])
    assert targets.tolist() == STREAM[:96].tolist()


def test_validation_is_spread_over_the_text_when_it_is_cut_short():
    batches = list(windows(validation_tokens=24).validation(Share()))
    assert [int(row[0]) for batch in batches for row in batch.targets] == [3, 43, 91]


def test_a_stream_shorter_than_a_window_is_one_window():
    short = WindowBatches(STREAM[:5], STREAM[:4], 2, 64, 1000, 0)
    assert short.training(0, Share()).targets.shape == (2, 5)
    assert [batch.targets.shape for batch in short.validation(Share())] == [(1, 4)]


def test_pairs_are_padded_and_closed():
    source, target = np.array([7, 8]), np.array([5, 6, 7])
    batch = padded([(source, target), (target, source)])
    assert batch.source is not None and batch.source_lengths is not None
    assert batch.source.tolist() == [[7, 8, 2, 0], [5, 6, 7, 2]]
    assert batch.source_lengths.tolist() == [3, 4]
    assert batch.tokens.tolist() == [[1, 5, 6, 7], [1, 7, 8, 0]]
    assert batch.lengths.tolist() == [4, 3]
    assert batch.targets.tolist() == [[5, 6, 7, 2], [7, 8, 2, IGNORED]]
    assert batch.token_count == 14


def test_an_epoch_shows_every_pair_once_and_the_next_in_another_order():
    batches = PairBatches(some_pairs(60), some_pairs(3), 6, seed=0)
    epochs = [
        [batches.training(step, Share()).tokens[:, 1].tolist() for step in range(first, first + 10)]
        for first in (0, 10)
    ]
    for epoch in epochs:
        assert sorted(row for batch in epoch for row in batch) == list(range(10, 70))
    assert epochs[0] != epochs[1]


def test_pairs_of_a_batch_are_of_similar_length():
    batches = PairBatches(some_pairs(600), some_pairs(3), 10, seed=0)
    spreads = [
        np.ptp(batch.lengths.numpy() + batch.source_lengths.numpy())
        for batch in (batches.training(step, Share()) for step in range(50))
    ]
    assert np.mean(spreads) < 3


@pytest.mark.parametrize(
    ("batches", "rows"), [(windows(batch_size=1), 12), (PairBatches(some_pairs(6), some_pairs(12), 1, 0), 12)]
)
def test_all_processes_validate_as_many_batches_and_no_row_twice(batches: Batches, rows: int):
    by_rank = [list(batches.validation(Share(rank, 5))) for rank in range(5)]
    assert [len(own) for own in by_rank] == [2] * 5
    predicted = [[int((batch.targets != IGNORED).any(dim=1).sum()) for batch in own] for own in by_rank]
    assert predicted == [[2, 1], [2, 1], [2, 0], [2, 0], [2, 0]]
    assert sum(map(sum, predicted)) == rows


def test_a_batch_with_fewer_rows_than_processes_is_refused_in_all_of_them():
    for rank in range(8):
        with pytest.raises(ValueError, match="a batch of 6 has less than a row for each of the 8 processes"):
            PairBatches(some_pairs(6), some_pairs(3), 8, 0).training(0, Share(rank, 8))


def test_validation_pairs_are_all_there_over_processes():
    rows = [
        row
        for rank in range(2)
        for batch in PairBatches(some_pairs(6), some_pairs(31), 4, 0).validation(Share(rank, 2))
        for row in batch.tokens[:, 1].tolist()
    ]
    assert sorted(rows) == list(range(10, 41))
