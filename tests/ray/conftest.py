"""One cluster of one machine for all tests, started with the commands of deploy/ray/README.md."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.alone import is_alone
from benchmarks.ray_cluster import ROOT, Cluster, started
from tests.ray.applications import serve_configuration

PYTHON = ROOT / ".venv" / "bin" / "python"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = None
    if importlib.util.find_spec("ray") is None:
        reason = "Ray Serve has an environment of its own: make test-ray"
    elif not is_alone():
        reason = "Ray listens on every interface: make test-ray runs this where there is only the loopback"
    for item in items:
        if reason is not None and "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of bundles, exported by the environment that can."""
    assert PYTHON.exists(), "make install makes the environment that exports the bundles"
    path = tmp_path_factory.mktemp("models")
    subprocess.run([PYTHON, "-m", "tests.ray.export", path], cwd=ROOT, check=True)
    return path


@pytest.fixture(scope="session")
def cluster(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    """Ray with both applications."""
    log = tmp_path_factory.mktemp("ray") / "serve.log"
    with started(Path(sys.executable).parent, serve_configuration(folder), log) as running:
        yield running


@pytest.fixture
def replicas(cluster: Cluster):
    """Return the processes of an application's replicas."""
    return cluster.replicas
