"""Where training computes: devices, precision and processes, through lightning-fabric.

Under torchrun the processes are there already; otherwise fabric starts as many as are asked for. Knows nothing about
families.
"""

from __future__ import annotations

import logging
import os

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from lightning_fabric.utilities.exceptions import MisconfigurationException

from training.settings import GradientMachine, Machine
from training.sharding import shard
from training.threads import available_cores


def thread_candidates(machine: Machine) -> tuple[int, ...]:
    """Return the numbers of CPU threads to choose from: the one asked for, or where it is left open all cores and one.

    Processes of one run share the cores of their machine evenly.
    """
    if machine.threads:
        return (machine.threads,)
    processes = machine.devices if isinstance(machine, GradientMachine) else 1
    if torch.distributed.is_torchelastic_launched():
        processes = _processes_here()
    cores = max(available_cores() // processes, 1)
    return (cores, 1) if processes == 1 and cores > 1 else (cores,)


def count_processes(machine: Machine) -> tuple[int, int]:
    """Return how many processes a machine of a run has, and how many machines there are.

    Raises:
        ValueError: torchrun has started others than were asked for, or not as many on every machine.
    """
    devices = machine.devices if isinstance(machine, GradientMachine) else 1
    if not torch.distributed.is_torchelastic_launched():
        return devices, 1
    here, everywhere, nodes = _processes_here(), int(os.environ["WORLD_SIZE"]), int(os.environ["GROUP_WORLD_SIZE"])
    if devices not in (1, here):
        raise ValueError(f"--devices: {devices} given, but torchrun has started {here} here; make it --devices {here}")
    if here * nodes != everywhere:
        raise ValueError(
            f"torchrun: --nproc-per-node must be the same on every machine; here it is {here}, "
            f"but {nodes} machines have {everywhere} processes"
        )
    return here, nodes


def build_fabric(machine: GradientMachine) -> Fabric:
    """Start, or join, the processes of a run, one for each device.

    Raises:
        ValueError: this machine has no such accelerator, not so many devices, or not this precision on them.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    devices, nodes = count_processes(machine)
    on_gpu = machine.accelerator == "cuda" or (machine.accelerator == "auto" and torch.cuda.is_available())
    if machine.precision == "16-mixed" and not on_gpu:
        raise ValueError("--precision: 16-mixed needs a CUDA device; on the CPU there is bf16-mixed")
    try:
        fabric = Fabric(
            accelerator=machine.accelerator,
            devices=devices,
            num_nodes=nodes,
            strategy=_strategy(machine, devices * nodes),
            precision=machine.precision,
        )
        fabric.launch()
    except (MisconfigurationException, RuntimeError) as error:
        raise ValueError(f"--accelerator {machine.accelerator} --devices {devices}: {_first_line(error)}") from None
    return fabric


def _strategy(machine: GradientMachine, processes: int) -> str | ModelParallelStrategy:
    if machine.strategy != "fsdp":
        return "ddp" if processes > 1 else "auto"
    if processes == 1:
        raise ValueError("--strategy: fsdp cuts a model over several processes, and there is 1; auto takes any number")
    if machine.precision == "16-mixed":
        raise ValueError("--precision: 16-mixed is not possible with --strategy fsdp; 32-true and bf16-mixed are")
    return ModelParallelStrategy(shard, data_parallel_size=processes, tensor_parallel_size=1)


def _processes_here() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
