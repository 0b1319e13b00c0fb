"""`generate`, as a process, against a real server."""

import asyncio
import json
import re
import sys

import pytest

from service.client import Client
from tests.service.terminal.typed import run
from tests.service.wire.running import ENVIRONMENT, ROOT, Running


async def test_it_streams_the_text_and_tells_what_it_took(running: Running):
    flags = ["--temperature", "0.5", "--top-k", "9", "--max-new-tokens", "30", "--seed", "5"]
    code, output, errors = await run("generate", "gru", "The quick 안녕", "--address", running.address, *flags)
    async with Client(running.address) as client:
        asked = client.generate("gru", "The quick 안녕", temperature=0.5, top_k=9, max_new_tokens=30, seed=5)
        (sample,) = (await asked.result()).samples
    assert (code, output) == (0, sample.text + "\n")
    stats = rf"{len(sample.token_ids)} tokens, \d+ tokens/s, first after \d+ ms, [a-z ]+, seed 5\n"
    assert re.fullmatch(stats, errors)


@pytest.mark.usefixtures("eager")
async def test_it_tells_what_became_of_drafts(running: Running):
    prompt, flags = "the fox and the fox and the fox and", ["--temperature", "0", "--address", running.address]
    _, plain, _ = await run("generate", "transformer-lm", prompt, *flags)
    code, output, errors = await run("generate", "transformer-lm", prompt, *flags, "--drafts", "prompt")
    assert (code, output) == (0, plain)
    assert re.search(r", \d+ of \d+ drafted tokens taken\n$", errors)


async def test_stop_strings_can_be_repeated(running: Running):
    async with Client(running.address) as client:
        (free,) = (await client.generate("gru", "", seed=5).result()).samples
    first = free.text[9]
    code, output, errors = await run(
        *("generate", "gru", "", "--address", running.address, "--seed", "5", "--stop", "not there", "--stop", first)
    )
    assert (code, output) == (0, free.text[: free.text.index(first)] + "\n")
    assert "stop string" in errors


async def test_the_prompt_is_read_from_standard_input_without_its_last_newline(running: Running):
    flags = ["--address", running.address, "--seed", "5", "--max-new-tokens", "9"]
    _, expected, _ = await run("generate", "gru", "두 줄\nand more", *flags)
    for given in ([], ["-"]):
        piped = await run("generate", "gru", *given, *flags, stdin="두 줄\nand more\n".encode())
        assert piped[:2] == (0, expected)
    code, _, errors = await run("generate", "gru", *flags, stdin=b"\xff")
    assert (code, errors) == (2, "error: standard input is not UTF-8: byte 0\n")


async def test_one_object_of_json_has_the_whole_result(running: Running):
    flags = ["--max-new-tokens", "5", "--seed", "5", "--n", "2", "--logprobs", "1", "--json"]
    code, output, errors = await run("generate", "gru", "The", "--address", running.address, *flags)
    async with Client(running.address) as client:
        asked = client.generate("gru", "The", max_new_tokens=5, seed=5, samples=2, logprobs=True, top_logprobs=1)
        samples = (await asked.result()).samples
    found = json.loads(output)
    assert (code, errors) == (0, "")
    assert (found["model"], found["seed"]) == ("gru@2", 5)
    assert [(one["text"], tuple(one["token_ids"]), one["reason"]) for one in found["samples"]] == [
        (one.text, one.token_ids, one.finished.reason) for one in samples
    ]
    assert [len(one["logprobs"][0]["alternatives"]) for one in found["samples"]] == [1, 1]


async def test_logprobs_are_a_line_a_token(running: Running):
    flags = ["--address", running.address, "--max-new-tokens", "4", "--seed", "5", "--logprobs", "1"]
    _, output, _ = await run("generate", "gru", "The", *flags)
    async with Client(running.address) as client:
        asked = client.generate("gru", "The", max_new_tokens=4, seed=5, logprobs=True, top_logprobs=1)
        (sample,) = (await asked.result()).samples
    lines = [line for line in output.splitlines() if line.strip()]
    assert [int(line.split()[0]) for line in lines] == list(sample.token_ids)
    assert [float(line.split()[1]) for line in lines] == [round(one.logprob, 3) for one in sample.logprobs]


async def test_samples_are_printed_one_behind_the_other(running: Running):
    flags = ["--address", running.address, "--max-new-tokens", "4", "--seed", "5", "--n", "2"]
    _, output, _ = await run("generate", "gru", "The", *flags)
    async with Client(running.address) as client:
        samples = (await client.generate("gru", "The", max_new_tokens=4, seed=5, samples=2).result()).samples
    headings = re.findall(r"^--- sample \d: 4 tokens.*\n", output, re.MULTILINE)
    assert output == "".join(f"{heading}{sample.text}\n" for heading, sample in zip(headings, samples, strict=True))


async def test_conversations_go_to_models_that_take_them(running: Running, tmp_path):
    refused = "error: messages is set; allowed: text or token_ids, as gru@2 has no chat template\n"
    (tmp_path / "turns.json").write_text('[{"role": "user", "content": "Hi"}]')
    for given in (["Hi", "--chat"], ["Hi", "--system", "Be short."], ["--messages", str(tmp_path / "turns.json")]):
        assert await run("generate", "gru", *given, "--address", running.address) == (1, "", refused)
    (tmp_path / "turns.json").write_text('[{"role": "user"}]')
    code, _, errors = await run("generate", "gru", "--messages", str(tmp_path / "turns.json"))
    assert (code, 'not a turn of a conversation: {"role": "user"}; allowed: ' in errors) == (2, True)


async def test_a_reader_that_has_seen_enough_is_no_error(running: Running):
    line = f"{sys.executable} -m service.client generate gru The --address {running.address} | head -c 1"
    process = await asyncio.create_subprocess_shell(
        line, cwd=ROOT, env=ENVIRONMENT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert (len(output), b"Traceback" in errors, b"Exception" in errors) == (1, False, False)
