"""What the server's image is made of, and how it behaves as a container by itself."""

import json
import time
from pathlib import Path

import pytest

from service.client import Client
from service.probe import ask
from tests.containers.engine import HARDENED, Engine

pytestmark = pytest.mark.containers
IMAGE = "seqstream-server:latest"


def shell(engine: Engine, script: str) -> str:
    return engine.podman("run", "--rm", "--no-healthcheck", "--entrypoint=sh", IMAGE, "-c", script)


def wait_until_serving(engine: Engine, container: str) -> str:
    address = f"{engine.address(container)}:50051"
    deadline = time.monotonic() + 60
    while engine.podman("exec", container, "python3", "-m", "service.probe", check=False) != "SERVING":
        assert time.monotonic() < deadline, engine.logs(container)
    return address


def test_there_is_no_torch_no_pip_and_no_compiler(engine: Engine):
    script = """
    for module in torch onnx pip ensurepip grpc_tools huggingface_hub training export; do
      python3 -c "import $module" 2>/dev/null && echo "module $module"
    done
    for tool in pip pip3 gcc cc c++ ld make; do command -v $tool; done
    find / -xdev -name 'pip-*' -o -xdev -name 'torch' -type d
    true"""
    assert shell(engine, script) == ""


def test_only_the_packages_of_the_server_are_there(engine: Engine):
    assert shell(engine, "ls /app").split() == ["bundle", "protos", "service"]


def test_labels_say_the_version_and_the_revision(engine: Engine):
    revision = engine.run("git", "rev-parse", "HEAD")
    labels = json.loads(engine.podman("image", "inspect", IMAGE))[0]["Labels"]
    assert labels["org.opencontainers.image.version"] == "0.1.0"
    assert labels["org.opencontainers.image.revision"] == revision


async def test_a_hardened_container_serves(engine: Engine, container: str):
    async with Client(wait_until_serving(engine, container)) as client:
        result = await client.generate("gru", "The quick", max_new_tokens=5, ignore_end_of_sequence=True).result()
    assert len(result.samples[0].token_ids) == 5


def test_it_runs_as_nobody_with_nothing(engine: Engine, container: str):
    wait_until_serving(engine, container)
    status = dict(line.split(":\t") for line in engine.podman("exec", container, "cat", "/proc/1/status").splitlines())
    assert status["Uid"].split() == ["10001"] * 4
    assert status["Gid"].split() == ["10001"] * 4
    assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"


def test_its_root_cannot_be_written(engine: Engine, container: str):
    wait_until_serving(engine, container)
    script = "touch /tmp/new && ! touch /app/new /models/new /new 2>/dev/null && echo only /tmp"
    assert engine.podman("exec", container, "sh", "-c", script) == "only /tmp"


def test_the_health_check_of_the_image_passes_and_fails(engine: Engine, container: str):
    address = wait_until_serving(engine, container)
    assert ask(address, "", 5.0) == "SERVING"
    engine.podman("healthcheck", "run", container)
    assert engine.inspect(container)["State"]["Health"]["Status"] == "healthy"
    engine.podman("exec", container, "sh", "-c", "! python3 -m service.probe --address localhost:1")


def test_sigterm_ends_it_with_exit_code_0(engine: Engine, container: str):
    wait_until_serving(engine, container)
    engine.podman("stop", "--time=30", container)
    state = engine.inspect(container)["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
    assert "draining" in engine.logs(container)


def refusal(engine: Engine, *options: str) -> tuple[int, str]:
    """Return the exit code of a server that does not start, and what it said."""
    name = engine.podman("create", *HARDENED, "--no-healthcheck", *options, IMAGE)
    try:
        engine.podman("start", "--attach", name, check=False)
        return engine.inspect(name)["State"]["ExitCode"], engine.logs(name)
    finally:
        engine.podman("rm", "--force", name)


def test_without_models_it_says_so_in_one_line(engine: Engine):
    code, said = refusal(engine)
    assert (code, said.splitlines()) == (2, ["error: /models: holds no bundle (<name>/<version>/bundle.json)"])


def test_a_device_that_is_not_there_is_refused(engine: Engine, models: Path):
    code, said = refusal(engine, "--env=SEQSTREAM_DEVICE=cuda", f"--volume={models}:/models:ro")
    assert code == 2
    assert said.startswith("error: device cuda: ")
