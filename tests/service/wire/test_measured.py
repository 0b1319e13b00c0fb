"""What a live server measures of calls, against what its clients know of them."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from protos.seqstream.v1 import generation_pb2 as pb
from protos.seqstream.v1 import model_pb2
from service.identity import Role
from service.metrics.calls import CallMetrics
from service.release import VERSION
from service.wire.calls import Calls
from service.wire.limits import Bounds, Limits
from tests.exported import Bundles
from tests.service.wire.asking import MOST_NEW_TOKENS, ask, endless, finishes, read, stop, tokens_of
from tests.service.wire.running import PATIENCE, ROOT, Running, serve, until
from tests.service.wire.test_slow_clients import slow
from tests.service.wire.versions import put, spoil


@dataclass
class Told:
    """What the metrics of a server of this process tell now."""

    running: Running
    text: str = field(init=False)

    def __post_init__(self) -> None:
        self.text = generate_latest(self.running.server.metrics).decode()
        self.values = {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(self.text)
            for sample in family.samples
        }

    def __call__(self, name: str, *labels: str) -> float | None:
        return self.values.get((f"seqstream_{name}", *sorted(labels)))


async def told_once(running: Running, name: str, *labels: str, value: float) -> Told:
    """What is told once a value is reached: a call is counted some time after its client has its status."""
    await until(lambda: Told(running)(name, *labels) == value)
    return Told(running)


async def test_times_are_counted_once_a_token_or_once_a_request(running: Running):
    began = asyncio.get_running_loop().time()
    events = await asyncio.gather(*(running.events(ask(stop=stop(20))) for _ in range(3)))
    spent = asyncio.get_running_loop().time() - began
    found = await told_once(running, "e2e_request_latency_seconds_count", "gru@2", value=3)
    for name in ("time_to_first_token", "request_queue_time", "request_prefill_time", "request_decode_time"):
        assert found(f"{name}_seconds_count", "gru@2") == 3, name
    assert found("inter_token_latency_seconds_count", "gru@2") == 3 * 19
    assert found("step_duration_seconds_count", "gru@2", "decode") == found("step_rows_count", "gru@2")
    assert found("step_rows_sum", "gru@2") == 3 * 19
    first = found("time_to_first_token_seconds_sum", "gru@2")
    assert 0 < first < found("e2e_request_latency_seconds_sum", "gru@2") < 3 * spent
    # What clients are told of their own streams, together.
    (finished,) = zip(*(finishes(each) for each in events), strict=True)
    queue = sum(each.timings.queue.ToNanoseconds() for each in finished) / 1e9
    assert found("request_queue_time_seconds_sum", "gru@2") == pytest.approx(queue, abs=1e-6)
    prompt = sum(each.usage.prompt_tokens for each in finished)
    assert found("request_prompt_tokens_sum", "gru@2") == prompt
    assert found("request_generation_tokens_sum", "gru@2") == 60
    assert found("inter_token_latency_seconds_count", "gru@1") == 0


async def test_samples_are_counted_by_why_they_end(running: Running):
    text = ask(stop=stop(30))
    whole = "".join(event.delta.text for event in await running.events(text))
    await running.events(ask(stop=stop(30, stop_strings=[whole[8:12]]), samples=2))
    await running.events(ask("x" * 60, "transformer-lm", stop=stop(500)))
    found = await told_once(running, "request_success_total", "transformer-lm@1", "context_full", value=1)
    stopped = found("request_success_total", "gru@2", "stop_string")
    assert stopped >= 1
    assert stopped + found("request_success_total", "gru@2", "max_tokens") == 3
    with suppress(grpc.aio.AioRpcError):
        await running.events(ask(stop=stop(MOST_NEW_TOKENS)), timeout=2.0)
    await told_once(running, "request_success_total", "gru@2", "deadline", value=1)


async def test_what_is_refused_is_counted_by_its_reason(models_folder: Path):
    async with serve(models_folder, rows=1, queue_limit=1) as running:
        held = [running.generation.Generate(ask(stop=stop(MOST_NEW_TOKENS))) for _ in range(2)]
        await asyncio.gather(*(read(call, 1) for call in held))
        invalid = ask(model="gru@1", sampling=pb.SamplingParameters(temperature=-1))
        for request in (ask(), ask(model="nope"), invalid):
            with pytest.raises(grpc.aio.AioRpcError):
                await running.events(request)
        found = await told_once(running, "requests_refused_total", "INVALID_ARGUMENT", value=1)
        assert found("requests_refused_total", "QUEUE_FULL") == 1
        assert found("requests_refused_total", "MODEL_NOT_FOUND") == 1
        assert found("requests_refused_total", "SLOW_CONSUMER") == 0
        for call in held:
            call.cancel()
        await told_once(running, "requests_total", "gru@2", "Generate", "CANCELLED", "-", value=2)
        assert "nope" not in Told(running).text


async def test_clients_that_do_not_read_are_counted(models_folder: Path):
    async with serve(models_folder, limits=Limits(bounds=Bounds(tokens=400))) as running, slow(running) as stub:
        call = stub.Generate(endless())
        await read(call, 1)
        await until(lambda: Told(running)("requests_refused_total", "SLOW_CONSUMER") == 1)
        call.cancel()


async def test_the_first_tenants_are_named_and_the_others_are_one(models_folder: Path):
    async with serve(models_folder, calls=Calls(metrics=CallMetrics(most_tenants=2))) as running:
        for tenant in ("acme", "globex", "initech", "umbrella", "acme"):
            call = running.generation.Tokenize(
                pb.TokenizeRequest(model="gru", text="x"), metadata=(("x-tenant", tenant),), timeout=PATIENCE
            )
            await call
        await running.generation.Tokenize(pb.TokenizeRequest(model="gru", text="x"), timeout=PATIENCE)
        found = Told(running)
        expected = {"acme": 2, "globex": 1, "(others)": 2, "-": 1}
        assert {who: found("requests_total", "gru@2", "Tokenize", "OK", who) for who in expected} == expected
        assert "umbrella" not in found.text


async def test_requests_that_go_on_are_counted_with_what_they_have(running: Running):
    events = await running.events(ask())
    await running.events(ask(resume_token_ids=tokens_of(events)[:25]))
    found = await told_once(running, "requests_total", "gru@2", "Generate", "OK", "-", value=2)
    assert found("requests_resumed_total", "gru@2") == 1
    assert found("tokens_resumed_total", "gru@2") == 25
    assert found("inter_token_latency_seconds_count", "gru@2") == 39 + 15
    assert found("time_to_first_token_seconds_count", "gru@2") == 1


async def test_drafts_are_counted_as_clients_are_told(running: Running, eager):
    request = ask("abababababab", "transformer-lm", drafts=pb.DraftOptions(prompt_lookup=True), stop=stop(30))
    (finished,) = finishes(await running.events(request))
    found = Told(running)
    assert found("spec_decode_num_draft_tokens_total", "transformer-lm@1") == finished.usage.drafted_tokens > 0
    assert found("spec_decode_num_accepted_tokens_total", "transformer-lm@1") == finished.usage.accepted_tokens
    assert found("inter_token_latency_seconds_count", "transformer-lm@1") == 29


async def test_versions_that_come_go_and_cannot_come_are_counted(bundles: Bundles, folder: Path):
    async with serve(folder, role=Role.ADMIN) as running:
        assert Told(running)("model_versions", "ready") == 1
        assert Told(running)("model_load_seconds", "mine@1") > 0
        put(bundles, "gru", folder, "mine", 2)
        spoil(put(bundles, "gru", folder, "mine", 3))
        await running.model.LoadModel(model_pb2.LoadModelRequest(model="mine@2"))
        with pytest.raises(grpc.aio.AioRpcError):
            await running.model.LoadModel(model_pb2.LoadModelRequest(model="mine@3"))
        await running.model.UnloadModel(model_pb2.UnloadModelRequest(model="mine@1"))
        found = Told(running)
        assert [found("model_versions", state) for state in ("ready", "failed", "unloading")] == [1, 1, 0]
        assert (found("model_loads_total", "ok"), found("model_loads_total", "failed")) == (1, 1)
        assert found("model_unloads_total") == 1
        assert found("requests_refused_total", "BAD_BUNDLE") == 1


async def test_the_event_loops_lag_is_seen(running: Running):
    import time

    await until(lambda: Told(running)("event_loop_lag_seconds_count") >= 1)
    time.sleep(0.35)  # noqa: ASYNC251 (the loop is to be late)
    await until(lambda: Told(running)("event_loop_lag_seconds_sum") > 0.2)
    found = Told(running)
    assert found("event_loop_lag_seconds_bucket", "+Inf") > found("event_loop_lag_seconds_bucket", "0.2")


async def test_neither_prompts_nor_what_is_made_of_them_are_told(running: Running):
    events = await running.events(ask("a secret of mine"))
    text = (await told_once(running, "requests_total", "gru@2", "Generate", "OK", "-", value=1)).text
    assert "secret" not in text
    assert events[0].started.request_id not in text


def test_the_release_is_that_of_the_package():
    assert f'\nversion = "{VERSION}"\n' in (ROOT / "pyproject.toml").read_text()
