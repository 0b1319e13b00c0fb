"""`generate --jsonl`, as a process, against a real server."""

import json
import signal
from collections.abc import Iterator

import pytest

from service.client import Client
from service.terminal.lines import read_lines
from tests.service.terminal.typed import run, start
from tests.service.wire.running import Running, until


def lines_of(*requests: dict) -> str:
    return "".join(json.dumps(request) + "\n" for request in requests)


async def test_results_are_in_the_order_of_their_lines_and_those_of_single_calls(running: Running, tmp_path):
    lengths = [40, 1, 20, 3, 30, 2, 10, 5, 9, 4]
    requests = [
        {"id": f"n{number}", "prompt": "The", "parameters": {"max_new_tokens": length}}
        for number, length in enumerate(lengths)
    ]
    (tmp_path / "in").write_text(lines_of(*requests))
    flags = ["--seed", "5", "--concurrency", "4", "--address", running.address]
    code, output, errors = await run("generate", "gru", "--jsonl", str(tmp_path / "in"), *flags)
    found = [json.loads(line) for line in output.splitlines()]
    assert (code, [one["id"] for one in found]) == (0, [f"n{number}" for number in range(10)])
    async with Client(running.address) as client:
        for one, length in zip(found, lengths, strict=True):
            result = await client.generate("gru", "The", seed=5, max_new_tokens=length).result()
            assert one["samples"][0]["text"] == result.samples[0].text
    tokens = sum(len(one["samples"][0]["token_ids"]) for one in found)
    assert errors.startswith(f"10 lines, 0 with an error, {tokens} tokens, ")


async def test_more_than_the_server_takes_at_once_waits_its_turn(running: Running):
    text = lines_of(*({"prompt": "The", "parameters": {"max_new_tokens": 9}} for _ in range(40)))
    at = ("--address", running.address, "--concurrency", "40")
    code, output, _ = await run("generate", "gru", "--jsonl", "-", *at, stdin=text.encode())
    assert (code, [json.loads(line)["id"] for line in output.splitlines()]) == (0, list(range(1, 41)))


async def test_a_line_that_is_refused_has_its_error_and_the_others_their_results(running: Running):
    text = lines_of(
        {"prompt": "a", "parameters": {"top_p": 7}},
        {"prompt": [5, 6]},
        {"messages": [{"role": "user", "content": "Hi"}]},
        {"prompt": "a", "parameters": {"seed": -1}},
    )
    code, output, errors = await run(
        "generate", "gru", "--jsonl", "-", "--address", running.address, stdin=text.encode()
    )
    bad, good, chat, wrong = (json.loads(line) for line in output.splitlines())
    assert (code, "4 lines, 3 with an error, " in errors) == (1, True)
    assert bad["error"] == {"status": "INVALID_ARGUMENT", "message": "sampling.top_p is 7; allowed: over 0 to 1"}
    assert (good["prompt_tokens"], chat["error"]["status"]) == (2, "INVALID_ARGUMENT")
    assert wrong["error"]["message"].startswith("seed: -1 does not fit")


async def test_what_was_cut_goes_on_behind_its_last_whole_line(running: Running, tmp_path):
    requests, results = tmp_path / "in", tmp_path / "out"
    requests.write_text(lines_of(*({"id": name, "prompt": "The"} for name in "abcd")))
    command = ["generate", "gru", "--jsonl", str(requests), "--out", str(results), "--seed", "5"]
    command += ["--address", running.address]
    assert (await run(*command))[0] == 0
    whole = results.read_bytes()
    first, second, _, _ = whole.splitlines(keepends=True)
    results.write_bytes(first + second[:99])
    code, output, errors = await run(*command)
    assert (code, output, errors.splitlines()[0]) == (0, "", f"{results} has 1 of 4 lines: going on behind them")
    texts = [json.loads(line)["samples"][0]["text"] for line in results.read_bytes().splitlines()]
    assert texts == [json.loads(line)["samples"][0]["text"] for line in whole.splitlines()]


@pytest.mark.parametrize("content", [b"# Notes\n", b"no end of line", b'{"id": "other"}\n'])
async def test_a_file_that_is_something_else_is_left_alone(tmp_path, content):
    requests, results = tmp_path / "in", tmp_path / "out"
    requests.write_text(lines_of({"id": "a", "prompt": "The"}))
    results.write_bytes(content)
    code, _, errors = await run("generate", "gru", "--jsonl", str(requests), "--out", str(results))
    assert (code, errors.startswith(f"error: {results} is there and has not the results of these lines")) == (2, True)
    assert results.read_bytes() == content


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let what is started heed SIGINT, as in a terminal: shells let what they start in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
async def test_an_interrupted_batch_has_whole_lines_and_goes_on(running: Running, tmp_path):
    requests, results = tmp_path / "in", tmp_path / "out"
    parameters = {"max_new_tokens": 200, "ignore_end_of_sequence": True}
    requests.write_text(lines_of(*({"prompt": "The", "parameters": parameters} for _ in range(60))))
    command = ["generate", "gru", "--jsonl", str(requests), "--out", str(results), "--seed", "5"]
    command += ["--address", running.address, "--concurrency", "4"]
    process = await start(*command)
    await until(lambda: results.exists() and results.stat().st_size > 0)
    process.send_signal(signal.SIGINT)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (130, b"")
    cut = [json.loads(line) for line in results.read_bytes().splitlines()]
    assert 0 < len(cut) < 60
    assert (await run(*command))[0] == 0
    whole = [json.loads(line) for line in results.read_bytes().splitlines()]
    assert (len(whole), whole[: len(cut)]) == (60, cut)
    assert len({one["samples"][0]["text"] for one in whole}) == 1, "the same seed, the same text"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"{", "in:1: not JSON: "),
        (b"[]", "in:1: not an object"),
        (b'{"prompt": "a", "top_p": 1}', "in:1: no field 'top_p'; there are id, prompt, messages, parameters"),
        (b'{"id": 1.5, "prompt": "a"}', "in:1: id is 1.5; allowed: "),
        (b'{"prompt": "a", "messages": []}', "in:1: give either prompt or messages"),
        (b'{"prompt": {"a": 1}}', "in:1: prompt is {.*}; allowed: "),
        (b'{"messages": []}', "in:1: not a conversation; allowed: "),
        (b'{"prompt": "a", "parameters": {"tmp": 1}}', "in:1: no parameter 'tmp'; there are temperature, "),
        (b'{"prompt": "\xff"}', "in:1: not JSON: "),
    ],
)
def test_lines_that_are_no_requests_are_told_with_their_place(line, expected):
    with pytest.raises(ValueError, match=expected):
        list(read_lines([line], "in"))


def test_ids_are_the_numbers_of_lines_where_none_is_given():
    found = list(read_lines([b'{"prompt": "a"}\n', b"\n", b'{"prompt": "b"}\n'], "in"))
    assert [line.id for line in found] == [1, 3]
