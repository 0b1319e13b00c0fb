"""What a server tells about itself: models, text and tokens, health, reflection."""

import asyncio

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from protos.seqstream.v1 import generation_pb2 as pb
from protos.seqstream.v1 import model_pb2
from tests.service.wire.asking import endless, read
from tests.service.wire.running import PATIENCE, Running

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_every_version_of_every_model_is_listed(running: Running):
    response = await running.model.ListModels(model_pb2.ListModelsRequest())
    listed = [(model.name, model.version) for model in response.models]
    assert listed == [("gru", 1), ("gru", 2), ("transformer", 1), ("transformer-lm", 1)]


async def test_a_model_tells_what_its_bundle_says(running: Running):
    manifest = running.models.find("transformer").manifest
    model = (await running.model.GetModel(model_pb2.GetModelRequest(model="transformer"))).model
    assert (model.family, model.precision, model.metrics["loss"]) == ("transformer", "fp32", 1.5)
    assert (model.vocabulary_size, model.source_vocabulary_size) == (
        manifest.vocabulary_size,
        manifest.source_vocabulary_size,
    )
    assert (model.context_limit, model.source_limit) == (48, 150)
    assert (model.special_tokens.pad, model.special_tokens.bos, model.special_tokens.eos) == (0, 1, 2)
    assert [state.name for state in model.states] == [spec.name for spec in manifest.states]
    assert {state.kind for state in model.states} > {model_pb2.STATE_KIND_CACHE, model_pb2.STATE_KIND_STATIC}
    assert len(model.parity.checks) == len(manifest.parity.checks) > 0
    assert model.placement.device == "cpu"
    assert list(model.placement.execution_providers) == ["CPUExecutionProvider"]


async def test_limits_that_there_are_not_are_absent(running: Running):
    model = (await running.model.GetModel(model_pb2.GetModelRequest(model="gru@1"))).model
    assert not any(model.HasField(name) for name in ("context_limit", "source_limit", "source_vocabulary_size"))


async def test_the_load_is_that_of_the_moment(running: Running):
    async def load() -> model_pb2.Load:
        return (await running.model.GetModel(model_pb2.GetModelRequest(model="gru"))).model.load

    assert ((await load()).rows, (await load()).running, (await load()).queue_limit) == (4, 0, 4)
    call = running.generation.Generate(endless(samples=3))
    await read(call, 9)
    assert (await load()).running == 3
    assert (await load()).state_bytes_per_row > 0
    call.cancel()


@pytest.mark.parametrize("text", ["naïve 안녕 🎉", "<eos>", ""])
async def test_text_survives_tokenize_and_detokenize(running: Running, text: str):
    tokens = (await running.generation.Tokenize(pb.TokenizeRequest(model="gru", text=text))).tokens
    request = pb.DetokenizeRequest(model="gru", token_ids=[token.id for token in tokens])
    assert (await running.generation.Detokenize(request)).text == text
    assert all(0 <= token.start < token.end <= len(text) for token in tokens)
    assert 2 not in [token.id for token in tokens]


async def test_long_text_is_tokenized_the_same(running: Running):
    request = pb.TokenizeRequest(model="gru", text="The quick brown fox " * 2000)
    tokens = (await running.generation.Tokenize(request)).tokens
    assert tokens[-1].end == 40_000


async def test_a_model_with_a_source_has_two_vocabularies(running: Running):
    async def ids(text: str, vocabulary: int) -> list[int]:
        request = pb.TokenizeRequest(model="transformer", text=text, vocabulary=vocabulary)
        return [token.id for token in (await running.generation.Tokenize(request)).tokens]

    source, target = await ids("1973", pb.VOCABULARY_SOURCE), await ids("1973", pb.VOCABULARY_TARGET)
    assert await ids("1973", pb.VOCABULARY_UNSPECIFIED) == source != target
    for vocabulary, token_ids in ((pb.VOCABULARY_SOURCE, source), (pb.VOCABULARY_UNSPECIFIED, target)):
        request = pb.DetokenizeRequest(model="transformer", token_ids=token_ids, vocabulary=vocabulary)
        assert (await running.generation.Detokenize(request)).text == "1973"


async def test_health_is_told_for_the_server_and_every_name_of_a_model(running: Running):
    health = health_pb2_grpc.HealthStub(running.channel)
    names = ["", "gru", "gru@1", "gru@2", "transformer", "transformer@1", "transformer-lm", "transformer-lm@1"]
    for name in names:
        assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == SERVING
    watch = health.Watch(health_pb2.HealthCheckRequest(service="gru"))
    assert (await watch.read()).status == SERVING
    await running.server.drain(0)
    async with asyncio.timeout(PATIENCE):
        assert (await watch.read()).status == NOT_SERVING
    for name in names:
        assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == NOT_SERVING
    watch.cancel()


async def test_reflection_knows_the_services_and_their_messages(running: Running):
    stub = reflection_pb2_grpc.ServerReflectionStub(running.channel)
    call = stub.ServerReflectionInfo(
        iter(
            [
                reflection_pb2.ServerReflectionRequest(list_services=""),
                reflection_pb2.ServerReflectionRequest(file_containing_symbol="seqstream.v1.GenerationService"),
            ]
        )
    )
    services, file = [response async for response in call]
    assert {service.name for service in services.list_services_response.service} >= {
        "seqstream.v1.GenerationService",
        "seqstream.v1.ModelService",
        "inference.GRPCInferenceService",
        "grpc.health.v1.Health",
    }
    described, *_ = file.file_descriptor_response.file_descriptor_proto
    assert FileDescriptorProto.FromString(described).package == "seqstream.v1"
