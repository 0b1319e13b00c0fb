"""Recurrent models against PyTorch's own modules and against plain loops."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.tiny import tiny_model
from training.models.families import FAMILIES
from training.models.native_rnn import NativeRNN
from training.models.sigmoid_rnn import SigmoidRNN
from training.models.unroll import unroll

LENGTHS = torch.tensor([7, 2, 5])


def zeros(module: NativeRNN, batch: int) -> dict[str, torch.Tensor]:
    return {spec.name: torch.zeros(batch, *spec.shape) for spec in module.states}


def sigmoid_loop(cell: nn.RNNBase, inputs: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    weight, recurrent, bias, recurrent_bias = cell.all_weights[0]
    outputs = []
    for x in inputs.unbind(1):
        hidden = torch.sigmoid(x @ weight.T + bias + hidden @ recurrent.T + recurrent_bias)
        outputs.append(hidden)
    return torch.stack(outputs, dim=1)


def test_the_sigmoid_rnn_is_a_sigmoid_rnn():
    rnn = SigmoidRNN(6, 5)
    inputs, hidden = torch.randn(3, 9, 6), torch.rand(1, 3, 5)
    outputs, last = rnn(inputs, hidden)
    expected = sigmoid_loop(rnn, inputs, hidden[0])
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(last[0], expected[:, -1])


def test_the_sigmoid_rnn_has_the_gradients_of_a_sigmoid_rnn():
    rnn = SigmoidRNN(6, 5)
    inputs, hidden = torch.randn(3, 9, 6), torch.rand(1, 3, 5)
    expected = torch.autograd.grad(sigmoid_loop(rnn, inputs, hidden[0]).square().sum(), list(rnn.parameters()))
    got = torch.autograd.grad(rnn(inputs, hidden)[0].square().sum(), list(rnn.parameters()))
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_two_sigmoid_layers_on_a_ragged_batch_equal_the_loop():
    stack = NativeRNN("rnn-sigmoid", 6, 5, layers=2).eval()
    inputs = torch.randn(3, 7, 6)
    outputs, state = stack(inputs, LENGTHS, zeros(stack, 3))
    for row, length in enumerate(LENGTHS):
        x = inputs[row : row + 1, :length]
        for index, layer in enumerate(stack.layers):
            x = sigmoid_loop(layer.fused, x, torch.zeros(1, 5))
            torch.testing.assert_close(state[f"h{index}"][row], x[0, -1])
        torch.testing.assert_close(outputs[row, :length], x[0])


@pytest.mark.parametrize(("kind", "module"), [("lstm", nn.LSTM), ("gru", nn.GRU), ("rnn-tanh", nn.RNN)])
def test_stacks_equal_the_modules_of_pytorch(kind, module):
    stack = NativeRNN(kind, 6, 5, layers=2).eval()
    reference = module(6, 5, num_layers=2, batch_first=True)
    for index, layer in enumerate(stack.layers):
        for own, name in zip(layer.fused.all_weights[0], ("weight_ih", "weight_hh", "bias_ih", "bias_hh"), strict=True):
            getattr(reference, f"{name}_l{index}").data.copy_(own)
    inputs = torch.randn(3, 7, 6)
    outputs, state = stack(inputs, LENGTHS, zeros(stack, 3))
    for row, length in enumerate(LENGTHS):
        expected, last = reference(inputs[row : row + 1, :length])
        torch.testing.assert_close(outputs[row, :length], expected[0])
        for part, tensor in zip("hc", last if kind == "lstm" else (last,), strict=False):
            for index in range(2):
                torch.testing.assert_close(state[f"{part}{index}"][row], tensor[index, 0])


def test_an_lstm_starts_by_remembering():
    bias = NativeRNN("lstm", 4, 3, layers=1).layers[0].fused.bias_ih_l0
    assert bias.tolist() == [0] * 3 + [1] * 3 + [0] * 6


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.5])
def test_the_gain_scales_the_recurrent_weights(gain):
    model = FAMILIES["rnn"].build({"vocabulary_size": 8, "width": 12, "recurrent_gain": gain})
    recurrent = model.recurrence.layers[0].fused.weight_hh_l0
    torch.testing.assert_close(torch.linalg.svdvals(recurrent), torch.full((12,), gain), rtol=1e-4, atol=1e-4)


def test_frozen_weights_have_the_gate_order_of_onnx_and_follow_the_weights():
    stack = NativeRNN("gru", 4, 3, layers=1)
    layer = stack.layers[0]
    assert layer.input_weight is None
    for factor in (1.0, 2.0):
        layer.fused.weight_ih_l0.data.mul_(factor)
        stack.freeze()
        reset, update, new = layer.fused.weight_ih_l0.detach().chunk(3)
        assert torch.equal(layer.input_weight[0], torch.cat([update, reset, new]))
    assert layer.both_biases.shape == (1, 18)
    assert not layer.input_weight.requires_grad


def test_dropout_acts_in_training_only():
    model = FAMILIES["gru"].build({"vocabulary_size": 9, "width": 8, "layers": 2, "dropout": 0.5})
    tokens, lengths = torch.randint(0, 9, (2, 6)), torch.tensor([6, 3])
    assert not torch.equal(*(model(tokens, lengths, model.initial_state(2))[0] for _ in range(2)))
    model.eval()
    assert torch.equal(*(model(tokens, lengths, model.initial_state(2))[0] for _ in range(2)))


def test_unroll_runs_any_cell_and_keeps_the_state_of_padded_rows():
    def cell(x, state):
        total = state["total"] + x
        return total[:, :1], {"total": total, "count": state["count"] + 1}

    inputs = torch.randn(3, 7, 2)
    start = {"total": torch.ones(3, 2), "count": torch.tensor([5, 0, 1])}
    outputs, state = unroll(cell, inputs, LENGTHS, start)
    assert state["count"].tolist() == [12, 2, 6]
    for row, length in enumerate(LENGTHS):
        totals = 1 + inputs[row, :length].cumsum(0)
        torch.testing.assert_close(state["total"][row], totals[-1])
        torch.testing.assert_close(outputs[row, :length, 0], totals[:, 0])


def test_the_latent_decays_slowly_to_fast():
    decay = torch.sigmoid(tiny_model("latent").decay)
    assert 0 < decay.min() < 0.5
    assert decay.max().item() == pytest.approx(1 - 1 / 64)
