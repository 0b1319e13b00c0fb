"""Where training computes: threads, devices, precision and processes, through lightning-fabric.

Under torchrun the processes are there already; otherwise fabric starts as many as are asked for. Knows nothing about
models.
"""

from __future__ import annotations

import logging
import os

import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException

from training.settings import GradientMachine


def set_threads(threads: int) -> None:
    """Use so many CPU threads; 0: the cores this process may use, shared with the other processes of this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(threads or max(cores // _processes_here(), 1))


def build_fabric(machine: GradientMachine) -> Fabric:
    """Start, or join, the processes of a run, one for each device.

    Raises:
        ValueError: this machine has no such accelerator, not so many devices, or not this precision on them.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    set_threads(machine.threads)
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
