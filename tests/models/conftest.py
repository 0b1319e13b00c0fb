from __future__ import annotations

import pytest
import torch

from tests.tiny import TINY, tiny_model
from training.models.counting import CountingModel
from training.models.step_model import StepModel

VOCABULARY = 40


@pytest.fixture(autouse=True)
def quiet_and_seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(params=sorted(TINY))
def label(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def model(label: str) -> StepModel:
    """A tiny model of every variant; those that count have counted something."""
    built = tiny_model(label, VOCABULARY).eval()
    if isinstance(built, CountingModel):
        built.count(torch.randint(3, 12, (40, 25)).tolist())
    return built
