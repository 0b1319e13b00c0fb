"""Requests of the Open Inference Protocol by its own messages, and what comes of them."""

from collections.abc import Sequence
from typing import Any

import grpc
import pytest

from protos.inference import inference_pb2 as pb
from protos.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from tests.service.wire.running import Running

PROMPT = "The quick 안녕 "
ENDLESS = {"max_tokens": 100_000, "ignore_eos": True}


def infer(prompt: str | Sequence[int] = PROMPT, id: str = "", **parameters: Any) -> pb.ModelInferRequest:
    """A request for 40 tokens, always the same ones, with typed contents."""
    request = pb.ModelInferRequest(model_name="gru", id=id)
    if isinstance(prompt, str):
        tensor = request.inputs.add(name="text_input", datatype="BYTES", shape=[1])
        tensor.contents.bytes_contents.append(prompt.encode())
    else:
        tensor = request.inputs.add(name="input_ids", datatype="INT64", shape=[1, len(prompt)])
        tensor.contents.int64_contents.extend(prompt)
    for name, value in {"seed": 7, "max_tokens": 40, "ignore_eos": True, **parameters}.items():
        kind = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}[type(value)]
        setattr(request.parameters[name], kind, value)
    return request


def stub(running: Running) -> GRPCInferenceServiceStub:
    return GRPCInferenceServiceStub(running.channel)


def ids_of(response: pb.ModelInferResponse) -> list[int]:
    place = [output.name for output in response.outputs].index("output_ids")
    content = response.raw_output_contents[place]
    return [int.from_bytes(content[start : start + 4], "little") for start in range(0, len(content), 4)]


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()
