"""Fixtures for every test."""

import pytest
import torch

from tests.exported import Bundles, open_bundles

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def bundles(pytestconfig: pytest.Config) -> Bundles:
    """Exported tiny models of every family: `bundles.path(label)` is a bundle's folder, `bundles.models` holds all."""
    return open_bundles(pytestconfig.rootpath / ".pytest_cache" / "bundles")
