import numpy as np
import pytest
import torch
from onnx import helper

from export.quantize.constants import Constants
from export.quantize.rotation import rotation_of
from training.models.positions import frequencies, rotate, rotations

HEADS, PLACES, WIDTH, LIMIT = 2, 12, 16, 400


def graph(interleaved: bool):
    """A graph of one attention, by name only, with tables of angles."""
    cosines, sines = rotations(LIMIT, frequencies(WIDTH, 10_000.0), 1.0)
    inputs = ["q", "k", "v", "keys", "values", "last", "total", "cosines", "sines"]
    node = helper.make_node("GroupQueryAttention", inputs, ["y"], do_rotary=1, rotary_interleaved=int(interleaved))
    tables = [
        helper.make_tensor(name, 1, table.shape, table.numpy().tobytes(), raw=True)
        for name, table in (("cosines", cosines), ("sines", sines))
    ]
    return helper.make_graph([node], "g", [], [], tables), cosines, sines


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("more", [0, 4])
def test_a_key_is_nowhere_larger_and_somewhere_about_as_large(interleaved: bool, more: int) -> None:
    made, cosines, sines = graph(interleaved)
    rotation = rotation_of(made.node[0], Constants(made))
    assert rotation is not None
    keys = torch.randn(HEADS, PLACES, WIDTH + more, generator=torch.Generator().manual_seed(0))

    def at(first: int) -> np.ndarray:
        """Return the keys where each stands `first` places further on; rotated are the first WIDTH channels."""
        places = torch.arange(first, first + PLACES)
        turned, kept = keys[..., :WIDTH], keys[..., WIDTH:].numpy()
        split = turned.unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2) if interleaved else turned
        split = rotate(split, cosines[places], sines[places])
        back = split.unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2) if interleaved else split
        return np.concatenate([back.numpy(), kept], -1)

    found = rotation.sizes_anywhere(at(0))
    # Each at the places that the test can take all of them to, and a little beyond for those that stand in front.
    largest = np.max([np.abs(at(first)) for first in range(LIMIT - PLACES + 1)], axis=0)
    assert (found >= largest - 1e-5).all()
    assert (found <= largest + 0.2).all() and np.mean(found - largest) < 0.02
    assert (found[..., WIDTH:] == np.abs(keys[..., WIDTH:].numpy())).all()


def test_keys_that_are_not_rotated_have_no_rotation() -> None:
    made, _, _ = graph(False)
    del made.node[0].attribute[:]
    assert rotation_of(made.node[0], Constants(made)) is None
