"""The engine's thread and the event loop: what is asked for comes, what is given up goes, what fails fails openly."""

import asyncio
import contextlib
import gc
import threading
import weakref

import pytest

from service.engine import Engine, EngineSettings
from service.errors import EngineFailed, EngineStopped, QueueFull
from service.request import FinishReason, GenerationRequest, SamplingParameters, StopConditions
from tests.service.engine.fake import FakeRunner

GREEDY = SamplingParameters(temperature=0)


class HeldRunner(FakeRunner):
    """A runner that steps only when it is let."""

    def __init__(self):
        super().__init__()
        self.permits = threading.Semaphore(0)

    def step(self, rows, first, tokens, lengths, indices=None):
        self.permits.acquire()
        return super().step(rows, first, tokens, lengths, indices)


def request(start=1, new=5, **others):
    return GenerationRequest("r1", (start,), StopConditions(new), sampling=GREEDY, **others)


async def collect(stream):
    """Everything that comes of each sample, until the stream is done."""
    tokens, finishes = {}, {}
    while not stream.done:
        for chunk in await stream.receive():
            tokens.setdefault(chunk.sample, []).extend(chunk.token_ids)
            finishes[chunk.sample] = chunk.finish
    return tokens, finishes


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (another thread makes it true)
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def running(runner=None, **settings):
    """An engine that runs, and stops at the end."""
    engine = Engine(runner or FakeRunner(), EngineSettings(**{"rows": 4, **settings}))
    engine.start()
    try:
        yield engine
    finally:
        if isinstance(runner, HeldRunner):
            runner.permits.release(10_000)
        await asyncio.wait_for(engine.stop(), 10)


async def test_every_stream_receives_its_tokens_and_its_end():
    async with running() as engine:
        streams = [engine.submit(request(start)) for start in range(20)]
        for start, (tokens, finishes) in enumerate(await asyncio.gather(*map(collect, streams))):
            assert tokens == {0: [start + 1, start + 2, start + 3, start + 4, start + 5]}
            assert finishes[0].reason is FinishReason.MAX_TOKENS
            assert finishes[0].generated_tokens == 5
            assert min(finishes[0].queue_seconds, finishes[0].prefill_seconds, finishes[0].decode_seconds) >= 0
        assert engine.load().running == engine.load().waiting == 0


async def test_a_slow_receiver_finds_all_that_came_meanwhile():
    async with running() as engine:
        stream = engine.submit(request(new=30))
        await until(lambda: stream.outlets[0].finish is not None)
        (chunk,) = await stream.receive()
        assert chunk.token_ids == list(range(2, 32))
        assert chunk.finish is not None
        assert stream.done


async def test_the_loop_is_woken_at_most_once_for_an_iteration(monkeypatch):
    runner = HeldRunner()
    woken = []
    loop = asyncio.get_running_loop()
    wake = loop.call_soon_threadsafe
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *call: (woken.append(call), wake(*call))[1])
    async with running(runner) as engine:
        streams = [engine.submit(request(start, new=10)) for start in range(4)]
        runner.permits.release(100)
        await asyncio.gather(*map(collect, streams))
        decodes = sum(first == 0 and all(pasts) for first, _, pasts in runner.calls)
        assert 1 <= len(woken) <= decodes


async def test_a_cancelled_stream_frees_its_row_within_a_step():
    runner = HeldRunner()
    async with running(runner, rows=1) as engine:
        first, second = engine.submit(request(new=1000)), engine.submit(request(7))
        runner.permits.release(3)
        await first.receive()
        first.cancel()
        first.cancel()
        assert first.done
        runner.permits.release(100)
        tokens, _ = await collect(second)
        assert tokens == {0: [8, 9, 10, 11, 12]}
        assert len(runner.calls) <= 4 + 5


async def test_a_waiting_stream_is_cancelled_too():
    runner = HeldRunner()
    async with running(runner, rows=1) as engine:
        first, second, third = (engine.submit(request(start)) for start in (1, 2, 3))
        await until(lambda: engine.load().waiting == 2)
        second.cancel()
        runner.permits.release(100)
        await collect(first)
        assert (await collect(third))[0] == {0: [4, 5, 6, 7, 8]}
        assert sum(pasts == (0,) for _, _, pasts in runner.calls) == 2
        assert engine.load().waiting == 0


async def test_one_sample_is_cancelled_and_the_others_go_on():
    runner = HeldRunner()
    async with running(runner) as engine:
        stream = engine.submit(request(new=6, samples=3, first_sample=4))
        runner.permits.release(2)
        await stream.receive()
        stream.cancel_sample(5)
        stream.cancel_sample(5)
        runner.permits.release(100)
        tokens, _ = await collect(stream)
        assert tokens.keys() == {4, 6}
        assert runner.calls[-1][1] == (2, 1)
        assert stream.timings().decode_seconds > 0


async def test_a_full_queue_says_when_to_come_back():
    runner = HeldRunner()
    async with running(runner, rows=1, queue_limit=2) as engine:
        streams = [engine.submit(request(start)) for start in range(3)]
        with pytest.raises(QueueFull) as full:
            engine.submit(request())
        await until(lambda: engine.load().running == 1)
        with pytest.raises(QueueFull) as full:
            engine.submit(request())
        assert (full.value.waiting, full.value.limit) == (2, 2)
        assert full.value.retry_after_seconds > 0
        assert engine.load().waiting == 2
        runner.permits.release(1000)
        await asyncio.gather(*map(collect, streams))
        await collect(engine.submit(request()))


async def test_a_step_that_raises_fails_everything_and_nothing_runs_afterwards():
    runner = HeldRunner()
    async with running(runner, rows=1) as engine:
        streams = [engine.submit(request(start)) for start in (1, 2)]
        runner.permits.release(2)
        assert (await streams[0].receive())[0].token_ids == [2, 3]
        runner.broken = True
        runner.permits.release(1)
        for stream in streams:
            with pytest.raises(EngineFailed, match="r1") as failed:
                await stream.receive()
            assert str(failed.value.__cause__) == "broken on purpose"
        assert engine.failed.is_set()
        assert str(engine.failure) == "broken on purpose"
        with pytest.raises(EngineStopped):
            engine.submit(request())
        await until(lambda: not any(thread.name == "engine of fake@1" for thread in threading.enumerate()))


async def test_what_came_before_a_failure_is_received_before_it():
    runner = HeldRunner()
    async with running(runner) as engine:
        done, half = engine.submit(request(new=2)), engine.submit(request(5, new=9))
        runner.permits.release(2)
        await until(lambda: engine.load().running == 1)
        runner.broken = True
        runner.permits.release(1)
        await engine.failed.wait()
        assert (await collect(done))[0] == {0: [2, 3]}
        assert (await half.receive())[0].token_ids == [6, 7]
        with pytest.raises(EngineFailed):
            await half.receive()


async def test_stopping_fails_what_is_not_done():
    engine = Engine(FakeRunner(), EngineSettings(rows=2))
    with pytest.raises(EngineStopped):
        engine.submit(request())
    engine.start()
    stream = engine.submit(request(new=10**6))
    await stream.receive()
    await engine.stop()
    with pytest.raises(EngineStopped):
        while True:
            await stream.receive()
    with pytest.raises(EngineStopped):
        engine.submit(request())
    assert not engine.failed.is_set()


async def test_an_idle_engine_sleeps():
    runner = FakeRunner()
    async with running(runner) as engine:
        await collect(engine.submit(request()))
        iterations = []
        engine._batch.iterate = lambda: iterations.append(1)
        await asyncio.sleep(0.05)
        assert not iterations


async def test_a_deadline_in_the_engines_clock_ends_a_stream():
    now = [100.0]
    engine = Engine(FakeRunner(), EngineSettings(rows=2), clock=lambda: now[0])
    engine.start()
    stream = engine.submit(request(new=10**9, deadline=101.0))
    await stream.receive()
    now[0] = 101.0
    _, finishes = await collect(stream)
    assert finishes[0].reason is FinishReason.DEADLINE
    await engine.stop()


async def test_nothing_is_kept_of_streams_that_are_done():
    async with running() as engine:
        kept = []
        for _ in range(20):
            streams = [engine.submit(request(start, new=3)) for start in range(50)]
            streams[7].cancel()
            await asyncio.gather(*(collect(stream) for stream in streams))
            kept += map(weakref.ref, streams)
            del streams
        await collect(engine.submit(request()))
        gc.collect()
        assert sum(stream() is not None for stream in kept) == 0
        assert len(engine._streams) <= 1
