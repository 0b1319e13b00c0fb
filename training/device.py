"""Where training computes: devices, precision and processes, through lightning-fabric.

Under torchrun the processes are there already; otherwise fabric starts as many as are asked for. Knows nothing about
models.
"""

from __future__ import annotations

import logging
import os

import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException

from training.settings import GradientMachine, Machine
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


def build_fabric(machine: GradientMachine) -> Fabric:
    """Start, or join, the processes of a run, one for each device.

    Raises:
        ValueError: this machine has no such accelerator, not so many devices, or not this precision on them.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    devices, nodes = machine.devices, 1
    if torch.distributed.is_torchelastic_launched():
        devices = _processes_here()
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    on_gpu = machine.accelerator == "cuda" or (machine.accelerator == "auto" and torch.cuda.is_available())
    if machine.precision == "16-mixed" and not on_gpu:
        raise ValueError("--precision: 16-mixed needs a CUDA device; on the CPU there is bf16-mixed")
    try:
        fabric = Fabric(
            accelerator=machine.accelerator,
            devices=devices,
            num_nodes=nodes,
            strategy="ddp" if devices * nodes > 1 else "auto",
            precision=machine.precision,
        )
        fabric.launch()
    except (MisconfigurationException, RuntimeError) as error:
        raise ValueError(f"--accelerator {machine.accelerator} --devices {devices}: {_first_line(error)}") from None
    return fabric


def _processes_here() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
