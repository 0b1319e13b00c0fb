"""The example client in Node: made from the .proto file alone, it streams, tells errors and survives its server."""

import asyncio
import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks import balancers
from service.client import Client
from service.token import new_token
from tests.service.wire.certified import Authority
from tests.service.wire.running import PATIENCE, ROOT
from tests.service.wire.showing import entry
from tests.service.wire.slow import LONG, SLOW, begun

EXAMPLE = Path("examples/node")

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None, reason="there is no Node on this machine"
)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, installed in a copy of its folder beside a copy of the .proto files."""
    root = tmp_path_factory.mktemp("node")
    shutil.copytree(ROOT / "protos", root / "protos", ignore=shutil.ignore_patterns("*.py*", "__pycache__"))
    shutil.copytree(ROOT / EXAMPLE, root / EXAMPLE, ignore=shutil.ignore_patterns("node_modules"))
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    installed = subprocess.run(command, cwd=root / EXAMPLE, capture_output=True, text=True, timeout=300, check=False)
    if installed.returncode != 0:
        pytest.skip(f"npm install failed: {installed.stderr.strip().splitlines()[-1:]}")
    return root / EXAMPLE


async def run_node(example: Path, *arguments: str, **variables: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *("node", "client.js", *arguments),
        cwd=example,
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(node: asyncio.subprocess.Process, begun: bytes = b"") -> tuple[int | None, str, str]:
    async with asyncio.timeout(PATIENCE):
        output, errors = await node.communicate()
    return node.returncode, (begun + output).decode(), errors.decode()


async def test_it_streams_the_text(running, example: Path):
    code, output, errors = await ended(await run_node(example, running.address, "gru", "The quick 안녕 "))
    assert code == 0
    count, reason, seed = errors.strip().removesuffix("\n").split(", ")
    async with Client(running.address) as client:
        options = {"max_new_tokens": 100, "temperature": 0.8, "seed": int(seed.removeprefix("seed "))}
        result = await client.generate("gru", "The quick 안녕 ", **options).result()
    assert output == result.samples[0].text
    assert count == f"{len(result.samples[0].token_ids)} tokens"
    assert reason == f"FINISH_REASON_{result.samples[0].finished.reason}"


async def test_it_tells_errors(running, example: Path):
    code, output, errors = await ended(await run_node(example, running.address, "nope"))
    assert (code, output) == (1, "")
    assert errors.startswith("NOT_FOUND: no model 'nope'; there are: gru@1, gru@2")


async def test_it_shows_its_token_over_tls_only(process, example: Path, tmp_path: Path):
    authority, token = Authority(tmp_path), new_token()
    certificate, key = authority.write("server", "localhost")
    callers, file = tmp_path / "callers.toml", tmp_path / "token"
    callers.write_text(entry(token))
    file.write_text(f"{token}\n")
    flags = ["--tls-cert", str(certificate), "--tls-key", str(key), "--callers", str(callers)]
    address = f"localhost:{process(*flags).address.rpartition(':')[2]}"
    trusted = {"SEQSTREAM_TLS_CA": str(authority.file)}
    for shown in ({"SEQSTREAM_TOKEN": token}, {"SEQSTREAM_TOKEN_FILE": str(file)}):
        code, output, errors = await ended(await run_node(example, address, "gru", "The quick ", **trusted, **shown))
        assert (code, output != "") == (0, True), errors
    code, output, errors = await ended(await run_node(example, address, "gru", "The quick ", **trusted))
    assert (code, output) == (1, "")
    assert errors.startswith("UNAUTHENTICATED: authorization: is missing")
    code, _, errors = await ended(await run_node(example, address, "gru", "The quick ", SEQSTREAM_TOKEN=token))
    assert code == 1
    assert token not in errors


@pytest.mark.parametrize("behind", ["nothing", "envoy"])
async def test_it_goes_on_where_its_server_died(process, example: Path, behind: str):
    server = process(*LONG, program=("-c", SLOW))
    port = int(server.address.rpartition(":")[2])
    with contextlib.ExitStack() as stack:
        address = server.address
        if behind == "envoy":
            address = stack.enter_context(balancers.envoy([server.address])).address
        node, first = await begun(lambda: run_node(example, address, "gru", "The quick 안녕 ", "300"))
        server.kill()
        server = await asyncio.to_thread(process, *LONG, port=port)
        code, output, errors = await ended(node, first)
    assert code == 0, errors
    async with Client(server.address) as client:
        options = {"max_new_tokens": 300, "temperature": 0.8, "seed": int(errors.strip().rpartition(" ")[2])}
        result = await client.generate("gru", "The quick 안녕 ", **options).result()
    assert output == result.samples[0].text
