"""A logistic RNN on the fused tanh kernel. PyTorch has no such operator, but sigmoid(a) = (tanh(a / 2) + 1) / 2.

With g = 2h - 1 the recurrence h' = sigmoid(W x + b + U h) reads g' = tanh(W/2 x + (b/2 + U 1/4) + U/4 g): a tanh RNN
over g with other weights. The parameters stay W, U and b of the logistic form.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence


class SigmoidRNN(nn.RNN):
    """One batch-first layer with the interface of `nn.RNN`: tensor or packed sequence in, the same out, state h."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width, batch_first=True)

    def forward(  # type: ignore[override]
        self, inputs: Tensor | PackedSequence, hidden: Tensor
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """Run over `inputs` behind `hidden` [1, B, width]; a packed sequence's rows are in the order they came."""
        weights = self._tanh_weights()
        mirrored = 2 * hidden - 1
        options = (True, 1, 0.0, self.training, False)  # biases, layers, dropout, training, bidirectional
        if not isinstance(inputs, PackedSequence):
            outputs, last = torch.rnn_tanh(inputs, mirrored, weights, *options, True)
            return (outputs + 1) / 2, (last + 1) / 2
        data, batch_sizes, order, back = inputs
        assert order is not None and back is not None
        mirrored = mirrored.index_select(1, order)
        outputs, last = torch.rnn_tanh(data, batch_sizes, mirrored, weights, *options)
        packed = PackedSequence((outputs + 1) / 2, batch_sizes, order, back)
        return packed, ((last + 1) / 2).index_select(1, back)

    def _tanh_weights(self) -> list[Tensor]:
        inputs, recurrent, input_bias, recurrent_bias = self.all_weights[0]
        return [inputs / 2, recurrent / 4, input_bias / 2 + recurrent.sum(1) / 4, recurrent_bias / 2]
