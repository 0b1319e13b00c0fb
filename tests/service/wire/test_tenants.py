"""Many callers and few rows: tenants take turns, urgent requests go first, and who is refused is told when to come."""

import asyncio

import grpc
import pytest

from protos.seqstream.v1 import generation_pb2 as pb
from service.wire.calls import Calls
from tests.service.wire.asking import ask, endless, finishes, read, stop, tokens_of
from tests.service.wire.running import PATIENCE, Running, serve, until
from tests.service.wire.test_errors import found_in, refused


def of(tenant: str) -> tuple[tuple[str, str], ...]:
    return (("x-tenant", tenant),)


async def test_one_tenant_with_five_hundred_requests_delays_another_by_one_round(models_folder):
    tokens, rows = 400, 4
    async with serve(models_folder, rows=rows, queue_limit=600) as running:
        engine = running.models.find("gru").engine
        crowd = [running.generation.Generate(ask(stop=stop(tokens)), metadata=of("crowd")) for _ in range(500)]
        await until(lambda: engine.load().waiting >= 450)
        other = running.generation.Generate(ask(), metadata=of("other"), timeout=PATIENCE)
        await read(other, 1)
        before = engine.work().generated_tokens
        await read(other, 1)
        # One round of all rows; as much again for what goes on while messages are on their way.
        assert engine.work().generated_tokens - before <= 2 * rows * tokens
        assert engine.load().waiting > 300, "the crowd is still there"
        for call in crowd:
            call.cancel()


async def test_urgent_requests_of_a_tenant_go_first(models_folder):
    async with serve(models_folder, rows=1, queue_limit=16) as running:
        blocking = running.generation.Generate(endless(), timeout=PATIENCE)
        await read(blocking, 3)
        order: list[int] = []

        async def generate(priority: int) -> None:
            async for _ in running.generation.Generate(ask(priority=priority), timeout=PATIENCE):
                pass
            order.append(priority)

        async with asyncio.TaskGroup() as group:
            for priority in (0, -10, 0, 10, 5):
                group.create_task(generate(priority))
                await asyncio.sleep(0.01)
            blocking.cancel()
        assert order == [10, 5, 0, 0, -10]


async def test_a_priority_outside_of_its_limits_is_refused(running: Running):
    for call in (
        running.generation.Generate(ask(priority=11)),
        running.generation.Score(pb.ScoreRequest(model="gru", text="a", continuation_text="b", priority=-11)),
    ):
        code, message, _ = await refused(call)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert message.startswith("priority is ") and message.endswith("allowed: -10 to 10")


async def test_a_tenant_has_as_many_requests_as_it_may_and_no_more(models_folder):
    async with serve(models_folder, calls=Calls(tenant_requests=2)) as running:
        calls = [running.generation.Generate(endless(), metadata=of("acme")) for _ in range(2)]
        for call in calls:
            await read(call, 1)
        code, _, found = await refused(running.generation.Generate(ask(), metadata=of("acme")))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert found["ErrorInfo"].reason == "TENANT_FULL"
        assert dict(found["ErrorInfo"].metadata) == {"tenant": "acme", "limit": "2"}
        assert found["QuotaFailure"].violations[0].subject == "tenant:acme"
        assert found["RetryInfo"].retry_delay.ToNanoseconds() > 0
        assert len(tokens_of(await running.events(ask()))) == 40, "others are not concerned"
        calls[0].cancel()
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    again = running.generation.Generate(ask(), metadata=of("acme"))
                    assert len(tokens_of([event async for event in again])) == 40
                    break
                except grpc.aio.AioRpcError as error:
                    assert found_in(error)["ErrorInfo"].reason == "TENANT_FULL"
        calls[1].cancel()


async def test_a_tenant_has_as_many_rows_as_it_may_while_others_run(models_folder):
    async with serve(models_folder, rows=4, tenant_rows=2) as running:
        calls = [running.generation.Generate(endless(), metadata=of("acme")) for _ in range(4)]
        for call in calls[:2]:
            await read(call, 3)
        assert len(tokens_of(await running.events(ask()))) == 40, "there are rows for others"
        assert running.models.find("gru").engine.load().running <= 2
        code, message, _ = await refused(running.generation.Generate(ask(samples=3)))
        assert (code, message) == (grpc.StatusCode.INVALID_ARGUMENT, "samples is 3; allowed: 1 to 2")
        for call in calls:
            call.cancel()


async def test_what_cannot_have_its_turn_before_its_deadline_is_refused_at_once(models_folder):
    async with serve(models_folder, rows=1, queue_limit=600) as running:
        for _ in range(20):  # so that the pace is known
            await running.events(ask())
        crowd = [running.generation.Generate(ask(stop=stop(2000))) for _ in range(40)]
        await read(crowd[0], 3)
        engine = running.models.find("gru").engine
        await until(lambda: engine.load().waiting == 39)
        code, _, found = await refused(running.generation.Generate(ask(), timeout=0.05))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert found["ErrorInfo"].reason == "DEADLINE_TOO_NEAR"
        wait, left = (float(found["ErrorInfo"].metadata[name]) for name in ("wait_seconds", "left_seconds"))
        assert 0 < left < 0.05 < wait
        for call in crowd:
            call.cancel()


@pytest.mark.parametrize("queue_limit", [4, 16])
async def test_whoever_comes_back_when_told_to_finds_room(models_folder, queue_limit):
    async with serve(models_folder, rows=2, queue_limit=queue_limit) as running:
        refusals: list[int] = []

        async def persistent() -> None:
            for tries in range(10):
                try:
                    call = running.generation.Generate(ask(stop=stop(200)))
                    assert finishes([event async for event in call])
                except grpc.aio.AioRpcError as error:
                    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                    await asyncio.sleep(found_in(error)["RetryInfo"].retry_delay.ToNanoseconds() / 1e9)
                else:
                    refusals.append(tries)
                    return
            raise AssertionError("told to come back ten times, and never was there room")

        for _ in range(40 // queue_limit):  # so that the pace is known
            await asyncio.gather(*(persistent() for _ in range(queue_limit)))
        refusals.clear()
        await asyncio.gather(*(persistent() for _ in range(10 * queue_limit)))
        assert sum(tries > 0 for tries in refusals) > queue_limit, "there was not room for all at first"
        assert sum(tries > 1 for tries in refusals) <= len(refusals) // 4, "what one is told is nearly always enough"
