"""A model and its optimizer as the processes of a run have them: a copy in each (DDP), or in shards (FSDP).

What goes in and comes out is whole, so no file tells how many processes wrote it. Knows nothing about the loop.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricOptimizer
from torch import Tensor

from training.batches import IGNORED, Batch
from training.models.step_model import StepModel
from training.objective import Objective
from training.optimizer import build_optimizer
from training.settings import Optimisation
from training.sharding import cut_like, gathered, is_sharded, whole


class Learner:
    """Takes steps of AdamW on batches of which every process has its share.

    Args:
        fabric: launched.
        model: to be trained, in place.
        settings: how.

    Attributes:
        objective: the loss of the model; calling it is a collective if the model is `sharded`.
        sharded: whether the processes hold pieces of the model.
    """

    def __init__(self, fabric: Fabric, model: StepModel, settings: Optimisation) -> None:
        self._fabric = fabric
        self._model = model
        self._clip = settings.gradient_clip
        self.objective = Objective(model)
        # One kernel for all parameters, unless it would have to undo the scaling of half-precision gradients itself.
        fused = getattr(fabric.strategy.precision, "scaler", None) is None
        self._wrapped = fabric.setup_module(self.objective)
        # Behind the model, since shards are other parameters than those they were cut from.
        optimizer = fabric.setup_optimizers(build_optimizer(model, settings, fused=fused))
        assert isinstance(optimizer, _FabricOptimizer)
        self._optimizer = optimizer
        self.sharded = is_sharded(self.objective)
        self._wrapped.train()

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def step(self, batch: Batch, rate: float) -> Tensor:
        """Take one step. Returns a loss [] whose mean over the processes is that of the global batch, per token."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        batch = batch.to(self._fabric.device)
        count = self._mean_count(batch)
        loss, _ = self._wrapped(batch)
        # Gradients are averaged over the processes: each divides by the mean number of tokens, not by its own.
        loss = loss / count
        self._fabric.backward(loss)
        # A gradient that is not finite is dealt with elsewhere: skipped in 16-mixed, seen in the loss otherwise.
        self._fabric.clip_gradients(self._wrapped, self._optimizer, max_norm=self._clip, error_if_nonfinite=False)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return loss.detach()  # type: ignore[no-any-return]

    def weights(self, *, keep: bool) -> dict[str, Tensor]:
        """Gather the weights on the CPU, whole, in the processes that `keep` them."""
        return whole(self._model.state_dict(), keep=keep)

    def optimizer_state(self, *, keep: bool) -> dict[str, Any]:
        """Gather the state of the optimizer likewise."""
        return whole(self._optimizer.state_dict(), keep=keep)

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Take whole weights. Raises RuntimeError if they are of another model."""
        own = self._model.state_dict()
        cut = {name: cut_like(tensor, own[name]) if name in own else tensor for name, tensor in weights.items()}
        self._model.load_state_dict(cut)

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        """Take the whole state of an optimizer. Raises ValueError if it is of another model's."""
        parameters = [parameter for group in self._optimizer.param_groups for parameter in group["params"]]
        moments: Any = {
            index: {name: cut_like(value, parameters[index]) if value.ndim else value for name, value in own.items()}
            for index, own in state["state"].items()
        }
        self._optimizer.load_state_dict({**state, "state": moments})

    def gathered(self) -> AbstractContextManager[None]:
        """Inside, the model's methods may be called, in all processes alike if it is `sharded`."""
        return gathered(self.objective)

    def _mean_count(self, batch: Batch) -> Tensor:
        count = (batch.targets != IGNORED).sum()
        if self._fabric.world_size == 1:
            return count
        mean = self._fabric.all_reduce(count.float(), reduce_op="mean")
        assert isinstance(mean, Tensor)
        return mean
