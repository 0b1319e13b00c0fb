"""Streams that end early: cancelled, dropped, out of time. Their rows are free again."""

import grpc
import pytest

from protos.seqstream.v1 import generation_pb2 as pb
from tests.service.wire.asking import MOST_NEW_TOKENS, ask, endless, finishes, read, stop, text_of, tokens_of
from tests.service.wire.running import Running, serve, until


async def test_a_cancelled_stream_frees_its_rows(running: Running):
    call = running.generation.Generate(endless(samples=3))
    await read(call, 5)
    assert running.models.find("gru").engine.load().running == 3
    call.cancel()
    await until(running.idle)


async def test_a_dropped_connection_frees_its_rows(running: Running):
    async with grpc.aio.insecure_channel(running.address) as channel:
        call = type(running.generation)(channel).Generate(endless(samples=2))
        await read(call, 5)
    await until(running.idle)


async def test_a_cancelled_request_that_waits_leaves_the_queue(models_folder):
    async with serve(models_folder, rows=1) as running:
        first = running.generation.Generate(endless())
        await read(first, 9)
        second = running.generation.Generate(endless())
        await read(second, 1)
        engine = running.models.find("gru").engine
        assert (engine.load().running, engine.load().waiting) == (1, 1)
        second.cancel()
        await until(lambda: engine.load().waiting == 0)
        assert engine.load().running == 1
        first.cancel()
        await until(running.idle)


async def test_a_cancelled_score_frees_its_row(models_folder):
    async with serve(models_folder, rows=1) as running:
        first = running.generation.Generate(endless())
        await read(first, 9)
        score = running.generation.Score(pb.ScoreRequest(model="gru", text="a", continuation_text="b"))
        engine = running.models.find("gru").engine
        await until(lambda: engine.load().waiting == 1)
        score.cancel()
        first.cancel()
        await until(running.idle)


async def test_a_deadline_ends_the_samples_with_what_they_have(running: Running):
    request = ask(stop=stop(MOST_NEW_TOKENS), samples=2)
    events = await running.events(request, timeout=2.0)
    assert [finish.reason for finish in finishes(events)] == [pb.FINISH_REASON_DEADLINE] * 2
    for finish in finishes(events):
        tokens = tokens_of(events, finish.sample)
        assert 0 < len(tokens) == finish.usage.generated_tokens < MOST_NEW_TOKENS
        decoded = await running.generation.Detokenize(pb.DetokenizeRequest(model="gru", token_ids=tokens))
        assert decoded.text == text_of(events, finish.sample)


async def test_a_deadline_that_passes_in_the_queue_ends_the_samples_with_nothing(models_folder):
    async with serve(models_folder, rows=1) as running:
        first = running.generation.Generate(endless())
        await read(first, 9)
        events = await running.events(ask(), timeout=2.0)
        assert [finish.reason for finish in finishes(events)] == [pb.FINISH_REASON_DEADLINE]
        assert tokens_of(events) == []
        first.cancel()


async def test_a_deadline_too_short_for_anything_is_the_status(running: Running):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.events(endless(), timeout=-1.0)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(running.idle)
