"""The client against real servers: what it gives, how it fails, and that it leaves nothing behind."""

import asyncio
import math

import pytest

from protos.seqstream.v1 import generation_pb2 as pb
from service.client import Client
from service.failures import (
    ClientError,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Overloaded,
    Unavailable,
)
from service.retry import Retry
from tests.service.wire.asking import MOST_NEW_TOKENS, B, ask, endless, read, text_of, tokens_of
from tests.service.wire.running import PATIENCE, Running, serve, until

ONCE = Retry(attempts=1)


async def test_a_generation_is_iterated_and_tells_how_it_ended(running: Running):
    async with Client(running.address) as client:
        generation = client.generate("gru", "The quick 안녕 ", seed=7, max_new_tokens=40, ignore_end_of_sequence=True)
        deltas = [delta async for delta in generation]
    events = await running.events(ask())
    assert "".join(delta.text for delta in deltas) == text_of(events)
    assert [token_id for delta in deltas for token_id in delta.token_ids] == tokens_of(events)
    assert generation.started is not None
    assert (generation.started.model, generation.started.seed) == ("gru@2", 7)
    assert [(finished.reason, finished.generated_tokens) for finished in generation.finished] == [("MAX_TOKENS", 40)]


async def test_a_result_holds_all_samples(running: Running):
    options = {"max_new_tokens": 9, "ignore_end_of_sequence": True, "logprobs": True, "top_logprobs": 2}
    async with Client(running.address) as client:
        result = await client.generate("gru", [1, 50, 60], samples=2, prompt_logprobs=True, **options).result()
    assert [len(sample.token_ids) for sample in result.samples] == [9, 9]
    assert [len(sample.logprobs) for sample in result.samples] == [9, 9]
    assert [logprob.token_id for logprob in result.prompt_logprobs] == [50, 60]
    assert result.prompt_logprobs[0].alternatives[0].logprob <= 0
    assert result.started.prompt_tokens == 3


async def test_a_stop_string_is_told(running: Running):
    async with Client(running.address) as client:
        result = await client.generate("gru", "", logit_bias={B: 100}, stop_strings=["BB"]).result()
    assert (result.samples[0].finished.reason, result.samples[0].finished.match) == ("STOP_STRING", "BB")
    assert result.samples[0].text == ""


async def test_the_other_calls(running: Running):
    async with Client(running.address) as client:
        score = await client.score("gru", "The", " quick")
        assert score.total_logprob == pytest.approx(math.fsum(logprob.logprob for logprob in score.logprobs))
        tokens = await client.tokenize("gru", "안녕")
        assert await client.detokenize("gru", [token.id for token in tokens]) == "안녕"
        assert (tokens[0].start, tokens[-1].end) == (0, 2)
        assert [model.name for model in await client.models()] == ["gru", "gru", "transformer", "transformer-lm"]
        model = await client.model("transformer")
        assert (model.context_limit, model.source_limit, model.device) == (48, 150, "cpu")
        assert await client.tokenize("transformer", "1", "source") != await client.tokenize(
            "transformer", "1", "target"
        )


async def test_leaving_the_loop_cancels_the_generation(running: Running):
    async with Client(running.address) as client:
        async for _ in client.generate("gru", "", max_new_tokens=MOST_NEW_TOKENS, ignore_end_of_sequence=True):
            break
        await until(running.idle)
        kept = client.generate("gru", "", max_new_tokens=MOST_NEW_TOKENS, ignore_end_of_sequence=True)
        async for _ in kept:
            break
        await until(running.idle)
        async with client.generate("gru", "", max_new_tokens=MOST_NEW_TOKENS, ignore_end_of_sequence=True) as kept:
            async for _ in kept:
                break
        await until(running.idle)


async def test_cancelling_the_task_cancels_the_generation(running: Running):
    async with Client(running.address) as client:
        options = {"max_new_tokens": MOST_NEW_TOKENS, "ignore_end_of_sequence": True}
        task = asyncio.create_task(client.generate("gru", "", **options).result())
        await until(lambda: not running.idle())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(running.idle)


async def test_errors_have_their_details(running: Running):
    async with Client(running.address) as client:
        with pytest.raises(InvalidArgument) as invalid:
            await client.generate("gru", "a", top_p=2.0, samples=9).result()
        assert {violation.field for violation in invalid.value.violations} == {"sampling.top_p", "samples"}
        assert len(invalid.value.request_id) == 16
        with pytest.raises(NotFound) as missing:
            await client.model("nope")
        assert missing.value.known == ("gru@1", "gru@2", "transformer@1", "transformer-lm@1")
        with pytest.raises(FailedPrecondition):
            await client.generate("transformer", "1", prompt_logprobs=True).result()
        assert issubclass(InvalidArgument, ClientError)


async def test_options_that_do_not_exist_or_fit_are_errors_before_anything_is_sent(running: Running):
    async with Client(running.address) as client:
        with pytest.raises(TypeError, match="no option 'temperatur'; there are temperature"):
            client.generate("gru", "a", temperatur=1.0)
        with pytest.raises(ValueError, match="top_k: -1 does not fit"):
            client.generate("gru", "a", top_k=-1)


async def test_a_timeout_gives_what_there_is(running: Running):
    async with Client(running.address) as client:
        options = {"max_new_tokens": MOST_NEW_TOKENS, "ignore_end_of_sequence": True}
        result = await client.generate("gru", "", timeout=2.0, **options).result()
        assert result.samples[0].finished.reason == "DEADLINE"
        assert result.samples[0].token_ids


async def test_nobody_there_is_unavailable():
    async with Client("127.0.0.1:1", ONCE) as client:
        with pytest.raises(Unavailable):
            await client.models()
        with pytest.raises(Unavailable):
            await client.generate("gru", "").result()


async def test_no_time_for_another_attempt_is_deadline_exceeded():
    async with Client("127.0.0.1:1", Retry(first_seconds=PATIENCE, longest_seconds=PATIENCE)) as client:
        with pytest.raises(DeadlineExceeded, match="no time is left"):
            await client.generate("gru", "", timeout=5.0).result()


async def test_an_overloaded_server_is_an_error_or_waited_for(models_folder):
    async with serve(models_folder, rows=1, queue_limit=1) as running:
        calls = [running.generation.Generate(endless()) for _ in range(2)]
        for call in calls:
            await read(call, 1)
        async with Client(running.address) as client:
            with pytest.raises(Overloaded) as caught:
                await client.generate("gru", "", max_new_tokens=3).result()
            assert caught.value.retry_after > 0
        async with Client(running.address, Retry(attempts=100, overloaded=True)) as client:
            waiting = asyncio.create_task(client.generate("gru", "", max_new_tokens=3).result())
            await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            assert (await waiting).samples[0].token_ids


async def test_a_draining_server_gets_no_new_calls_while_another_serves(models_folder):
    async with serve(models_folder) as first, serve(models_folder) as second:
        both = f"ipv4:{first.address},{second.address}"
        async with Client(both) as client:
            await client.models()
            await first.server.drain(0)
            for _ in range(4):
                assert (await client.generate("gru", "", max_new_tokens=3).result()).samples
        assert second.idle()


def test_pauses_grow_and_end_and_obey_the_server():
    retry = Retry(attempts=5, first_seconds=1.0, longest_seconds=3.0)
    pauses = [retry.pause(Unavailable("gone"), attempt) for attempt in range(1, 6)]
    assert pauses[-1] is None
    for pause, longest in zip(pauses[:-1], (1.0, 2.0, 3.0, 3.0), strict=True):
        assert longest / 2 <= pause <= longest
    assert retry.pause(Unavailable("gone", retry_after=9.0), 1) == 9.0
    assert retry.pause(Overloaded("full", retry_after=9.0), 1) is None
    assert Retry(overloaded=True).pause(Overloaded("full", retry_after=9.0), 1) == 9.0
    assert retry.pause(ClientError("other"), 1) is None


def test_by_default_servers_have_half_a_minute_to_start_again():
    retry, gone = Retry(), Unavailable("gone")
    pauses = [retry.pause(gone, failed) for failed in range(1, retry.attempts)]
    assert 25 <= sum(pauses) <= 52
    assert max(pauses) <= 2
    assert retry.pause(gone, retry.attempts) is None


async def test_what_was_left_at_the_end_is_not_told_twice():
    """A stream that broke between its last text and its end: the resumed one sends that text again."""
    from service.wire.progress import Progress

    progress = Progress(pb.GenerateRequest(model="m"))
    started = pb.GenerateResponse(started=pb.Started(model="m@1", seed=5))
    tokens = pb.GenerateResponse(delta=pb.TokenDelta(position=0, token_ids=[4], text="a"))
    left = pb.GenerateResponse(delta=pb.TokenDelta(position=1, text="b"))
    assert progress.take(started) is None
    assert [progress.take(tokens).text, progress.take(left).text] == ["a", "b"]
    (again,) = progress.remaining()
    assert (again.model, again.seed, list(again.resume_token_ids)) == ("m@1", 5, [4])
    assert progress.take(started) is None
    assert progress.take(left) is None
    progress.take(pb.GenerateResponse(finished=pb.Finished()))
    assert progress.done
