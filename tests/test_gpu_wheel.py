"""The GPU build of ONNX Runtime on a machine without a GPU: it serves on the CPU, and refuses what it cannot do.

Its environment, .venv-gpu, is made by `make test`: both builds install the same import package and cannot share one.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from service.client import Client
from tests.exported import Bundles
from tests.service.wire.running import ENVIRONMENT, Process

ROOT = Path(__file__).parent.parent
PYTHON = ROOT / ".venv-gpu" / "bin" / "python"


@pytest.fixture
def models(bundles: Bundles, tmp_path: Path) -> Path:
    shutil.copytree(bundles.path("gru"), tmp_path / "gru" / "1")
    return tmp_path


@pytest.fixture(autouse=True)
def _environment() -> None:
    assert PYTHON.exists(), "make test installs the environment of this test: .venv-gpu"
    listed = subprocess.run(
        [PYTHON, "-c", "import onnxruntime; print(onnxruntime.get_available_providers())"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "CUDAExecutionProvider" in listed.stdout, "the runtime lists CUDA here, though it cannot load it"


def test_cuda_is_refused_in_one_line_where_there_is_no_gpu(models: Path):
    command = [PYTHON, "-m", "service", "--models", models, "--device", "cuda", "--port", "0"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert "device cuda" in line
    assert "CUDA 13 and cuDNN 9" in line


@pytest.mark.parametrize("device", ["cpu", "auto"])
async def test_the_gpu_build_serves_on_the_cpu_and_says_so(models: Path, device: str):
    server = start(models, device)
    try:
        async with Client(server.address) as client, client.generate("gru", "The ", max_new_tokens=8) as generation:
            tokens = [token async for delta in generation for token in delta.token_ids]
            model = await client.model("gru")
    finally:
        server.kill()
    assert 1 <= len(tokens) <= 8
    assert model.device == "cpu"


def start(models: Path, device: str) -> Process:
    command = [PYTHON, "-m", "service", "--models", models, "--device", device, "--port", "0", "--threads", "1"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return Process(subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, text=True, **pipes))
