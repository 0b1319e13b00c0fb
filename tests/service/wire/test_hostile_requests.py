"""Requests made by chance, for every method: each is answered with a status that says what is wrong."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.reliability.cases import METHODS, make_case
from benchmarks.reliability.wire import send_cases
from tests.service.wire.running import Running, serve, until

NAMES = ("gru", "gru@1", "transformer-lm", "transformer")
CASES = 600


async def test_every_answer_is_proper_and_nothing_is_left(models_folder, caplog):
    async with serve(models_folder, rows=8, queue_limit=64, most=40) as running:
        await send_cases(running.address, range(10), 2, NAMES, 4)
        tasks = len(asyncio.all_tasks())
        outcome = await send_cases(running.address, range(CASES), 2, NAMES, 16)
        assert outcome.faults == []
        assert outcome.codes.total() == CASES
        assert {"OK", "INVALID_ARGUMENT", "NOT_FOUND"} <= outcome.codes.keys()
        await until(running.idle)
        await until(lambda: len(asyncio.all_tasks()) <= tasks)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_cases_reach_every_method_and_are_made_again_from_their_number():
    cases = [make_case(1, number, NAMES) for number in range(300)]
    assert cases == [make_case(1, number, NAMES) for number in range(300)]
    assert {case.path for case in cases} >= {f"/{one.containing_service.full_name}/{one.name}" for one in METHODS}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
async def test_bytes_that_are_no_message_are_an_invalid_argument(running: Running, method):
    path = f"/{method.containing_service.full_name}/{method.name}"
    garbage = b"\x0a\xff\xff"
    if method.client_streaming:
        call = running.channel.stream_stream(path)(iter([garbage]))
    elif method.server_streaming:
        call = running.channel.unary_stream(path)(garbage)
    else:
        call = running.channel.unary_unary(path)(garbage)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        if method.server_streaming:
            _ = [response async for response in call]
        else:
            await call
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "request does not parse; allowed: the message of the method"


async def test_a_message_that_is_too_large_is_refused_by_its_size(running: Running):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.channel.unary_unary("/seqstream.v1.GenerationService/Tokenize")(b"\x12" + b"x" * (5 << 20))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "4194304" in caught.value.details()


async def test_health_lists_every_model(running: Running):
    answer = await health_pb2_grpc.HealthStub(running.channel).List(health_pb2.HealthListRequest())
    assert {*running.models.names, ""} == answer.statuses.keys()
    assert {status.status for status in answer.statuses.values()} == {health_pb2.HealthCheckResponse.SERVING}
