"""How far sources reach, in eager mode: over the whole memory, which is as long as the longest of them."""

from __future__ import annotations

import torch

from training.models.reach import Reach


def test_places_are_real_up_to_the_length_of_each_source_and_nothing_is_cut_off():
    memory = torch.randn(3, 2, 70, 4)
    reach = Reach.of(torch.tensor([3, 70, 0]), 70, 4)
    assert reach.mask.shape == (3, 1, 1, 70)
    assert reach.mask.sum(-1).flatten().tolist() == [3, 70, 1]  # a row without a source reads one place
    assert reach.mask[0, 0, 0, :3].all()
    assert torch.equal(reach.cut(memory), memory)
