"""The small clients of examples/: they stream the text of their seed, tell errors, and go on where a server died."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import pytest
from grpc_tools import protoc

from service.answers import Sample
from service.client import Client
from service.wire.options import Options
from tests.service.wire.running import PATIENCE, ROOT, Process, Running
from tests.service.wire.slow import LONG, SLOW, begun

PROMPT = "The quick 안녕 "
EXAMPLES = ROOT / "examples"
GO_PACKAGE = "seqstream.example/client"
DEBIAN = Path("/usr/share/gocode")
GO = ("go", "protoc-gen-go", "protoc-gen-go-grpc")

# What each asks for.
OPTIONS: dict[str, Options] = {
    "python": {"temperature": 0.8, "max_new_tokens": 100},
    "triton": {"temperature": 0.8, "max_new_tokens": 100},
    "go": {},
}

Command = list[str]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The synchronous client, with code of its own made from a copy of the .proto file, and nothing else of ours."""
    folder = tmp_path_factory.mktemp("python")
    _make(folder, f"--python_out={folder}", f"--grpc_python_out={folder}")
    shutil.copy(EXAMPLES / "python" / "sync.py", folder)
    return ["env", f"PYTHONPATH={folder}", sys.executable, str(folder / "sync.py")]


@pytest.fixture(scope="module")
def triton() -> Command:
    if find_spec("tritonclient") is None:
        pytest.skip("tritonclient is not installed")
    return [sys.executable, str(EXAMPLES / "triton" / "client.py")]


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The client in Go, built with the libraries that Debian packages."""
    if missing := [name for name in GO if shutil.which(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    if not (DEBIAN / "src/google.golang.org/grpc").exists():
        pytest.skip("golang-google-grpc-dev is not installed")
    root = tmp_path_factory.mktemp("go")
    folder = root / "src" / GO_PACKAGE
    folder.mkdir(parents=True)
    shutil.copy(EXAMPLES / "go" / "client.go", folder)
    package = f"Mprotos/seqstream/v1/generation.proto={GO_PACKAGE}/seqstreamv1"
    source = root / "src"
    _make(root, f"--go_out={source}", f"--go_opt={package}", f"--go-grpc_out={source}", f"--go-grpc_opt={package}")
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": f"{root}:{DEBIAN}", "GOFLAGS": ""}
    for step in (["vet", "."], ["build", "-o", str(root / "client"), "."]):
        subprocess.run(["go", *step], cwd=folder, env=environment, check=True, timeout=300)
    return [str(root / "client")]


def _make(folder: Path, *options: str) -> None:
    """Make code of a copy of generation.proto in `folder`."""
    proto = "protos/seqstream/v1/generation.proto"
    (folder / proto).parent.mkdir(parents=True)
    shutil.copy(ROOT / proto, folder / proto)
    assert protoc.main(["protoc", f"-I{folder}", f"-I{files('grpc_tools') / '_proto'}", *options, proto]) == 0


async def start(example: Command, *arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*example, *arguments, cwd="/", stdout=pipe, stderr=pipe)


async def ended(client: asyncio.subprocess.Process, begun: bytes = b"") -> tuple[int | None, str, str]:
    async with asyncio.timeout(PATIENCE):
        output, errors = await client.communicate()
    return client.returncode, (begun + output).decode(), errors.decode()


async def sample_of(address: str, errors: str, options: Options) -> Sample:
    """The sample of the seed that an example told, by our own client."""
    seed = int(errors.strip().rpartition(" ")[2])
    async with Client(address) as client:
        result = await client.generate("gru", PROMPT, seed=seed, **options).result()
    return result.samples[0]


@pytest.mark.parametrize(
    "file", ["python/sync.py", "python/with_client.py", "triton/client.py", "go/client.go", "node/client.js"]
)
def test_examples_are_small(file: str):
    assert len((EXAMPLES / file).read_text().splitlines()) <= 60


@pytest.mark.parametrize("name", OPTIONS)
async def test_an_example_streams_the_text_of_its_seed(request, running: Running, name: str):
    example = request.getfixturevalue(name)
    code, output, errors = await ended(await start(example, running.address, "gru", PROMPT))
    assert code == 0, errors
    sample = await sample_of(running.address, errors, OPTIONS[name])
    assert output == f"{sample.text}\n"
    reason = sample.finished.reason if name == "triton" else f"FINISH_REASON_{sample.finished.reason}"
    assert errors.startswith(f"{len(sample.token_ids)} tokens, {reason}, seed ")


@pytest.mark.parametrize("name", OPTIONS)
async def test_an_example_tells_errors(request, running: Running, name: str):
    example = request.getfixturevalue(name)
    code, output, errors = await ended(await start(example, running.address, "nope", PROMPT))
    assert (code, output) == (1, "")
    assert errors.startswith(f"{'NotFound' if name == 'go' else 'NOT_FOUND'}: no model 'nope'; there are: gru@1, gru@2")
    code, _, errors = await ended(await start(example, "127.0.0.1:9", "gru", PROMPT))
    assert (code, "Traceback" in errors) == (1, False)


@pytest.mark.parametrize("name", ["python", "go"])
async def test_an_example_goes_on_where_its_server_died(request, process: Callable[..., Process], name: str):
    example = request.getfixturevalue(name)
    server = process(*LONG, program=("-c", SLOW))
    port = int(server.address.rpartition(":")[2])
    client, first = await begun(lambda: start(example, server.address, "gru", PROMPT))
    server.kill()
    server = await asyncio.to_thread(process, *LONG, port=port)
    code, output, errors = await ended(client, first)
    assert code == 0, errors
    assert output == (await sample_of(server.address, errors, OPTIONS[name])).text + "\n"


async def test_the_synchronous_example_tells_bad_fields(python: Command, running: Running):
    code, _, errors = await ended(await start(python, running.address, "gru", PROMPT, "0"))
    assert code == 1
    assert errors.splitlines()[1] == "  stop.max_new_tokens is 0; allowed: 1 to 100000"


async def test_the_asynchronous_example_answers_all_prompts_in_order(running: Running):
    example = ["env", f"PYTHONPATH={ROOT}", sys.executable, str(EXAMPLES / "python" / "with_client.py")]
    code, output, errors = await ended(await start(example, running.address, "gru", "The quick ", "안녕 "))
    assert code == 0, errors
    first, _, second = output.partition("\n\n안녕 ")
    assert first.startswith("The quick ")
    assert second.endswith("\n")
    assert errors.startswith("gru@2: gru, ")
    code, output, errors = await ended(await start(example, running.address, "nope", "x"))
    assert (code, output) == (1, "")
    assert errors.startswith("NotFound: no model 'nope'")
