"""Hostile requests, for every method of every service: made by chance, each from its number and a seed alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from benchmarks.reliability.fields import Fields
from protos.inference import inference_pb2
from protos.seqstream.v1 import generation_pb2 as pb
from protos.seqstream.v1 import inspection_pb2, model_pb2

_FILES = (pb, inspection_pb2, model_pb2, inference_pb2, health_pb2, reflection_pb2)
METHODS: tuple[MethodDescriptor, ...] = tuple(
    method
    for file in _FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
)  # fmt: skip
_STEPS = 8
# Names that mean something in requests of the Open Inference Protocol.
_TENSORS = ("text_input", "input_ids", "sampling_parameters", "stream", "text_output", "output_log_probs")
_WORDS = (*_TENSORS, "BYTES", "INT32", "INT64", "BOOL", "temperature", "top_k", "max_tokens", "stop", "timeout", "seed")


@dataclass(frozen=True, slots=True)
class Case:
    """One call."""

    path: str
    content: tuple[bytes, ...]
    streaming: tuple[bool, bool]
    metadata: tuple[tuple[str, str | bytes], ...]
    cancel_after: int | None


def make_case(seed: int, number: int, models: Sequence[str]) -> Case:
    """Return a case. models: the names that the server knows."""
    chance = random.Random(f"{seed}/{number}")
    method = METHODS[number % len(METHODS)]
    path = f"/{method.containing_service.full_name}/{method.name}"
    count = chance.choice((0, 1, 2, 5)) if method.client_streaming else 1
    content = tuple(_content(chance, method, models) for _ in range(count))
    if chance.random() < 0.01:
        path += chance.choice(("x", "/", "%00", "/../Score"))
    cancel = chance.choice((0, 1, 3)) if chance.random() < 0.2 else None
    if method.name == "Watch":  # it has one answer, and then waits for news
        cancel = chance.choice((0, 1))
    return Case(path, content, (method.client_streaming, method.server_streaming), _metadata(chance), cancel)


def _content(chance: random.Random, method: MethodDescriptor, models: Sequence[str]) -> bytes:
    """Return a request: by chance made of nothing, a good one disturbed, or bytes."""
    words = (*models, *_WORDS) if method.containing_service.file is inference_pb2.DESCRIPTOR else models
    fields = Fields(chance, words)
    luck = chance.random()
    if luck < 0.05:
        return chance.randbytes(chance.choice((0, 1, 2, 5, 50, 3000)))
    if luck < 0.4:
        message = fields.message(method.input_type)
    else:
        message = _good(chance, method, models)
        fields.disturb(message, chance.choice((0, 1, 1, 2, 3)))
    content = message.SerializeToString()
    return _bent(chance, content) if luck > 0.85 else content


def _good(chance: random.Random, method: MethodDescriptor, models: Sequence[str]) -> Message:
    """Return a request that would be answered."""
    model, text = chance.choice(models), chance.choice(("The quick", "abc", "안녕"))
    made: dict[str, Message] = {
        "Generate": pb.GenerateRequest(
            model=model, text=text, stop=pb.StopConditions(max_new_tokens=chance.randint(1, _STEPS))
        ),
        "Score": pb.ScoreRequest(model=model, text=text, continuation_text="bc"),
        "Tokenize": pb.TokenizeRequest(model=model, text=text),
        "Detokenize": pb.DetokenizeRequest(model=model, token_ids=[3, 4, 5]),
        "GetModel": model_pb2.GetModelRequest(model=model),
        "ModelInfer": _inference(chance, model, text),
        "ModelStreamInfer": _inference(chance, model, text),
        "ModelMetadata": inference_pb2.ModelMetadataRequest(name=model),
        "ModelConfig": inference_pb2.ModelConfigRequest(name=model),
        "ModelStatistics": inference_pb2.ModelStatisticsRequest(name=model),
        "Check": health_pb2.HealthCheckRequest(service=model),
    }
    return made.get(method.name) or Fields(chance, models).message(method.input_type)


def _inference(chance: random.Random, model: str, text: str) -> inference_pb2.ModelInferRequest:
    request = inference_pb2.ModelInferRequest(model_name=model)
    tensor = request.inputs.add(name="text_input", datatype="BYTES", shape=[1])
    if chance.random() < 0.5:
        tensor.contents.bytes_contents.append(text.encode())
    else:
        request.raw_input_contents.append(len(text.encode()).to_bytes(4, "little") + text.encode())
    request.parameters["max_tokens"].int64_param = chance.randint(1, _STEPS)
    return request


def _bent(chance: random.Random, content: bytes) -> bytes:
    """Return the bytes with some of them flipped, left out, put in or repeated."""
    bent = bytearray(content)
    for _ in range(chance.choice((1, 1, 3, 10))):
        place = chance.randrange(len(bent) + 1)
        match chance.randrange(4):
            case 0 if place < len(bent):
                bent[place] ^= 1 << chance.randrange(8)
            case 1:
                del bent[place : place + chance.choice((1, 4, 1000))]
            case 2:
                bent[place:place] = chance.randbytes(chance.choice((1, 2, 9)))
            case _:
                bent[place:place] = bent[place : place + 20]
    return bytes(bent)


def _metadata(chance: random.Random) -> tuple[tuple[str, str | bytes], ...]:
    """Return what is sent beside a request: mostly nothing."""
    if chance.random() < 0.9:
        return ()
    kinds: tuple[tuple[tuple[str, str | bytes], ...], ...] = (
        (("x-tenant", f"tenant-{chance.getrandbits(30)}"),),
        (("x-tenant", "a"), ("x-tenant", "b")),
        (("x-tenant", " ~!" * chance.choice((1, 300))),),
        (("x-tenant-bin", chance.randbytes(30)),),
        (("authorization", "Bearer " + "x" * chance.choice((0, 10, 5000))),),
        (("authorization", "Basic eA=="), ("authorization", "Bearer x")),
        tuple((f"key-{place}", "v" * 50) for place in range(chance.choice((10, 100)))),
        (("big", "v" * chance.choice((1000, 8000, 14_000))),),
        (("big-bin", chance.randbytes(5000)),),
        (("x-tenant", ""), ("content-language", "xx"), ("te", "trailers")),
    )
    return chance.choice(kinds)
