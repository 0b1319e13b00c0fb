"""Frames of HTTP/2 that no good client sends, and clients that vanish: others are served, and nothing is left."""

import asyncio

import pytest

from benchmarks.reliability.floods import FLOODS
from benchmarks.reliability.frames import ACK, Connection, Kind, block, call_headers, frame
from benchmarks.reliability.good import ask
from benchmarks.reliability.vanishing import vanish
from service.connections import allow_connections
from service.wire.limits import Limits
from tests.service.wire.running import Running, serve, until

GENERATE = "/seqstream.v1.GenerationService/Generate"


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.title)
async def test_a_flood_does_not_keep_others_out(models_folder, flood):
    async with serve(models_folder, rows=8, limits=Limits()) as running:
        _, waits = await asyncio.gather(
            asyncio.to_thread(flood.run, running.address, "gru", 1.0), ask(running.address, "transformer-lm", 1.0)
        )
        assert waits.seconds
        assert not waits.errors
        await until(running.idle)


async def test_clients_that_vanish_leave_no_row_and_no_task(models_folder):
    async with serve(models_folder, rows=8, queue_limit=64) as running:
        await ask(running.address, "gru", 0.1)
        tasks = len(asyncio.all_tasks())
        ways = await asyncio.to_thread(vanish, running.address, "gru", 70, 1)
        assert len(ways) == 7
        await until(running.idle)
        await until(lambda: len(asyncio.all_tasks()) <= tasks)


async def test_headers_without_an_end_close_the_connection(running: Running):
    def flood() -> bool:
        connection = Connection(running.address)
        connection.greet()
        connection.send(frame(Kind.HEADERS, 0, 1, call_headers(GENERATE)))
        part = frame(Kind.CONTINUATION, 0, 1, block([("a" * 10, "v" * 4000)]))
        for _ in range(2000):
            if not connection.send(part) or connection.receive(0.0005).closed:
                break
        connection.close()
        return connection.received.closed

    assert await asyncio.to_thread(flood)


async def test_pings_without_a_pause_end_the_connection_with_their_error(running: Running):
    def flood() -> int | None:
        connection = Connection(running.address)
        connection.greet()
        connection.send(frame(Kind.SETTINGS, ACK, 0) + frame(Kind.PING, 0, 0, b"12345678") * 50)
        error = connection.receive(2.0).error
        connection.close()
        return error

    assert await asyncio.to_thread(flood) == 11  # ENHANCE_YOUR_CALM


async def test_no_more_connections_are_taken_than_are_allowed(models_folder):
    async with serve(models_folder, limits=Limits(connections=8)) as running:
        await ask(running.address, "gru", 0.1)

        def crowd() -> int:
            connections = [Connection(running.address) for _ in range(20)]
            for connection in connections:
                connection.greet()
            taken = sum(bool(connection.receive(0.3).frames) for connection in connections)
            for connection in connections:
                connection.close()
            return taken

        taken = await asyncio.to_thread(crowd)
        assert 0 < taken <= 8
        await asyncio.sleep(0.5)  # for the server to see that they are gone
        assert not (await ask(running.address, "gru", 0.2)).errors


def test_connections_that_the_process_may_not_have_are_not_promised(monkeypatch):
    import resource

    limits = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 2048))
    monkeypatch.setattr(resource, "setrlimit", lambda _, given: limits.append(given))
    assert allow_connections(1000) == 1000
    assert limits == [(1256, 2048)]
    assert allow_connections(4096) == 2048 - 256
    assert limits[-1] == (2048, 2048)
