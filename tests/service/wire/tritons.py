"""What users of Triton's own client write. Imported by a process of its own: its messages have the names of ours.

Everything is asked with the unmodified `tritonclient`, and returned as plain values.
"""

import asyncio
import contextlib
import queue
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.grpc.aio
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from tritonclient.grpc import model_config_pb2, service_pb2

from tests.service.wire.tensors import Asked, Response

PATIENCE = 60.0


def _keywords(asked: Asked) -> dict[str, Any]:
    """Arguments of `infer` and `async_stream_infer`."""
    text = isinstance(asked.prompt, str)
    arrays = {"text_input" if text else "input_ids": _array(asked.prompt), **asked.inputs}
    return {
        "model_name": asked.model,
        "model_version": asked.version,
        "request_id": asked.id,
        "inputs": [_input(name, array) for name, array in arrays.items()],
        "outputs": [tritonclient.grpc.InferRequestedOutput(name) for name in asked.outputs] or None,
        "parameters": asked.parameters,
        **asked.options,
    }


def _array(prompt: str | Sequence[int]) -> Any:
    if isinstance(prompt, str):
        return np.array([prompt], object)
    return prompt if isinstance(prompt, np.ndarray) else np.array(prompt, np.int64)


def _input(name: str, array: Any) -> Any:
    array = np.asarray(array)
    kind = tritonclient.utils.np_to_triton_dtype(array.dtype)
    given = tritonclient.grpc.InferInput(name, list(array.shape), kind)
    given.set_data_from_numpy(array)
    return given


def _response(result: Any, error: Any) -> Response:
    if error is not None:
        return Response(error=error.message(), status=error.status())
    message = result.get_response()
    values = {}
    for output in message.outputs:
        array = result.as_numpy(output.name)
        values[output.name] = [one.decode() if isinstance(one, bytes) else one for one in array.tolist()]
    parameters = {
        name: getattr(value, value.WhichOneof("parameter_choice")) for name, value in message.parameters.items()
    }
    return Response(message.id, message.model_version, values, parameters)


def infer(address: str, asked: Asked, headers: dict[str, str] | None = None) -> Response:
    """Ask once, by the synchronous client."""
    with tritonclient.grpc.InferenceServerClient(address) as client:
        try:
            return _response(client.infer(headers=headers, **_keywords(asked)), None)
        except tritonclient.utils.InferenceServerException as error:
            return _response(None, error)


def stream(address: str, asked: Sequence[Asked], headers: dict[str, str] | None = None) -> list[Response]:
    """Send requests over one stream, side by side; return every response until each has its last, or an error."""
    answers: queue.Queue[Response] = queue.Queue()
    with tritonclient.grpc.InferenceServerClient(address) as client:
        client.start_stream(lambda result, error: answers.put(_response(result, error)), headers=headers)
        # Where the stream has ended before, the client says so here, and why it did where its answers come.
        with contextlib.suppress(tritonclient.utils.InferenceServerException):
            for one in asked:
                client.async_stream_infer(**_keywords(one))
        seen: list[Response] = []
        while sum(bool(one.error) or one.final for one in seen) < len(asked):
            seen.append(answers.get(timeout=PATIENCE))
            if seen[-1].status is not None:  # the stream has ended
                break
        client.stop_stream()
    return seen


def stream_in_turn(address: str, asked: Sequence[Asked]) -> list[Response]:
    """Send requests over one stream, each once the one before has its last response."""
    answers: queue.Queue[Response] = queue.Queue()
    seen: list[Response] = []
    with tritonclient.grpc.InferenceServerClient(address) as client:
        client.start_stream(lambda result, error: answers.put(_response(result, error)))
        for one in asked:
            client.async_stream_infer(**_keywords(one))
            while True:
                seen.append(answers.get(timeout=PATIENCE))
                if seen[-1].error or seen[-1].final:
                    break
        client.stop_stream()
    return seen


def streams(address: str, asked: Sequence[Asked]) -> list[list[Response]]:
    """Send each request over a stream of its own, all at once, by the client of asyncio."""

    async def one(request: Asked) -> list[Response]:
        keywords = _keywords(request)
        async with tritonclient.grpc.aio.InferenceServerClient(address) as client:

            async def requests() -> AsyncIterator[dict[str, Any]]:
                yield keywords

            return [_response(*pair) async for pair in client.stream_infer(requests())]

    async def every() -> list[list[Response]]:
        return await asyncio.gather(*map(one, asked))

    return asyncio.run(every())


def stream_until_deadline(address: str, asked: Asked, seconds: float) -> list[Response]:
    """Send a request over a stream with a deadline, and return all that comes."""
    answers: queue.Queue[Response] = queue.Queue()
    seen: list[Response] = []
    with tritonclient.grpc.InferenceServerClient(address) as client:
        client.start_stream(lambda result, error: answers.put(_response(result, error)), stream_timeout=seconds)
        client.async_stream_infer(**_keywords(asked))
        while not seen or not (seen[-1].error or seen[-1].final):
            seen.append(answers.get(timeout=PATIENCE))
        client.stop_stream()
    return seen


def cancel_after(address: str, asked: Asked, count: int) -> list[Response]:
    """Stream until so many responses have come, and cancel the stream."""
    answers: queue.Queue[Response] = queue.Queue()
    with tritonclient.grpc.InferenceServerClient(address) as client:
        client.start_stream(lambda result, error: answers.put(_response(result, error)))
        client.async_stream_infer(**_keywords(asked))
        seen = [answers.get(timeout=PATIENCE) for _ in range(count)]
        client.stop_stream(cancel_requests=True)
    while not answers.empty():
        seen.append(answers.get())
    return seen


def cancel_infer(address: str, asked: Asked, seconds: float) -> str | None:
    """Cancel a call for the whole after a while, and return its status."""
    answers: queue.Queue[Any] = queue.Queue()
    with tritonclient.grpc.InferenceServerClient(address) as client:
        call = client.async_infer(callback=lambda result, error: answers.put(error), **_keywords(asked))
        with_time = queue.Queue()
        try:
            with_time.get(timeout=seconds)
        except queue.Empty:
            call.cancel()
        return answers.get(timeout=PATIENCE).status()


def tell(address: str, method: str, *arguments: Any, headers: dict[str, str] | None = None) -> Any:
    """Call any other method of the client. Returns what it does, messages as dictionaries, or a Response: an error."""
    with tritonclient.grpc.InferenceServerClient(address) as client:
        try:
            answer = getattr(client, method)(*arguments, headers=headers)
        except tritonclient.utils.InferenceServerException as error:
            return _response(None, error)
    if answer is None or isinstance(answer, bool):
        return answer
    return json_format.MessageToDict(answer, preserving_proto_field_name=True)


def published() -> dict[str, bytes]:
    """The descriptors of the client's messages, serialised, by file."""
    files = {}
    for module in (service_pb2, model_config_pb2):
        file = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        files[file.name] = file.SerializeToString()
    return files


def with_our_client(address: str) -> str:
    """Generate with the client of seqstream, in this process, which has Triton's messages."""
    from service.client import Client

    async def generate() -> str:
        async with Client(address) as client:
            result = await client.generate("gru", "The quick", max_new_tokens=5, seed=1).result()
        return result.samples[0].text

    return asyncio.run(generate())
