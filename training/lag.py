"""The gradient of a late loss with respect to earlier states, through the step contract alone."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from training.batches import Batch
from training.models.step_model import State, StepModel


def gradient_norms(model: StepModel, batch: Batch) -> NDArray[np.float64]:
    """Return the norm of d loss(T) / d state(t) for the lags T - t = 1 … T - 1, the median over the rows of `batch`.

    loss(T) is that of the last target of a row; state(t) are all floating-point states behind token t, as one vector
    (for an LSTM its h and its c). Dropout is off; the model's own gradients are left as they were.
    """
    was_training = model.training
    model.eval()
    with torch.backends.cudnn.flags(enabled=False):  # its recurrences have no backward pass in evaluation mode
        passed, loss = _unrolled(model, batch)
        # A row's loss depends on its own states only, so the gradient of the sum holds each row's gradient.
        found = iter(torch.autograd.grad(loss, [tensor for states in passed for tensor in states]))
    norms = [torch.cat([next(found).flatten(1) for _ in states], dim=1).norm(dim=1) for states in passed]
    model.train(was_training)
    newest_first = torch.stack(norms[::-1]).double()  # [time - 1, rows]
    typical: NDArray[np.float64] = newest_first.median(dim=1).values.cpu().numpy()
    return typical


def _unrolled(model: StepModel, batch: Batch) -> tuple[list[list[Tensor]], Tensor]:
    """Return the floating-point states behind every token but the last, and the summed loss of the last targets."""
    device = next(model.parameters()).device
    tokens = batch.tokens.to(device)
    rows, time = tokens.shape
    ones = torch.ones(rows, dtype=torch.int64, device=device)
    features, state = model.step(tokens[:, :1], ones, model.initial_state(rows))
    passed = []
    for step in range(1, time):
        passed.append(_floating(state))
        features, state = model.step(tokens[:, step : step + 1], ones, state)
    targets = batch.targets[:, -1].to(device)
    return passed, F.cross_entropy(model.logits(features[:, -1]), targets, reduction="sum")


def _floating(state: State) -> list[Tensor]:
    return [tensor for tensor in state.values() if tensor.is_floating_point()]
