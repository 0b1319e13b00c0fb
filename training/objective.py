"""The loss of teacher forcing as one module call, whatever the model: what training and validation compute.

One call is what distributed training wants to wrap. Knows nothing about optimizers or data.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from training.batches import IGNORED, Batch
from training.models.step_model import SourceStepModel, State, StepModel


class Objective(nn.Module):
    """Negative log-likelihood of a batch under a step model."""

    def __init__(self, model: StepModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the sum of the losses in nats, float32 [], and the number of tokens predicted, int64 []."""
        logits, _ = self.model(batch.tokens, batch.lengths, self._state(batch))
        loss = F.cross_entropy(logits.float().flatten(0, 1), batch.targets.flatten(), reduction="sum")
        return loss, (batch.targets != IGNORED).sum()

    def _state(self, batch: Batch) -> State:
        # One call sees the whole sequence, so caches need no room at all.
        state = self.model.initial_state(len(batch.tokens), capacity=0)
        if isinstance(self.model, SourceStepModel):
            assert batch.source is not None and batch.source_lengths is not None
            state |= self.model.start(batch.source, batch.source_lengths)
        return state
