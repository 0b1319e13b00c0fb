"""Traces of calls, as a collector gets them: what belongs to what, where the time went, how calls ended."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from protos.seqstream.v1 import generation_pb2 as pb
from service.client import Client
from service.failures import NotFound
from service.release import VERSION
from service.traces import TracesError, open_traces
from service.wire.calls import Calls
from service.wire.propagated import trace_context
from tests.service.wire.asking import MOST_NEW_TOKENS, ask, finishes, read, stop
from tests.service.wire.collector import ERROR, Collector, Span, collecting
from tests.service.wire.running import ENVIRONMENT, PATIENCE, ROOT, Process, Running, serve, until
from tests.service.wire.slow import LONG

SERVER, INTERNAL = 2, 1
PROMPT = "a secret of mine"
PARENT = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED, NOT_SAMPLED = (f"00-{PARENT}-00f067aa0ba902b7-{flag}" for flag in ("01", "00"))
PHASES = ["queue", "prefill", "decode"]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture
async def traced(models_folder: Path, collector: Collector):
    """A server whose traces go to the collector, sent when they are asked for."""
    traces = open_traces(collector.address)
    async with serve(models_folder, calls=Calls(traces=traces)) as running:
        yield running
    await asyncio.to_thread(traces.close)


async def sent(running: Running, collector: Collector) -> list[Span]:
    """Every span that has ended, once the server has nothing left to do."""
    await until(running.idle)
    await asyncio.to_thread(running.server._calls._traces._provider.force_flush)
    return list(collector.spans)


def by_name(spans: list[Span]) -> dict[str, Span]:
    found = {span.name: span for span in spans}
    assert len(found) == len(spans)
    return found


async def test_a_generation_is_a_span_with_one_for_each_phase(traced: Running, collector: Collector):
    request = ask(PROMPT, stop=stop(20), sampling=pb.SamplingParameters(temperature=0.5, top_k=7))
    events = await traced.events(request)
    (finished,) = finishes(events)
    spans = by_name(await sent(traced, collector))
    call = spans.pop("Generate")
    assert (call.kind, call.parent_id, call.status) == (SERVER, "", 0)
    assert [spans[name].kind for name in PHASES] == [INTERNAL] * 3
    assert {(span.trace_id, span.parent_id) for span in spans.values()} == {(call.trace_id, call.span_id)}
    assert list(spans) == PHASES
    queue, prefill, decode = (spans[name] for name in PHASES)
    assert call.start <= queue.start <= queue.end == prefill.start <= prefill.end == decode.start
    assert decode.start <= decode.end <= call.end
    assert prefill.seconds == pytest.approx(finished.timings.prefill.ToNanoseconds() / 1e9, abs=1e-6)
    told = call.attributes
    assert 0 < told.pop("seqstream.detokenize.seconds") < call.seconds
    assert 0 < told.pop("gen_ai.response.time_to_first_chunk") < call.seconds
    assert told == {
        "rpc.system.name": "grpc", "rpc.method": "Generate", "rpc.response.status_code": "OK",
        "gen_ai.operation.name": "text_completion", "gen_ai.provider.name": "seqstream",
        "gen_ai.request.model": "gru", "gen_ai.response.model": "gru@2",
        "gen_ai.response.id": events[0].started.request_id, "gen_ai.request.max_tokens": 20,
        "gen_ai.request.choice.count": 1, "gen_ai.request.seed": 7, "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 1.0, "gen_ai.request.top_k": 7, "gen_ai.request.frequency_penalty": 0.0,
        "gen_ai.request.presence_penalty": 0.0, "seqstream.resumed_tokens": 0,
        "gen_ai.usage.input_tokens": finished.usage.prompt_tokens, "gen_ai.usage.output_tokens": 20,
        "gen_ai.response.finish_reasons": ["max_tokens"],
    }  # fmt: skip
    assert prefill.attributes == {"gen_ai.usage.input_tokens": finished.usage.prompt_tokens}
    assert decode.attributes == {"gen_ai.usage.output_tokens": 20}
    assert (call.resource["service.name"], call.resource["service.version"]) == ("seqstream", VERSION)
    assert "secret" not in repr(collector.spans)


async def test_a_call_belongs_to_the_trace_that_its_metadata_names(traced: Running, collector: Collector):
    tokenize = pb.TokenizeRequest(model="gru", text=PROMPT)
    await traced.generation.Tokenize(tokenize, metadata=(("traceparent", SAMPLED), ("x-tenant", "acme")))
    (call,) = await sent(traced, collector)
    assert (call.trace_id, call.parent_id, call.name) == (PARENT, "00f067aa0ba902b7", "Tokenize")
    assert call.attributes["seqstream.tenant"] == "acme"


async def test_what_its_parent_does_not_sample_is_not_sent_and_still_named(traced: Running, collector: Collector, told):
    async for _ in traced.generation.Generate(ask(stop=stop(3)), metadata=(("traceparent", NOT_SAMPLED),)):
        pass
    assert (await told())["trace_id"] == PARENT
    assert await sent(traced, collector) == []


@pytest.mark.parametrize("broken", ["", "00-0-0-01", f"00-{'0' * 32}-{'0' * 16}-01", "x" * 4000])
async def test_a_traceparent_that_is_none_begins_a_trace_of_its_own(traced: Running, collector: Collector, broken: str):
    tokenize = pb.TokenizeRequest(model="gru", text=PROMPT)
    await traced.generation.Tokenize(tokenize, metadata=(("traceparent", broken),))
    (call,) = await sent(traced, collector)
    assert (call.parent_id, call.attributes["rpc.response.status_code"]) == ("", "OK")


async def test_an_error_is_the_callers_or_the_servers(traced: Running, collector: Collector, monkeypatch):
    for request in (ask(model="nope"), ask(sampling=pb.SamplingParameters(temperature=-1))):
        with pytest.raises(grpc.aio.AioRpcError):
            await traced.events(request)

    async def broken(*_):
        raise ValueError(PROMPT)

    monkeypatch.setattr("service.wire.generation.read_asked", broken)
    with pytest.raises(grpc.aio.AioRpcError):
        await traced.events(ask())
    found = [
        (span.status, span.status_message, span.attributes["rpc.response.status_code"], span.attributes["error.type"])
        for span in await sent(traced, collector)
    ]
    assert found == [
        (0, "", "NOT_FOUND", "MODEL_NOT_FOUND"),
        (0, "", "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
        (ERROR, "INTERNAL", "INTERNAL", "INTERNAL"),
    ]
    assert "secret" not in repr(collector.spans)


async def test_a_call_that_is_cancelled_ends_its_spans(traced: Running, collector: Collector):
    call = traced.generation.Generate(ask(stop=stop(MOST_NEW_TOKENS)))
    await read(call, 3)
    call.cancel()
    await until(traced.idle)
    await until(lambda: traced.server._calls._running == set())
    spans = by_name(await sent(traced, collector))
    assert spans.keys() == {"Generate", *PHASES}
    assert spans["Generate"].attributes["rpc.response.status_code"] == "CANCELLED"
    assert spans["Generate"].attributes["gen_ai.usage.output_tokens"] >= 1
    assert spans["Generate"].attributes.get("gen_ai.response.finish_reasons", []) == []


async def test_a_deadline_is_told_as_why_the_sample_ended(traced: Running, collector: Collector):
    events = await traced.events(ask(stop=stop(MOST_NEW_TOKENS)), timeout=2.0)
    assert finishes(events)[0].reason == pb.FINISH_REASON_DEADLINE
    call = by_name(await sent(traced, collector))["Generate"]
    assert call.attributes["gen_ai.response.finish_reasons"] == ["deadline"]
    assert call.attributes["rpc.response.status_code"] == "OK"


async def test_what_waits_and_never_begins_has_only_waited(models_folder: Path, collector: Collector):
    traces = open_traces(collector.address)
    async with serve(models_folder, rows=1, calls=Calls(traces=traces)) as running:
        first = running.generation.Generate(ask(stop=stop(MOST_NEW_TOKENS)), metadata=(("traceparent", NOT_SAMPLED),))
        await read(first, 2)
        waiting = running.generation.Generate(ask())
        await read(waiting, 1)
        waiting.cancel()
        await until(lambda: len(running.server._calls._running) == 1)
        first.cancel()
        spans = by_name(await sent(running, collector))
    assert spans.keys() == {"Generate", "queue"}
    assert spans["queue"].end <= spans["Generate"].end
    await asyncio.to_thread(traces.close)


async def test_our_client_hands_on_the_span_that_is_current(traced: Running, collector: Collector):
    assert trace_context() == ()
    tracer = TracerProvider()
    tracer.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    with tracer.get_tracer("a client").start_as_current_span("asks") as current:
        async with Client(traced.address) as client:
            await client.generate("gru", PROMPT, max_new_tokens=3).result()
            with pytest.raises(NotFound):
                await client.model("nope")
        told = current.get_span_context()
    calls = [span for span in await sent(traced, collector) if span.kind == SERVER]
    assert [span.name for span in calls] == ["Generate", "GetModel"]
    assert {(span.trace_id, span.parent_id) for span in calls} == {(f"{told.trace_id:032x}", f"{told.span_id:016x}")}
    assert trace.get_current_span() is trace.INVALID_SPAN


def log_of(server: Process) -> list[dict]:
    server.terminate()
    code, log = server.wait()
    assert code == 0
    return [line for line in map(json.loads, log.splitlines()) if line["message"] == "call"]


async def test_a_server_sends_what_is_left_when_it_ends_and_logs_the_traces_names(process, collector: Collector):
    server = process("--traces-endpoint", collector.address, "--log-format", "json")
    async with Client(server.address) as client:
        await client.generate("gru", PROMPT, max_new_tokens=3).result()
    (line,) = await asyncio.to_thread(log_of, server)
    spans = by_name(collector.wait_for(4))
    assert (line["trace_id"], line["span_id"]) == (spans["Generate"].trace_id, spans["Generate"].span_id)


async def test_opentelemetrys_own_environment_turns_them_on(process, collector: Collector, monkeypatch):
    monkeypatch.setitem(ENVIRONMENT, "OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
    monkeypatch.setitem(ENVIRONMENT, "OTEL_SERVICE_NAME", "mine")
    server = process()
    async with Client(server.address) as client:
        await client.tokenize("gru", PROMPT)
    server.terminate()
    assert (await asyncio.to_thread(server.wait))[0] == 0
    (call,) = collector.wait_for(1)
    assert (call.name, call.resource["service.name"]) == ("Tokenize", "mine")


async def test_a_collector_that_is_not_there_stops_neither_calls_nor_the_end(process):
    server = process("--traces-endpoint", "http://127.0.0.1:9", *LONG)
    async with Client(server.address) as client:
        result = await client.generate("gru", PROMPT, max_new_tokens=30, ignore_end_of_sequence=True).result()
    assert len(result.samples[0].token_ids) == 30
    began = time.monotonic()
    server.terminate()
    code, log = await asyncio.to_thread(server.wait)
    assert (code, "Traceback" in log) == (0, False)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("endpoint", ["", "collector", "ftp://a:1", "http://a", "http://a:b", "http://a:1/v1/traces"])
def test_an_endpoint_that_is_none_is_refused_by_name(endpoint: str):
    with pytest.raises(TracesError, match=r"--traces-endpoint: .*allowed: http://HOST:PORT, or https://HOST:PORT"):
        open_traces(endpoint)


def python(script: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_without_opentelemetry_the_server_says_what_to_install(models_folder: Path):
    # An environment without the extra: its packages cannot be found.
    script = f"""
import sys
sys.modules["opentelemetry"] = None
from service.__main__ import main
sys.exit(main(["--models", {str(models_folder)!r}, "--port", "0", "--traces-endpoint", "http://127.0.0.1:4317"]))
"""
    done = python(script)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --traces-endpoint: OpenTelemetry is missing: pip install 'seqstream[traces]'\n"


def test_a_server_that_traces_nothing_does_not_import_opentelemetry():
    imported = "[name for name in sys.modules if name.startswith('opentelemetry')]"
    done = python(f"import sys, service.__main__, service.client; print({imported})")
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
