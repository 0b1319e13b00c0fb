"""Weights, gradients and optimizer state in shards, one for each process (FSDP): cut, gathered whole and cut again.

Here alone a tensor may be a `DTensor`, of which a process holds its piece. Gathering is a collective: every process
takes part, in the same order. Knows nothing about files or the loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from training.objective import Objective


def shard(objective: Objective, mesh: DeviceMesh) -> Objective:
    """Cut the parameters of `objective` over the processes of `mesh`, in place.

    The model's `shard_units` are gathered one at a time as they compute, everything else for the whole step.
    """
    processes = mesh["data_parallel"]
    for unit in objective.model.shard_units:
        fully_shard(unit, mesh=processes)
    fully_shard(objective, mesh=processes)
    return objective


def is_sharded(objective: nn.Module) -> bool:
    """Return whether `shard` has been here."""
    return isinstance(objective, FSDPModule)


@contextmanager
def gathered(objective: nn.Module) -> Iterator[None]:
    """Inside, parts of a model that has computed before may be called by themselves, in all processes alike."""
    if isinstance(objective, FSDPModule):
        objective.unshard()
    try:
        yield
    finally:
        if isinstance(objective, FSDPModule):
            objective.reshard()


def whole(tensors: Mapping[str, Any], *, keep: bool) -> dict[str, Any]:
    """Gather the tensors of a state dict on the CPU, where this process is to `keep` them; nested dicts likewise."""
    return {name: _whole(value, keep) for name, value in tensors.items()}


def cut_like(value: Tensor, own: Tensor) -> Tensor:
    """Return of the whole `value` what `own` holds in this process: all of it, unless `own` is sharded."""
    if not isinstance(own, DTensor):
        return value
    # Every process has read the same file, so none has to send.
    return distribute_tensor(value.to(own.device), own.device_mesh, own.placements, src_data_rank=None)


def _whole(value: Any, keep: bool) -> Any:  # noqa: ANN401 - whatever a state dict holds
    if isinstance(value, dict):
        return {name: _whole(part, keep) for name, part in value.items()}
    if isinstance(value, DTensor):
        value = value.full_tensor()
    if isinstance(value, Tensor):
        return value.detach().cpu() if keep else None
    return value
