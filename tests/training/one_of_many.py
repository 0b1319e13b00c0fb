"""What each process does under torchrun in the tests: trainings by their command lines, one after the other.

    torchrun … -m tests.training.one_of_many TRAININGS.json

TRAININGS.json is a list of {"arguments": […], "out": folder, "interrupt_at": step or null}. Beside each run folder the
process leaves what it held after the last step: `<folder>.rank<r>.pt`. Starting processes takes far longer than
training a tiny model, so one start serves many tests.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from unittest import mock

import torch
from torch.distributed.tensor import DTensor
from torch.optim.optimizer import register_optimizer_step_post_hook

from tests.training.interrupted import interrupted_fit
from training.__main__ import main
from training.train import INTERRUPTED, fit_by_gradient

held: dict[str, list[torch.Tensor]] = {}


def look(optimizer, *_):
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    held["parameters"] = [local(parameter) for parameter in parameters]
    held["gradients"] = [local(parameter.grad) for parameter in parameters]
    held["moments"] = [local(optimizer.state[parameter]["exp_avg"]) for parameter in parameters]


def local(tensor):
    return (tensor.to_local() if isinstance(tensor, DTensor) else tensor).detach().clone()


def train(arguments, out, interrupt_at):
    fit = fit_by_gradient if interrupt_at is None else interrupted_fit(interrupt_at)
    with mock.patch("training.train.fit_by_gradient", fit):
        code = main(arguments)
    assert code == (0 if interrupt_at is None else INTERRUPTED), (arguments, code)
    torch.save(held, f"{out}.rank{os.environ['RANK']}.pt")


if __name__ == "__main__":
    register_optimizer_step_post_hook(look)
    for training in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        train(**training)
