"""The server as a process: how it starts, how it ends, and what it loads."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos.seqstream.v1 import model_pb2
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub
from protos.seqstream.v1.model_pb2_grpc import ModelServiceStub
from service.__main__ import main
from tests.service.wire.asking import endless, read, tokens_of
from tests.service.wire.running import ENVIRONMENT, PATIENCE, ROOT, Process, open_process, start_process
from tests.service.wire.slow import LONG


async def code_of(call: grpc.aio.UnaryStreamCall) -> grpc.StatusCode:
    """Read a stream that fails to its end."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call:
            pass
    return caught.value.code()


async def ended(process) -> tuple[int, str]:
    return await asyncio.to_thread(process.wait)


async def test_it_says_what_it_serves_and_where(process):
    server = process()
    assert server.lines[:2] == [
        "gru@1: gru, vocabulary 331, any length, on cpu",
        "gru@2: gru, vocabulary 331, any length, on cpu",
    ]
    assert server.lines[-1] == f"listening on {server.address}"
    server.terminate()
    assert (await ended(server))[0] == 0


async def test_sigterm_lets_a_stream_run_to_its_end_and_takes_no_other(process):
    server = process(*LONG)
    request = endless()
    request.stop.max_new_tokens = 2000  # more than a connection holds: it ends only because it is read to its end
    async with grpc.aio.insecure_channel(server.address) as channel, grpc.aio.insecure_channel(server.address) as other:
        call = GenerationServiceStub(channel).Generate(request)
        watch = health_pb2_grpc.HealthStub(other).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        events = await read(call, 9)
        server.terminate()
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ModelServiceStub(other).ListModels(model_pb2.ListModelsRequest())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert server.popen.poll() is None
        events += [event async for event in call]
        assert len(tokens_of(events)) == 2000
        watch.cancel()
    code, log = await ended(server)
    assert code == 0
    assert "tokens=2000" in log
    assert "The quick" not in log


async def test_a_lame_duck_still_takes_calls_and_says_that_it_goes(process):
    server = process(*LONG, "--lame-duck-seconds", "600")
    async with grpc.aio.insecure_channel(server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        server.terminate()
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        call = GenerationServiceStub(channel).Generate(endless(), timeout=PATIENCE)
        await read(call, 9)
        server.terminate()  # the second signal ends the lame duck, too
        assert await code_of(call) is grpc.StatusCode.UNAVAILABLE
        watch.cancel()
    assert (await ended(server))[0] == 0


async def test_an_old_connection_is_left_for_another_and_its_stream_ends_on_it(process):
    server = process(*LONG, "--max-connection-age-seconds", "0.2")
    states: list[grpc.ChannelConnectivity] = []
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = GenerationServiceStub(channel).Generate(endless(), timeout=PATIENCE)
        await read(call, 9)
        while (state := channel.get_state()) is grpc.ChannelConnectivity.READY:
            await asyncio.wait_for(channel.wait_for_state_change(state), PATIENCE)
        states.append(channel.get_state())
        await read(call, 200)
        await ModelServiceStub(channel).ListModels(model_pb2.ListModelsRequest(), timeout=PATIENCE)
        await read(call, 200)
        call.cancel()
    assert states == [grpc.ChannelConnectivity.IDLE]


async def test_the_probe_tells_serving_from_anything_else(process):
    server = process(*LONG, "--lame-duck-seconds", "600")

    async def probe(*arguments: str) -> tuple[int, str, str]:
        popen = open_process(arguments, ("-m", "service.probe"))
        output, errors = await asyncio.to_thread(popen.communicate, timeout=PATIENCE)
        return popen.returncode, output, errors

    assert await probe("--address", server.address) == (0, "SERVING\n", "")
    assert await probe("--address", server.address, "--model", "gru@1") == (0, "SERVING\n", "")
    code, output, errors = await probe("--address", server.address, "--model", "nobody")
    assert (code, output) == (1, "")
    assert errors.startswith(f"error: {server.address}: NOT_FOUND")
    server.terminate()
    async with asyncio.timeout(PATIENCE):
        while (await probe("--address", server.address))[:2] != (1, "NOT_SERVING\n"):
            pass
    server.kill()
    code, output, errors = await probe("--address", server.address)
    assert (code, output) == (1, "")
    assert errors.startswith(f"error: {server.address}: UNAVAILABLE")


def test_the_probe_imports_nothing_heavy():
    program = "import sys, service.probe; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True, text=True
    )
    assert not {"numpy", "onnxruntime", "pydantic", "tokenizers", "uvloop"} & set(modules.stdout.split())


async def test_a_stream_that_does_not_end_in_time_is_unavailable(process):
    server = process(*LONG, "--drain-seconds", "0")
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = GenerationServiceStub(channel).Generate(endless(), timeout=PATIENCE)
        await read(call, 9)
        server.terminate()
        assert await code_of(call) is grpc.StatusCode.UNAVAILABLE
    assert (await ended(server))[0] == 0


async def test_a_second_signal_does_not_wait_for_streams(process):
    server = process(*LONG, "--drain-seconds", "600")
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = GenerationServiceStub(channel).Generate(endless(), timeout=PATIENCE)
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        await read(call, 9)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        server.terminate()
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        server.terminate()
        assert await code_of(call) is grpc.StatusCode.UNAVAILABLE
        watch.cancel()
    assert (await ended(server))[0] == 0


async def test_sigint_ends_it_as_sigterm_does(process):
    server = process()
    server.popen.send_signal(signal.SIGINT)
    assert (await ended(server))[0] == 0


async def test_a_model_that_fails_ends_the_process_with_an_error(models_folder):
    program = (
        "import sys; from bundle.runner import Runner; from service.__main__ import main\n"
        "step, calls = Runner.step, []\n"
        "def broken(*arguments):\n"
        "    calls.append(1)\n"
        "    if len(calls) > 20: raise RuntimeError('boom')\n"
        "    return step(*arguments)\n"
        "Runner.step = broken\n"
        "sys.exit(main())\n"
    )
    server = start_process(models_folder, 0, LONG, ("-c", program))
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = GenerationServiceStub(channel).Generate(endless(), timeout=PATIENCE)
        assert await code_of(call) is grpc.StatusCode.INTERNAL
    code, log = await ended(server)
    assert code == 1
    assert "boom" in log


def test_what_keeps_it_from_starting_is_one_line(models_folder, tmp_path, capsys):
    folder = ["--models", str(models_folder)]
    corrupt = tmp_path / "corrupt"
    shutil.copytree(models_folder / "gru", corrupt / "gru")
    graph = corrupt / "gru" / "1" / "step.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    for arguments, expected in [
        ([], "--models is missing"),
        (["--models", str(tmp_path / "nope")], "no such folder"),
        (["--models", str(models_folder / "gru")], "holds no bundle"),
        (["--models", str(corrupt)], "step.onnx: has"),
        ([*folder, "--rows", "0"], "--rows: '0'"),
        ([*folder, "--nope"], "--nope"),
        ([*folder, "--device", "cuda"], "device cuda"),
        ([*folder, "--host", "192.0.2.1", "--port", "1"], "cannot listen on 192.0.2.1:1"),
    ]:
        assert main(arguments) == 2
        output, errors = capsys.readouterr()
        (line,) = errors.splitlines()
        assert output == ""
        assert line.startswith("error: ")
        assert expected in line


def test_a_port_in_use_keeps_the_process_from_starting(models_folder, process):
    port = process().address.rpartition(":")[2]
    second = open_process(["--models", str(models_folder), "--port", port, "--threads", "1"])
    output, errors = second.communicate(timeout=PATIENCE)
    assert (second.returncode, output) == (2, "")
    assert errors == f"error: cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_settings_come_from_flags_then_the_environment_then_the_file(models_folder, tmp_path):
    from service.settings import read_settings

    file = tmp_path / "settings.toml"
    file.write_text(f'models = "{models_folder}"\nrows = 7\nport = 7\nthreads = 7\n')
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SEQSTREAM_CONFIG", str(file))
        environment.setenv("SEQSTREAM_PORT", "8")
        environment.setenv("SEQSTREAM_THREADS", "8")
        settings = read_settings(["--threads", "9"])
    assert (settings.models, settings.rows, settings.port, settings.threads) == (models_folder, 7, 8, 9)


def test_a_server_loads_nothing_of_training_or_export(models_folder):
    program = (
        "import asyncio, json, sys; from service.engine import EngineSettings\n"
        "from service.loading import Loader, load_models\n"
        "import service.__main__, service.client; from service.wire.server import Server; from pathlib import Path\n"
        "async def main():\n"
        "    models = load_models(Loader(Path(sys.argv[1]), 'cpu', EngineSettings(), 1))\n"
        "    server = Server(models, 9)\n"
        "    await server.start('127.0.0.1', 0); await server.drain(0); await server.stop()\n"
        "asyncio.run(main())\n"
        "print(json.dumps(sorted(name.partition('.')[0] for name in sys.modules)))\n"
    )
    command = [sys.executable, "-c", program, str(models_folder)]
    output = subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    loaded = set(json.loads(output.stdout))
    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "onnx", "onnxscript", "training", "export"}


async def test_a_server_chooses_its_threads_and_says_why(models_folder):
    arguments = ["--models", str(models_folder), "--port", "0", "--threads", "2", "--max-itl-ms", "50"]
    server = Process(open_process(arguments))
    server.terminate()
    code, errors = await ended(server)
    assert code == 0
    assert "gru@1: computes with 2 threads that" in errors


async def test_spinning_that_is_told_is_not_measured(models_folder):
    arguments = ["--models", str(models_folder), "--port", "0", "--threads", "2", "--spin", "off"]
    server = Process(open_process(arguments))
    server.terminate()
    code, errors = await ended(server)
    assert code == 0
    assert "computes with" not in errors
