"""Fixtures for every test."""

import gc

import pytest
import torch

from tests.exported import Bundles, open_bundles

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def bundles(pytestconfig: pytest.Config) -> Bundles:
    """Exported tiny models of every family: `bundles.path(label)` is a bundle's folder, `bundles.models` holds all."""
    return open_bundles(pytestconfig.rootpath / ".pytest_cache" / "bundles")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of a file in one process, and those of the page in the browser, for which it is built once."""
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            folder = item.path.parent.name
            item.add_marker(pytest.mark.xdist_group(folder if folder == "web" else str(item.path)))


def pytest_collection_finish() -> None:
    """Take what has been imported from the garbage collector: its looks through that take a quarter of a second."""
    gc.freeze()
