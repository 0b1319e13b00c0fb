"""The contract of `StepModel` in eager mode, for every family."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.models.conftest import VOCABULARY
from training.models.counting import CountingModel
from training.models.families import FAMILIES
from training.models.step_model import SourceStepModel, State, StepModel

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def begin(model: StepModel, batch: int, capacity: int | None = None, seed: int = 5) -> State:
    """The initial state of `batch` rows, each row with a source of its own where the model wants one."""
    state = model.initial_state(batch, capacity)
    if isinstance(model, SourceStepModel):
        source = torch.randint(0, VOCABULARY, (8, 11), generator=torch.Generator().manual_seed(seed))[:batch]
        state |= model.start(source, torch.tensor([11, 3, 1, 7, 11, 5, 2, 9])[:batch])
    return state


def steps(model: StepModel, pieces: list[Tensor], state: State) -> tuple[Tensor, State]:
    """Run `pieces` of unpadded rows one after the other."""
    logits = []
    for piece in pieces:
        out, new = model(piece, torch.full((piece.shape[0],), piece.shape[1]), state)
        state = {**state, **new}
        logits.append(out)
    return torch.cat(logits, dim=1), state


def assert_same_state(model: StepModel, one: State, other: State, used: list[int]) -> None:
    for spec in model.states:
        for row, length in enumerate(used):
            a, b = one[spec.name][row], other[spec.name][row]
            if spec.kind == "cache":
                a, b = a[:, :length], b[:, :length]
            torch.testing.assert_close(a, b, **TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize("sizes", [(1,) * 13, (1, 12), (12, 1), (5, 1, 7), (2, 3, 8)], ids=str)
def test_any_chunking_equals_the_whole(model, sizes):
    tokens = torch.randint(0, VOCABULARY, (3, 13))
    whole, end = steps(model, [tokens], begin(model, 3))
    chunked, chunked_end = steps(model, list(tokens.split(sizes, dim=1)), begin(model, 3))
    torch.testing.assert_close(chunked, whole, **TOLERANCE)
    assert_same_state(model, chunked_end, end, [13] * 3)


@torch.no_grad()
def test_padding_with_garbage_changes_nothing(model):
    lengths = torch.tensor([9, 1, 5, 2])
    tokens = torch.randint(0, VOCABULARY, (4, 9))
    ends = []
    for _ in range(2):
        real = torch.arange(9) < lengths[:, None]
        garbage = torch.where(real, tokens, torch.randint(0, VOCABULARY, (4, 9)))
        ends.append(model(garbage, lengths, begin(model, 4)))
    (logits, state), (others, other_state) = ends
    torch.testing.assert_close(logits[real], others[real], **TOLERANCE)
    static = begin(model, 4)
    assert_same_state(model, {**static, **state}, {**static, **other_state}, lengths.tolist())


@torch.no_grad()
def test_a_row_in_a_ragged_crowd_equals_the_row_alone(model):
    lengths = torch.tensor([4, 9, 1, 6])
    first = torch.randint(0, VOCABULARY, (4, 9))
    second = torch.randint(0, VOCABULARY, (4, 3))
    crowd = begin(model, 4)
    logits, new = model(first, lengths, crowd)
    more, _ = model(second, torch.tensor([3, 1, 2, 3]), {**crowd, **new})
    for row, length in enumerate(lengths.tolist()):
        state = {name: tensor[row : row + 1] for name, tensor in begin(model, 4).items()}
        alone, new = model(first[row : row + 1, :length], torch.tensor([length]), state)
        torch.testing.assert_close(alone[0], logits[row, :length], **TOLERANCE)
        last, _ = model(second[row : row + 1, :1], torch.tensor([1]), {**state, **new})
        torch.testing.assert_close(last[0, 0], more[row, 0], **TOLERANCE)


@torch.no_grad()
def test_states_are_as_declared(model):
    state = model.initial_state(2)
    assert list(state) == [spec.name for spec in model.states]
    features, new = model.step(torch.ones(2, 3, dtype=torch.int64), torch.tensor([3, 1]), state)
    assert features.dtype == torch.float32
    assert features.shape[:2] == (2, 3)
    assert model.logits(features).shape == (2, 3, model.vocabulary_size)
    assert set(new) == {spec.name for spec in model.states if spec.kind != "static"}
    for spec in model.states:
        assert state[spec.name].shape == (2, *spec.shape)
        assert not state[spec.name].any()
        if spec.kind != "static":
            assert new[spec.name].shape == (2, *spec.shape), spec
            assert new[spec.name].dtype == getattr(torch, spec.dtype), spec
    assert model.chunk == ("single" if any(spec.kind == "cache" for spec in model.states) else "batch")


@torch.no_grad()
def test_start_gives_every_state_but_caches(model):
    if not isinstance(model, SourceStepModel):
        assert not any(spec.kind == "static" for spec in model.states)
        return
    started = model.start(torch.ones(2, 6, dtype=torch.int64), torch.tensor([6, 2]))
    assert set(started) == {spec.name for spec in model.states if spec.kind != "cache"}
    for spec in model.states:
        if spec.kind != "cache":
            shape = list(spec.shape)
            if spec.axis is not None:
                assert shape[spec.axis] == model.source_limit
                shape[spec.axis] = 6
            assert started[spec.name].shape == (2, *shape)
            assert started[spec.name].dtype == getattr(torch, spec.dtype)


@torch.no_grad()
def test_padding_of_the_source_changes_nothing(model):
    if not isinstance(model, SourceStepModel):
        return
    source = torch.randint(0, VOCABULARY, (1, 4))
    padded = torch.cat((source, torch.randint(0, VOCABULARY, (1, 5))), dim=1)
    tokens, lengths = torch.randint(0, VOCABULARY, (1, 6)), torch.tensor([4])
    expected, _ = model(tokens, torch.tensor([6]), model.initial_state(1) | model.start(source, lengths))
    logits, _ = model(tokens, torch.tensor([6]), model.initial_state(1) | model.start(padded, lengths))
    torch.testing.assert_close(logits, expected, **TOLERANCE)


@torch.no_grad()
def test_without_room_for_a_past_a_whole_sequence_gives_the_same(model):
    tokens, lengths = torch.randint(0, VOCABULARY, (3, 9)), torch.tensor([9, 4, 6])
    expected, _ = model(tokens, lengths, begin(model, 3))
    for capacity in (0, 9):
        logits, _ = model(tokens, lengths, begin(model, 3, capacity))
        real = torch.arange(9) < lengths[:, None]
        torch.testing.assert_close(logits[real], expected[real], **TOLERANCE)


def test_a_fresh_model_is_about_as_good_as_guessing(model):
    if isinstance(model, CountingModel):
        return
    tokens = torch.randint(0, VOCABULARY, (16, 20))
    state = model.initial_state(16, 0)
    if isinstance(model, SourceStepModel):
        state |= model.start(tokens, torch.full((16,), 20))
    logits, _ = model(tokens[:, :-1], torch.full((16,), 19), state)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    assert math.log(VOCABULARY) - 0.3 < loss.item() < math.log(VOCABULARY) + 1.0


@pytest.mark.parametrize("capacity", [None, 0])
def test_gradients_reach_every_parameter(model, capacity):
    if isinstance(model, CountingModel):
        assert not list(model.parameters())
        return
    model.train()
    logits, _ = model(torch.randint(0, VOCABULARY, (4, 9)), torch.tensor([9, 9, 2, 5]), begin(model, 4, capacity))
    logits.square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_gradients_flow_through_the_state(model):
    state = begin(model, 2)
    inner = [spec.name for spec in model.states if spec.kind == "recurrent" and spec.dtype == "float32"]
    for name in inner:
        state[name] = state[name].detach().requires_grad_()
    seen = [state]
    for _ in range(4):
        logits, new = model(torch.randint(0, VOCABULARY, (2, 1)), torch.ones(2, dtype=torch.int64), seen[-1])
        seen.append({**seen[-1], **new})
    if inner:
        grads = torch.autograd.grad(logits.square().sum(), [past[name] for past in seen[:-1] for name in inner])
        assert all(grad.any() for grad in grads)


@pytest.mark.parametrize("capacity", [None, 0])
def test_autocast_keeps_states_and_logits_in_float32(model, capacity):
    tokens, lengths = torch.randint(0, VOCABULARY, (2, 6)), torch.tensor([6, 4])
    with torch.no_grad():
        expected, _ = model(tokens, lengths, begin(model, 2, capacity))
    with torch.autocast("cpu", torch.bfloat16):
        logits, new = model(tokens, lengths, begin(model, 2, capacity))
    assert logits.dtype == torch.float32
    assert all(new[spec.name].dtype == getattr(torch, spec.dtype) for spec in model.states if spec.kind != "static")
    real = torch.arange(6) < lengths[:, None]
    torch.testing.assert_close(logits[real], expected[real], rtol=0.1, atol=0.1)
    if logits.requires_grad:
        logits.square().mean().backward()


@torch.no_grad()
def test_a_state_dict_loads_into_a_model_built_from_the_same_config(model, label):
    from tests.tiny import TINY, tiny_config

    config = FAMILIES[TINY[label]["family"]].config.model_validate(tiny_config(label, VOCABULARY))
    restored = config.model_validate_json(config.model_dump_json())
    assert restored == config
    twin = FAMILIES[TINY[label]["family"]].build(restored).eval()
    twin.load_state_dict(model.state_dict())
    tokens = torch.randint(0, VOCABULARY, (1, 8))
    expected, _ = model(tokens, torch.tensor([8]), begin(model, 1))
    logits, _ = twin(tokens, torch.tensor([8]), begin(twin, 1))
    assert torch.equal(logits, expected)
    assert twin.parameter_count == sum(tensor.numel() for tensor in model.state_dict().values())


def test_freezing_changes_nothing_in_eager_mode(model):
    before = model.state_dict()
    model.freeze()
    model.freeze()
    assert list(model.state_dict()) == list(before)
