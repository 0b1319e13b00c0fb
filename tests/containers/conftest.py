"""Images and a running stack, built and brought up once, and taken down without a trace."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.engine import HARDENED, CannotRunError, Engine, prepare
from tests.containers.stack import Stack
from tests.exported import Bundles


@pytest.fixture(scope="session")
def engine() -> Engine:
    """Podman with the server's image built; skips with the reason where containers cannot run."""
    try:
        engine = prepare()
    except CannotRunError as error:
        pytest.skip(str(error))
    engine.build("server")
    return engine


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, bundles: Bundles) -> Path:
    """A folder of models that other users may read: a tiny GRU."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(bundles.path("gru"), folder / "gru" / "1")
    for path in folder.parents[:2]:
        path.chmod(0o755)
    folder.chmod(0o755)
    return folder


@pytest.fixture
def container(engine: Engine, models: Path) -> Iterator[str]:
    """A hardened server of its own over a tiny GRU."""
    name = engine.podman("run", "--detach", *HARDENED, f"--volume={models}:/models:ro", "seqstream-server:latest")
    yield name
    engine.podman("rm", "--force", "--time=0", name)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tls.crt and tls.key for localhost, signed by itself."""
    folder = tmp_path_factory.mktemp("certificates")
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    files = ("-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt"))
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files]
    subprocess.run(command, check=True, capture_output=True)
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)  # Envoy runs as another user
    for path in folder.parents[:2]:
        path.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def stack(engine: Engine, certificates: Path) -> Iterator[Stack]:
    """docker-compose.yml with TLS, brought up from nothing with trainings of a few steps."""
    engine.build("training", "web", "envoy", "prometheus")
    stack = Stack(engine, certificates)
    stack.down()
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
        assert stack.containers() == [], "containers are left"
        assert stack.volumes() == [], "volumes are left"
