"""The Open Inference Protocol by its own messages: streams, and what no well-behaved client sends."""

import asyncio
import contextlib
import logging
from pathlib import Path

import grpc
import pytest

from protos.inference import inference_pb2 as pb
from protos.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from service.wire.calls import Calls
from service.wire.limits import Bounds, Limits
from tests.service.wire.inferring import ENDLESS, PROMPT, infer, stub
from tests.service.wire.running import PATIENCE, Running, serve, until


class Talk:
    """One stream, written and read step by step."""

    def __init__(self, running: Running, channel: grpc.aio.Channel | None = None) -> None:
        self.call = GRPCInferenceServiceStub(channel or running.channel).ModelStreamInfer()

    async def say(self, *requests: pb.ModelInferRequest) -> None:
        for request in requests:
            await self.call.write(request)

    async def hear(self) -> pb.ModelStreamInferResponse:
        async with asyncio.timeout(PATIENCE):
            response = await self.call.read()
        assert isinstance(response, pb.ModelStreamInferResponse), await self.call.details()
        return response

    async def rest(self) -> None:
        """Read what is left."""
        with contextlib.suppress(grpc.aio.AioRpcError):
            async with asyncio.timeout(PATIENCE):
                while await self.call.read() is not grpc.aio.EOF:
                    pass

    async def ended(self) -> tuple[grpc.StatusCode, str]:
        async with asyncio.timeout(PATIENCE):
            return await self.call.code(), await self.call.details()


async def test_an_error_in_a_stream_tells_whose_it_is_and_that_nothing_more_comes(running: Running, told):
    talk = Talk(running)
    await talk.say(infer(id="bad", top_p=2.0))
    response = await talk.hear()
    assert response.error_message == "INVALID_ARGUMENT: parameters[top_p] is 2; allowed: over 0 to 1"
    assert response.infer_response.id == "bad"
    assert response.infer_response.parameters["triton_final_response"].bool_param
    line = await told()
    assert (line["method"], line["status"]) == ("ModelStreamInfer", "INVALID_ARGUMENT")
    assert line["request_id"] == response.infer_response.parameters["request_id"].string_param
    await talk.call.done_writing()
    assert await talk.ended() == (grpc.StatusCode.OK, "")


async def test_every_request_of_a_stream_counts_against_the_queue_and_the_tenant(models_folder: Path):
    async with serve(models_folder, rows=1, queue_limit=1) as running:
        talk = Talk(running)
        await talk.say(*(infer(id=str(n), **ENDLESS) for n in range(4)))
        errors = []
        while len(errors) < 2:
            response = await talk.hear()
            errors += [response.error_message] * bool(response.error_message)
        assert all(error.startswith("RESOURCE_EXHAUSTED: the queue is full: ") for error in errors)
        talk.call.cancel()
        await until(running.idle)
    async with serve(models_folder, calls=Calls(tenant_requests=1)) as running:
        talk = Talk(running)
        await talk.say(*(infer(**ENDLESS) for _ in range(2)))
        while not (response := await talk.hear()).error_message:
            pass
        assert response.error_message.startswith("RESOURCE_EXHAUSTED: 1 requests of callers without a tenant run")
        talk.call.cancel()


async def test_requests_behind_those_that_may_run_at_once_wait_unread(models_folder: Path):
    async with serve(models_folder, limits=Limits(calls=2)) as running:
        talk = Talk(running)
        await talk.say(infer(id="a", **ENDLESS), infer(id="b", **ENDLESS))
        await talk.say(*(infer(id="c", max_tokens=1) for _ in range(3)))
        seen = {(await talk.hear()).infer_response.id for _ in range(60)}
        assert seen == {"a", "b"}
        talk.call.cancel()
        await until(running.idle)


@pytest.mark.parametrize("bounds", [Bounds(tokens=400, seconds=600.0), Bounds(tokens=1 << 40, seconds=2.0)])
async def test_a_client_that_stops_reading_its_stream_is_ended(models_folder: Path, bounds: Bounds):
    async with serve(models_folder, limits=Limits(bounds=bounds)) as running:
        options = (("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1))
        async with grpc.aio.insecure_channel(running.address, options=options) as channel:
            talk = Talk(running, channel)
            await talk.say(infer(**ENDLESS), infer(**ENDLESS))
            await talk.hear()
            await until(running.idle)
            await talk.rest()
            code, message = await talk.ended()
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "does not keep up" in message or "has read nothing" in message


async def test_a_client_that_never_reads_its_errors_is_ended(models_folder: Path, caplog):
    caplog.set_level(logging.INFO, "service.calls")
    async with serve(models_folder, limits=Limits(calls=8, bounds=Bounds(seconds=1.0))) as running:
        options = (("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1))
        async with grpc.aio.insecure_channel(running.address, options=options) as channel:
            talk = Talk(running, channel)
            bad = infer(id="x" * 9000, top_p=2.0)
            writing = asyncio.create_task(talk.say(*[bad] * 2000))
            await until(lambda: any(vars(record).get("status") == "RESOURCE_EXHAUSTED" for record in caplog.records))
            await talk.rest()
            await talk.ended()  # with another status, where the client still writes: gRPC makes one up
            with pytest.raises((grpc.aio.AioRpcError, asyncio.InvalidStateError)):
                await writing


async def test_a_stream_ends_with_a_server_that_drains_once_what_runs_has_ended(models_folder: Path):
    async with serve(models_folder) as running:
        idle, busy = Talk(running), Talk(running)
        await idle.say(infer(max_tokens=1))
        assert (await idle.hear()).infer_response.parameters["triton_final_response"].bool_param
        await busy.say(infer(max_tokens=3000))
        await busy.hear()
        draining = asyncio.create_task(running.server.drain(PATIENCE))
        assert (await idle.ended()) == (grpc.StatusCode.UNAVAILABLE, "the server is shutting down")
        while not (response := await busy.hear()).infer_response.parameters["triton_final_response"].bool_param:
            pass
        assert response.infer_response.parameters["finish_reason"].string_param == "MAX_TOKENS"
        assert (await busy.ended())[0] is grpc.StatusCode.UNAVAILABLE
        await draining


async def test_what_still_runs_when_a_server_is_done_draining_is_told_in_its_stream(models_folder: Path):
    async with serve(models_folder) as running:
        talk = Talk(running)
        await talk.say(infer(**ENDLESS))
        await talk.hear()
        draining = asyncio.create_task(running.server.drain(0.2))
        ready = await stub(running).ServerReady(pb.ServerReadyRequest())
        assert not ready.ready
        while not (response := await talk.hear()).error_message:
            pass
        assert response.error_message == "UNAVAILABLE: the server is shutting down"
        assert (await talk.ended())[0] is grpc.StatusCode.UNAVAILABLE
        await draining
        await until(running.idle)


async def test_bytes_that_are_no_request_end_a_stream_in_which_others_run(running: Running, caplog):
    call = running.channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")()
    await call.write(infer(**ENDLESS).SerializeToString())
    assert await call.read()
    await call.write(b"\x0a\xff\xff")
    with contextlib.suppress(grpc.aio.AioRpcError):
        while await call.read() is not grpc.aio.EOF:
            pass
    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
    await until(running.idle)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_stream_that_ends_while_its_first_response_is_on_its_way_ends_with_its_status(running: Running):
    def ask_badly() -> list[grpc.StatusCode]:
        # Not grpc.aio's client, which makes up a status where a call ends while it writes.
        with grpc.insecure_channel(running.address) as channel:
            method = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
            contents = [infer(top_p=2.0).SerializeToString(), infer().SerializeToString(), b"\x0a\xff\xff"]
            codes = []
            for _ in range(30):
                call = method(iter(contents), timeout=PATIENCE)
                with contextlib.suppress(grpc.RpcError):
                    list(call)
                codes.append(call.code())
            return codes

    codes = await asyncio.gather(*(asyncio.to_thread(ask_badly) for _ in range(4)))
    assert {code for several in codes for code in several} == {grpc.StatusCode.INVALID_ARGUMENT}


async def test_a_connection_that_is_cut_frees_the_rows_of_its_stream(running: Running, caplog):
    async with grpc.aio.insecure_channel(running.address, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
        talk = Talk(running, channel)
        await talk.say(infer(**ENDLESS), infer(**ENDLESS))
        await talk.hear()
    await until(running.idle)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_urgent_requests_go_before_others(models_folder: Path):
    async with serve(models_folder, rows=1, queue_limit=9) as running:
        engine = running.models.find("gru").engine
        first = Talk(running)
        await first.say(infer(**ENDLESS))
        await first.hear()
        talk = Talk(running)
        await talk.say(infer(id="usual", max_tokens=1), infer(id="late", max_tokens=1, priority=21))
        await talk.say(infer(id="urgent", max_tokens=1, priority=1))
        await until(lambda: engine.load().waiting == 3)
        first.call.cancel()
        assert [(await talk.hear()).infer_response.id for _ in range(3)] == ["urgent", "usual", "late"]


async def test_prompts_are_logged_only_where_they_may_be(models_folder: Path, told):
    for allowed in (False, True):
        async with serve(models_folder, calls=Calls(log_prompts=allowed)) as running:
            await stub(running).ModelInfer(infer(PROMPT))
            assert (await told()).get("prompt") == (PROMPT if allowed else None)
