"""Servers that die behind a proxy: it cuts the stream, each in its own way, and the client goes on through it."""

import asyncio
import os
import signal

import psutil
import pytest

from benchmarks.balancers import BALANCERS, BalancerError, find
from service.client import Client
from service.failures import ClientError, Unavailable
from service.retry import Retry
from tests.service.wire.running import Running
from tests.service.wire.slow import LONG, SLOW

ASKED = {"model": "gru", "prompt": "The quick 안녕", "seed": 11, "max_new_tokens": 70, "ignore_end_of_sequence": True}
BREAK = 62


class Noting(Retry):
    """A retry that tells what it was for."""

    failures: list[ClientError]

    def pause(self, error: ClientError, attempts: int) -> float | None:
        self.failures.append(error)
        return super().pause(error, attempts)


@pytest.mark.parametrize("proxy", ["envoy", "haproxy", "nginx"])
async def test_a_stream_whose_server_is_killed_goes_on_through_the_proxy(process, running: Running, proxy: str):
    try:
        find(proxy)
    except BalancerError as missing:
        pytest.skip(str(missing))
    servers = [process(*LONG, program=("-c", SLOW)) for _ in range(2)]
    retry = Noting(attempts=60)
    object.__setattr__(retry, "failures", [])
    tokens: list[int] = []
    before: dict[int, float] = {}
    with BALANCERS[proxy]([server.address for server in servers]) as balancer:
        async with Client(balancer.address, retry) as client:
            async for delta in client.generate(**ASKED, max_tokens_per_message=1):
                before = before or {server.popen.pid: cpu_seconds(server.popen.pid) for server in servers}
                tokens += delta.token_ids
                if len(tokens) == BREAK:
                    busiest = max(before, key=lambda pid: cpu_seconds(pid) - before[pid])
                    os.kill(busiest, signal.SIGKILL)
    async with Client(running.address) as client:
        undisturbed = await client.generate(**ASKED).result()
    assert retry.failures, "the server that was killed did not run the stream"
    assert {type(failure) for failure in retry.failures} == {Unavailable}
    assert tuple(tokens) == undisturbed.samples[0].token_ids


async def test_envoy_goes_on_with_a_server_that_is_late_for_once(process):
    try:
        find("envoy")
    except BalancerError as missing:
        pytest.skip(str(missing))
    server = process()
    with BALANCERS["envoy"]([server.address]) as balancer:
        async with Client(balancer.address, Retry(attempts=1)) as client:
            server.popen.send_signal(signal.SIGSTOP)
            await asyncio.sleep(3.5)  # longer than one health check takes and waits
            late = asyncio.create_task(client.generate(**ASKED).result())
            await asyncio.sleep(0.2)
            server.popen.send_signal(signal.SIGCONT)
            result = await late
    assert len(result.samples[0].token_ids) == ASKED["max_new_tokens"]


def cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system
