"""Servers that die in the middle of streams: the client goes on elsewhere, and nothing shows in the result."""

import asyncio
import socket

import grpc
import pytest

from service.answers import Delta
from service.client import Client
from service.failures import NotFound, Unavailable
from service.retry import Retry
from tests.service.wire.running import Process
from tests.service.wire.slow import LONG, SLOW

OPTIONS = {
    "seed": 11,
    "max_new_tokens": 300,
    "ignore_end_of_sequence": True,
    "max_tokens_per_message": 1,
    "logprobs": True,
    "stop_strings": ["nowhere in the text of a random model"],
}
BREAK = 40
PATIENT = Retry(attempts=30, longest_seconds=1.0)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def joined(deltas: list[Delta], sample: int) -> tuple[str, list[int], list[float]]:
    own = [delta for delta in deltas if delta.sample == sample]
    return (
        "".join(delta.text for delta in own),
        [token_id for delta in own for token_id in delta.token_ids],
        [score.logprob for delta in own for score in delta.logprobs],
    )


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("end", [Process.kill, Process.terminate])
async def test_a_server_that_goes_away_is_not_noticed_in_the_result(process, samples: int, end):
    first, port = process(*LONG, "--drain-seconds", "0", program=("-c", SLOW)), free_port()
    asked = {"model": "gru", "prompt": "The quick 안녕", "samples": samples, "prompt_logprobs": True, **OPTIONS}
    deltas: list[Delta] = []
    async with Client(f"ipv4:{first.address},127.0.0.1:{port}", PATIENT) as client:
        generation = client.generate(**asked)
        async for delta in generation:
            deltas.append(delta)
            if len(deltas) == BREAK:
                second = await asyncio.to_thread(process, *LONG, port=port)
                end(first)
        undisturbed = await client.generate(**asked).result()
    assert [finished.reason for finished in generation.finished] == ["MAX_TOKENS"] * samples
    for index, sample in enumerate(undisturbed.samples):
        logprobs = [score.logprob for score in sample.logprobs]
        assert joined(deltas, index) == (sample.text, list(sample.token_ids), logprobs)
    assert generation.prompt_logprobs == undisturbed.prompt_logprobs
    second.terminate()
    _, log = await asyncio.to_thread(second.wait)
    assert log.count("method=Generate") == samples + 1


async def test_a_server_that_comes_back_goes_on(process):
    server = process(*LONG, program=("-c", SLOW))
    port = int(server.address.rpartition(":")[2])
    deltas: list[Delta] = []
    async with Client(server.address, PATIENT) as client:
        async for delta in client.generate("gru", "The quick 안녕", **OPTIONS):
            deltas.append(delta)
            if len(deltas) == BREAK:
                server.kill()
                server = await asyncio.to_thread(process, *LONG, port=port)
        undisturbed = await client.generate("gru", "The quick 안녕", **OPTIONS).result()
    assert joined(deltas, 0)[:2] == (undisturbed.samples[0].text, list(undisturbed.samples[0].token_ids))


async def test_a_stream_is_not_continued_by_another_version(process, models_folder, tmp_path):
    server = process(*LONG, program=("-c", SLOW))
    port = int(server.address.rpartition(":")[2])
    async with Client(server.address, PATIENT) as client:
        with pytest.raises(NotFound, match="gru@2"):
            async for delta in client.generate("gru", "The quick", **OPTIONS):
                if delta.position == BREAK:
                    server.kill()
                    (tmp_path / "gru").mkdir(exist_ok=True)
                    (tmp_path / "gru" / "1").symlink_to(models_folder / "gru" / "1")
                    server = await asyncio.to_thread(process, *LONG, port=port, folder=tmp_path)


async def test_a_server_that_stays_away_is_told_after_the_last_attempt(process):
    server = process(*LONG, program=("-c", SLOW))
    received = 0
    async with Client(server.address, Retry(attempts=3)) as client:
        with pytest.raises(Unavailable) as caught:
            async for delta in client.generate("gru", "The quick", **OPTIONS):
                received += len(delta.token_ids)
                if received == BREAK:
                    server.kill()
    assert BREAK <= received < OPTIONS["max_new_tokens"]
    assert not isinstance(caught.value, grpc.RpcError)
