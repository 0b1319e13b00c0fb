"""The command line of the client, as a process."""

import asyncio
import re
import sys

import pytest

from service.client import Client
from tests.service.wire.running import ENVIRONMENT, PATIENCE, ROOT, Running


async def run(*arguments: str) -> tuple[int | None, str, str]:
    """Return the exit code, the output and the errors of the client."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.client", *arguments),
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE):
        output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def test_it_streams_the_text_and_tells_what_it_took(running: Running):
    flags = ["--temperature", "0.5", "--top-k", "9", "--max-new-tokens", "30", "--seed", "5"]
    code, output, errors = await run("gru", "The quick 안녕", "--address", running.address, *flags)
    async with Client(running.address) as client:
        asked = client.generate("gru", "The quick 안녕", temperature=0.5, top_k=9, max_new_tokens=30, seed=5)
        (sample,) = (await asked.result()).samples
    assert (code, output) == (0, sample.text + "\n")
    stats = rf"{len(sample.token_ids)} tokens, \d+ tokens/s, first after \d+ ms, [a-z ]+, seed 5\n"
    assert re.fullmatch(stats, errors)


@pytest.mark.usefixtures("eager")
async def test_it_tells_what_became_of_drafts(running: Running):
    prompt, flags = "the fox and the fox and the fox and", ["--temperature", "0", "--address", running.address]
    _, plain, _ = await run("transformer-lm", prompt, *flags)
    code, output, errors = await run("transformer-lm", prompt, *flags, "--drafts", "prompt")
    assert (code, output) == (0, plain)
    assert re.search(r", \d+ of \d+ drafted tokens taken\n$", errors)


async def test_stop_strings_can_be_repeated(running: Running):
    async with Client(running.address) as client:
        (free,) = (await client.generate("gru", "", seed=5).result()).samples
    first = free.text[9]
    code, output, errors = await run(
        *("gru", "", "--address", running.address, "--seed", "5", "--stop", "not there", "--stop", first)
    )
    assert (code, output) == (0, free.text[: free.text.index(first)] + "\n")
    assert "stop string" in errors


async def test_it_lists_the_models(running: Running):
    code, output, _ = await run("--list", "--address", running.address)
    assert code == 0
    assert [line.partition(":")[0] for line in output.splitlines()] == [
        "gru@1",
        "gru@2",
        "transformer@1",
        "transformer-lm@1",
    ]


async def test_errors_are_one_line(running: Running):
    address = ["--address", running.address]
    for arguments, code, expected in [
        (["nope", "a", *address], 1, "no model 'nope'; there are: gru@1, gru@2, transformer@1, transformer-lm@1"),
        (
            ["gru", "a", "--top-p", "2", "--min-p", "3", *address],
            1,
            "sampling.top_p is 2; allowed: over 0 to 1; sampli",
        ),
        (["gru", "a", "--seed", "-1", *address], 1, "seed: -1 does not fit"),
        (["gru", "a", "--address", "127.0.0.1:1"], 1, "no answer from 127.0.0.1:1: "),
    ]:
        found, output, errors = await run(*arguments)
        assert (found, output) == (code, "")
        (line,) = errors.splitlines()
        assert line.startswith(f"error: {expected}")


async def test_the_command_line_is_checked():
    code, _, errors = await run("gru")
    assert code == 2
    assert errors.splitlines()[-1].endswith("give MODEL and PROMPT, or --list, --load or --unload")
    code, _, errors = await run("--list", "--tls-ca", "nowhere.pem")
    assert code == 2
    assert errors.splitlines()[-1].endswith("argument --tls-ca: nowhere.pem: No such file or directory")
