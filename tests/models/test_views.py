"""What models show of themselves is what they compute: against their own steps, equations and PyTorch's attention."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.tiny import TINY, tiny_model
from training.models.attention import Attention
from training.models.cached_attention import CachedAttention, Heads, Span
from training.models.positions import frequencies, rotate, rotations
from training.models.step_model import SourceStepModel, State, StepModel, Views

SHOWN = [label for label in TINY if tiny_model(label).views]
TIME, SOURCE = 9, 12


def look(model: StepModel) -> tuple[Tensor, Tensor, Views]:
    """Features of the step, features of the look, and all views, of the same random sequence."""
    tokens, state = torch.randint(40, (1, TIME)), model.initial_state(1, 0)
    seen: State = dict(state)
    views: Views = {}
    if isinstance(model, SourceStepModel):
        source = torch.randint(40, (1, SOURCE))
        state |= model.start(source, torch.tensor([SOURCE]))
        made, views = model.look_at_source(source)
        seen |= made
    features, _ = model.step(tokens, torch.tensor([TIME]), state)
    looked, more = model.look(tokens, seen)
    return features, looked, {**views, **more}


@pytest.mark.parametrize("label", SHOWN)
@torch.no_grad()
def test_a_look_computes_what_a_step_does_and_shows_what_is_declared(label: str) -> None:
    torch.manual_seed(3)
    model = tiny_model(label).eval()
    features, looked, views = look(model)
    torch.testing.assert_close(looked, features, atol=2e-6, rtol=1e-5)
    assert views.keys() == {spec.output for spec in model.views}
    for spec in model.views:
        times = SOURCE if spec.part == "encoder" else TIME
        columns = TIME if spec.kind == "decoder_self" else SOURCE
        shape = (1, spec.size, times, columns) if spec.is_attention else (1, times, spec.size)
        assert views[spec.output].shape == shape, spec.output
        if spec.kind != "state":
            assert views[spec.output].min() >= 0
            assert views[spec.output].max() <= 1 + 1e-6


def test_models_that_only_count_show_nothing() -> None:
    assert set(TINY) - set(SHOWN) == {"markov", "ngram"}


@torch.no_grad()
def test_the_gates_of_a_gru_make_its_states() -> None:
    _, _, views = look(tiny_model("gru").eval())
    for layer in range(2):
        gate, new, hidden = (views[f"decoder_{layer}_{name}"] for name in ("update_gate", "candidate", "hidden"))
        past = torch.cat((torch.zeros_like(hidden[:, :1]), hidden[:, :-1]), dim=1)
        torch.testing.assert_close((1 - gate) * new + gate * past, hidden)


@torch.no_grad()
def test_the_gates_of_an_lstm_make_its_cells_and_these_its_states() -> None:
    _, _, views = look(tiny_model("lstm").eval())
    for layer in range(2):
        names = ("input_gate", "forget_gate", "output_gate", "candidate", "cell", "hidden")
        entering, forget, leaving, new, cell, hidden = (views[f"decoder_{layer}_{name}"] for name in names)
        past = torch.cat((torch.zeros_like(cell[:, :1]), cell[:, :-1]), dim=1)
        torch.testing.assert_close(forget * past + entering * new, cell)
        torch.testing.assert_close(leaving * cell.tanh(), hidden)


@torch.no_grad()
def test_the_weights_of_attention_are_those_of_pytorch() -> None:
    ours, theirs = Attention(32, 4, 0.0).eval(), nn.MultiheadAttention(32, 4, batch_first=True).eval()
    theirs.in_proj_weight.copy_(torch.cat((ours.query.weight, ours.key_value.weight)))
    theirs.in_proj_bias.copy_(torch.cat((ours.query.bias, ours.key_value.bias)))
    theirs.out_proj.load_state_dict(ours.merge.state_dict())
    x, source = torch.randn(1, TIME, 32), torch.randn(1, SOURCE, 32)
    mixed, weights = ours.look(x, *ours.memory(source))
    expected, expected_weights = theirs(x, source, source, average_attn_weights=False)
    torch.testing.assert_close(weights, expected_weights)
    torch.testing.assert_close(mixed, expected)


@pytest.mark.parametrize("rotary", [False, True])
@torch.no_grad()
def test_the_weights_of_grouped_heads_are_what_pytorch_mixes_values_with(rotary: bool) -> None:
    attention = CachedAttention(Heads(width=32, queries=4, memories=2, head_width=16)).eval()
    tables = rotations(64, frequencies(16, 10_000.0)) if rotary else None
    span = Span(torch.tensor([0]), torch.tensor([TIME]), TIME, tables)
    x = torch.randn(1, TIME, 32)
    _, weights = attention.look(x, span)
    heads = attention.project(x).view(1, TIME, 8, 16).transpose(1, 2)
    query, key = heads[:, :4], heads[:, 4:6]
    if tables is not None:
        query, key = (rotate(part, *(table[:TIME] for table in tables)) for part in (query, key))
    # Values that are the places themselves: what comes out are the weights.
    places = torch.eye(TIME).expand(1, 2, TIME, TIME)
    mixed = F.scaled_dot_product_attention(query, key, places, is_causal=True, enable_gqa=True)
    torch.testing.assert_close(weights, mixed)
    assert torch.equal(weights.triu(1), torch.zeros_like(weights))
