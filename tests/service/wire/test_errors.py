"""Every error that a client can get, with its details."""

import asyncio
import math

import grpc
import pytest
from google.rpc import error_details_pb2 as details
from grpc_status import rpc_status

from bundle.runner import Runner
from protos.seqstream.v1 import generation_pb2 as pb
from protos.seqstream.v1 import model_pb2
from tests.service.wire.asking import MOST_NEW_TOKENS, ask, endless, read, tokens_of
from tests.service.wire.running import PATIENCE, Running, serve

NAN = math.nan


async def refused(call) -> tuple[grpc.StatusCode, str, dict[str, object]]:
    """Return the status, the message and the details by type of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        if hasattr(call, "__aiter__"):
            _ = [event async for event in call]
        else:
            await call
    return caught.value.code(), caught.value.details(), found_in(caught.value)


def found_in(error: grpc.aio.AioRpcError) -> dict[str, object]:
    metadata = tuple((key, value) for key, value in error.trailing_metadata())
    status = rpc_status.from_call(_Call(error.code(), error.details(), metadata))
    found = {}
    for packed in status.details:
        kind = getattr(details, packed.TypeName().rpartition(".")[2])()
        assert packed.Unpack(kind)
        found[type(kind).__name__] = kind
    assert len(found["RequestInfo"].request_id) == 16
    return found


class _Call:
    """What rpc_status wants of a call."""

    def __init__(self, code, message, metadata):
        self.code = lambda: code
        self.details = lambda: message
        self.trailing_metadata = lambda: metadata


def sampling(**fields) -> dict[str, object]:
    return {"sampling": pb.SamplingParameters(**fields)}


def stopping(**fields) -> dict[str, object]:
    return {"stop": pb.StopConditions(**fields)}


def output(**fields) -> dict[str, object]:
    return {"output": pb.OutputOptions(**fields)}


BAD_FIELDS = [
    (sampling(temperature=-0.5), "sampling.temperature", "-0.5", "0 to 100"),
    (sampling(temperature=NAN), "sampling.temperature", "nan", "0 to 100"),
    (sampling(temperature=math.inf), "sampling.temperature", "inf", "0 to 100"),
    (sampling(top_p=0), "sampling.top_p", "0", "over 0 to 1"),
    (sampling(top_p=1.5), "sampling.top_p", "1.5", "over 0 to 1"),
    (sampling(min_p=NAN), "sampling.min_p", "nan", "0 to 1"),
    (sampling(typical_p=0), "sampling.typical_p", "0", "over 0 to 1"),
    (sampling(repetition_penalty=0), "sampling.repetition_penalty", "0", "over 0 to 100"),
    (sampling(presence_penalty=101), "sampling.presence_penalty", "101", "-100 to 100"),
    (sampling(frequency_penalty=-101), "sampling.frequency_penalty", "-101", "-100 to 100"),
    (sampling(logit_bias={5: NAN}), "sampling.logit_bias[5]", "nan", "-100 to 100"),
    (sampling(logit_bias={400: 1}), "sampling.logit_bias[400]", "no token", "0 to 330"),
    (sampling(logit_bias=dict.fromkeys(range(1025), 0)), "sampling.logit_bias", "1025 entries", "at most 1024"),
    (sampling(banned_token_ids=[3, 331]), "sampling.banned_token_ids[1]", "331", "0 to 330"),
    (sampling(banned_token_ids=[3] * 1025), "sampling.banned_token_ids", "1025 entries", "at most 1024"),
    (sampling(banned_token_ids=range(331)), "sampling.banned_token_ids", "every token", "leaves one"),
    (stopping(max_new_tokens=0), "stop.max_new_tokens", "0", "1 to 100000"),
    (stopping(max_new_tokens=100001), "stop.max_new_tokens", "100001", "1 to 100000"),
    (stopping(max_new_tokens=9, min_new_tokens=10), "stop.min_new_tokens", "10", "at most stop.max_new_tokens, 9"),
    (stopping(stop_strings=[""]), "stop.stop_strings[0]", "0 bytes", "1 to 256"),
    (stopping(stop_strings=["a", "한" * 86]), "stop.stop_strings[1]", "258 bytes", "1 to 256"),
    (stopping(stop_strings=["a"] * 17), "stop.stop_strings", "17 entries", "at most 16"),
    (stopping(stop_token_ids=[331]), "stop.stop_token_ids[0]", "331", "0 to 330"),
    (stopping(stop_token_ids=[3] * 17), "stop.stop_token_ids", "17 entries", "at most 16"),
    (output(logprobs=True, top_logprobs=21), "output.top_logprobs", "21", "0 to 20"),
    (output(top_logprobs=1), "output.top_logprobs", "1", "0 without logprobs"),
    (output(max_tokens_per_message=0), "output.max_tokens_per_message", "0", "1 to 1024"),
    (output(max_tokens_per_message=1025), "output.max_tokens_per_message", "1025", "1 to 1024"),
    ({**output(omit_text=True), **stopping(stop_strings=["a"])}, "output.omit_text", "true", "false"),
    ({"samples": 0}, "samples", "0", "1 to 4"),
    ({"samples": 5}, "samples", "5", "1 to 4"),
    ({"first_sample": 2**32 - 1, "samples": 2}, "first_sample", "4294967295", "below 4294967296"),
    ({"samples": 2, "resume_token_ids": [3]}, "resume_token_ids", "1 entries", "none with samples other than 1"),
    ({"resume_token_ids": [3] * 41}, "resume_token_ids", "41 entries", "at most stop.max_new_tokens, 40"),
    ({"resume_token_ids": [331]}, "resume_token_ids[0]", "331", "0 to 330"),
    ({"text": "a" * (1 << 20) + "b"}, "text", "1048577 bytes", "at most 1048576"),
    ({"token_ids": pb.TokenIds()}, "token_ids.ids", "empty", "at least one"),
    ({"token_ids": pb.TokenIds(ids=[3] * ((1 << 20) + 1))}, "token_ids.ids", "1048577 tokens", "at most 1048576"),
    ({"text": "a" * 8192, **output(prompt_logprobs=True)}, "output.prompt_logprobs", "8193 tokens", "at most 8192"),
    ({"token_ids": pb.TokenIds(ids=[1, 331])}, "token_ids.ids[1]", "331", "0 to 330"),
    ({"model": "transformer", "text": ""}, "text", "empty", "source"),
    ({"model": "transformer", "text": "2" * 150}, "text", "151 tokens", "at most 150 tokens"),
    ({"model": "transformer", "token_ids": pb.TokenIds(ids=[200])}, "token_ids.ids[0]", "200", "0 to"),
    ({"model": "transformer-lm", "token_ids": pb.TokenIds(ids=[9] * 64)}, "token_ids.ids", "64 tokens", "at most 64"),
]


@pytest.mark.parametrize(("fields", "field", "given", "allowed"), BAD_FIELDS)
async def test_a_bad_field_is_named_with_its_value_and_its_limit(running: Running, fields, field, given, allowed):
    request = pb.GenerateRequest(**{"model": "gru", **stopping(max_new_tokens=40), **fields})
    if request.WhichOneof("prompt") is None:
        request.text = "The quick"
    code, message, found = await refused(running.generation.Generate(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    (violation,) = found["BadRequest"].field_violations
    assert violation.field == field
    value, _, limit = violation.description.partition("; allowed: ")
    assert given in value
    assert allowed in limit
    assert message.startswith(field)


async def test_a_missing_prompt_is_named(running: Running):
    code, _, found = await refused(running.generation.Generate(pb.GenerateRequest(model="gru")))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in found["BadRequest"].field_violations] == ["prompt"]


async def test_all_bad_fields_are_told_at_once(running: Running):
    request = ask(samples=9, **sampling(top_p=2, min_p=-1), **output(top_logprobs=30))
    request.token_ids.ids.append(999)
    _, message, found = await refused(running.generation.Generate(request))
    fields = {violation.field for violation in found["BadRequest"].field_violations}
    assert fields == {"samples", "sampling.top_p", "sampling.min_p", "output.top_logprobs", "token_ids.ids[0]"}
    assert message.endswith("(and 5 more)")  # top_logprobs is wrong twice


async def test_no_number_of_bad_fields_makes_the_answer_too_long(running: Running):
    request = ask(model="gru", **sampling(logit_bias=dict.fromkeys(range(1000, 2000), NAN)))
    code, message, found = await refused(running.generation.Generate(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert len(found["BadRequest"].field_violations) == 16
    assert message.endswith("more)")


@pytest.mark.parametrize("name", ["nope", "gru@3", "gru@", "", "@1", "x" * 100_000])
async def test_an_unknown_model_is_not_found_and_the_known_are_told(running: Running, name: str):
    calls = [
        running.generation.Generate(ask(model=name)),
        running.generation.Score(pb.ScoreRequest(model=name)),
        running.generation.Tokenize(pb.TokenizeRequest(model=name)),
        running.generation.Detokenize(pb.DetokenizeRequest(model=name)),
        running.model.GetModel(model_pb2.GetModelRequest(model=name)),
    ]
    for call in calls:
        code, message, found = await refused(call)
        info = found["ErrorInfo"]
        assert (code, info.reason, info.domain) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", "seqstream")
        assert info.metadata["models"] == "gru@1, gru@2, transformer@1, transformer-lm@1"
        assert "gru@1, gru@2" in message


async def test_prompt_logprobs_of_a_source_are_a_failed_precondition(running: Running):
    request = ask("28 Kasım", "transformer", **output(prompt_logprobs=True))
    code, _, found = await refused(running.generation.Generate(request))
    info = found["ErrorInfo"]
    assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_HAS_SOURCE")
    assert dict(info.metadata) == {"model": "transformer@1", "field": "output.prompt_logprobs"}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "prompt"),
        ({"text": "a"}, "continuation"),
        ({"text": "a", "continuation_text": ""}, "continuation_text"),
        ({"text": "a", "continuation_text": "b", "top_logprobs": 21}, "top_logprobs"),
        ({"text": "a", "continuation_token_ids": pb.TokenIds(ids=[331])}, "continuation_token_ids.ids[0]"),
        ({"text": "a", "continuation_token_ids": pb.TokenIds(ids=[9] * 8193)}, "continuation_token_ids"),
        ({"model": "transformer-lm", "text": "a", "continuation_token_ids": pb.TokenIds(ids=[9] * 63)}, "text"),
    ],
)
async def test_bad_fields_of_score(running: Running, fields, field):
    code, _, found = await refused(running.generation.Score(pb.ScoreRequest(**{"model": "gru", **fields})))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert field in {violation.field for violation in found["BadRequest"].field_violations}


async def test_bad_fields_of_tokenize_and_detokenize(running: Running):
    service = running.generation
    for call, field in [
        (service.Tokenize(pb.TokenizeRequest(model="gru", text="a" * (1 << 17) + "b")), "text"),
        (service.Tokenize(pb.TokenizeRequest(model="gru", vocabulary=pb.VOCABULARY_SOURCE)), "vocabulary"),
        (service.Tokenize(pb.TokenizeRequest(model="gru", vocabulary=9)), "vocabulary"),
        (service.Detokenize(pb.DetokenizeRequest(model="gru", token_ids=[1, 331])), "token_ids[1]"),
        (service.Detokenize(pb.DetokenizeRequest(model="gru", token_ids=[1] * 65537)), "token_ids"),
    ]:
        code, _, found = await refused(call)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert [violation.field for violation in found["BadRequest"].field_violations] == [field]


async def test_a_full_queue_says_when_to_come_back(models_folder):
    async with serve(models_folder, rows=1, queue_limit=1) as running:
        calls = [running.generation.Generate(endless()) for _ in range(2)]
        for call in calls:
            await read(call, 1)
        code, _, found = await refused(running.generation.Generate(endless()))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert found["ErrorInfo"].reason == "QUEUE_FULL"
        assert found["RetryInfo"].retry_delay.ToNanoseconds() > 0
        assert found["QuotaFailure"].violations[0].subject == "queue"
        for call in calls:
            call.cancel()


async def test_a_step_that_fails_is_an_internal_error_and_says_no_more(running: Running, monkeypatch):
    call = running.generation.Generate(endless())
    await read(call, 9)

    def broken(*_):
        raise RuntimeError("the secret reason")

    monkeypatch.setattr(Runner, "step", broken)
    code, message, found = await refused(call)
    assert (code, found["ErrorInfo"].reason) == (grpc.StatusCode.INTERNAL, "MODEL_FAILED")
    assert "secret" not in message
    async with asyncio.timeout(PATIENCE):
        await running.server.failed()
    code, _, _ = await refused(running.generation.Generate(ask()))
    assert code is grpc.StatusCode.UNAVAILABLE


async def test_a_bug_is_an_internal_error_and_a_log_entry(running: Running, monkeypatch, caplog):
    monkeypatch.setattr("service.wire.generation.read_asked", None)
    code, message, found = await refused(running.generation.Generate(ask()))
    assert (code, message) == (grpc.StatusCode.INTERNAL, "internal error")
    assert found["RequestInfo"].request_id in caplog.text
    assert "TypeError" in caplog.text


async def test_a_draining_server_refuses_and_ends_what_runs(running: Running):
    call = running.generation.Generate(endless())
    received = await read(call, 9)
    draining = asyncio.create_task(running.server.drain(PATIENCE))
    await asyncio.sleep(0)
    for refusal in (running.generation.Generate(ask()), running.model.ListModels(model_pb2.ListModelsRequest())):
        code, _, found = await refused(refusal)
        assert (code, found["ErrorInfo"].reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert found["RetryInfo"].retry_delay.ToNanoseconds() > 0
    running.server.end_calls()
    running.server.end_calls()
    await draining
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        received += [event async for event in call]
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert found_in(caught.value)["ErrorInfo"].reason == "DRAINING"
    assert len(tokens_of(received)) < MOST_NEW_TOKENS
