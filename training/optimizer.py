"""AdamW as usual for sequence models, and its learning rate over a run: linear warm-up, then a cosine.

Loshchilov and Hutter 2019 (AdamW) and 2017 (cosine). Knows nothing about the loop around it.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from training.settings import Optimisation

_BETAS = (0.9, 0.98)


def build_optimizer(model: nn.Module, settings: Optimisation, *, fused: bool) -> torch.optim.AdamW:
    """Make the optimizer of `model`: weights of linear and recurrent layers decay, everything else does not."""
    decayed = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.Linear | nn.RNNBase)
        for parameter in module.parameters(recurse=False)
        if parameter.ndim >= 2
    }
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if id(p) in decayed], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if id(p) not in decayed], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=settings.learning_rate, betas=_BETAS, fused=fused
    )


def learning_rate(settings: Optimisation, step: int, progress: float) -> float:
    """Return the learning rate of `step`, when `progress` (0 … 1) of the budget is spent."""
    warm_up = min(1.0, (step + 1) / (settings.warmup_steps + 1))
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    floor = settings.learning_rate_floor
    return settings.learning_rate * warm_up * (floor + (1 - floor) * cosine)
