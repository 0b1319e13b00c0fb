"""InspectionService on a real server: maps and activations of every kind of model, limits, and streams beside it."""

import asyncio
import json
import re
import shutil
from pathlib import Path

import grpc
import numpy as np
import pytest

from bundle.folder import open_bundle
from bundle.inspector import Inspector
from protos.seqstream.v1 import inspection_pb2 as pb
from protos.seqstream.v1 import model_pb2
from protos.seqstream.v1.inspection_pb2_grpc import InspectionServiceStub
from service.client import Client
from service.failures import InvalidArgument
from service.inspection import InspectionBusy, Inspections, Reading
from tests.exported import Bundles
from tests.service.wire.asking import ask, tokens_of
from tests.service.wire.running import Running, serve
from tests.service.wire.test_errors import refused

TEXT = "The quick 안녕 🎉"
SOURCE, TARGET = "28 Kasım 1973 Çarşamba", "1973-11-28, 수요일 🚀"
LABELS = ("transformer", "transformer-lm", "gru-seq2seq", "lstm", "gru", "rnn-tanh", "latent", "naive", "ar")


@pytest.fixture(scope="module")
def folder(bundles: Bundles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of model that shows something, one that never does, and one that was exported without."""
    folder = tmp_path_factory.mktemp("inspected")
    for label in (*LABELS, "markov"):
        shutil.copytree(bundles.path(label), folder / label / "1")
    path = folder / "plain" / "1"
    shutil.copytree(bundles.path("gru"), path)
    manifest = json.loads((path / "bundle.json").read_text())
    del manifest["files"]["inspect.onnx"], manifest["views"]
    (path / "inspect.onnx").unlink()
    (path / "bundle.json").write_text(json.dumps({**manifest, "name": "plain"}))
    return folder


@pytest.fixture
async def running(folder: Path):
    async with serve(folder) as server:
        yield server


@pytest.fixture
async def client(running: Running):
    async with Client(running.address) as client:
        yield client


@pytest.mark.parametrize("model", ["transformer", "gru-seq2seq"])
async def test_cross_attention_has_a_row_for_each_written_piece_and_a_column_for_each_source_piece(
    client: Client, model: str
):
    seen = await client.attend(model, SOURCE, TARGET, kinds=["cross"])
    assert seen.model == f"{model}@1"
    assert "".join(piece.text for piece in seen.sequences.source) == SOURCE
    assert "".join(piece.text for piece in seen.sequences.written) == TARGET
    assert seen.sequences.source[-1].symbol == "<eos>"
    assert seen.sequences.read[0].symbol == "<bos>"
    assert len(seen.sequences.read) == len(seen.sequences.written)
    for each in seen.maps:
        assert each.rows == seen.sequences.written
        assert each.columns == seen.sequences.source
        assert each.weights.shape == (len(each.rows), len(each.columns))
        np.testing.assert_allclose(each.weights.sum(axis=1), 1, atol=1e-5)


async def test_self_attention_reads_nothing_ahead_and_an_encoder_reads_everything(client: Client):
    seen = await client.attend("transformer", SOURCE, TARGET)
    assert [(each.kind, each.layer, each.head) for each in seen.maps[:4]] == [("encoder_self", 0, n) for n in range(4)]
    assert len(seen.maps) == 2 * 3 * 4
    own = [each for each in seen.maps if each.kind == "decoder_self"]
    assert all(np.array_equal(each.weights, np.tril(each.weights)) for each in own)
    encoder = [each for each in seen.maps if each.kind == "encoder_self"]
    assert all((each.weights > 0).all() for each in encoder)


async def test_layers_and_heads_are_chosen_and_their_mean_is_the_mean(client: Client):
    both = await client.attend("transformer-lm", TEXT, layers=[1], heads=[3, 0])
    mean = await client.attend("transformer-lm", TEXT, layers=[1], heads=[3, 0], mean_of_heads=True)
    assert [(each.layer, each.head) for each in both.maps] == [(1, 0), (1, 3)]
    (only,) = mean.maps
    assert only.head is None
    np.testing.assert_allclose(only.weights, (both.maps[0].weights + both.maps[1].weights) / 2, atol=1e-7)
    assert "".join(piece.text for piece in both.sequences.read) == TEXT


async def test_a_continuation_is_read_as_the_tokens_that_a_stream_delivered(running: Running, client: Client):
    written = tokens_of(await running.events(ask(TEXT, "transformer-lm")))[:8]
    seen = await client.attend("transformer-lm", TEXT, written, layers=[0])
    assert [piece.token_id for piece in seen.sequences.read][-8:] == written
    assert [piece.token_id for piece in seen.sequences.written] == [piece.token_id for piece in seen.sequences.read][1:]


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("lstm", ["input_gate", "forget_gate", "output_gate", "candidate", "cell", "hidden"]),
        ("gru", ["reset_gate", "update_gate", "candidate", "hidden"]),
        ("rnn-tanh", ["hidden"]),
        ("latent", ["update", "latent"]),
        ("naive", ["mean"]),
        ("ar", ["hidden"]),
    ],
)
async def test_activations_have_a_time_for_each_piece(client: Client, model: str, names: list[str]):
    seen = await client.inspect(model, TEXT)
    assert list(dict.fromkeys(each.name for each in seen.activations)) == names
    for each in seen.activations:
        assert each.times == seen.sequences.read
        assert each.values.shape == (len(each.times), each.total_units)
        assert each.kind == ("gate" if each.name.endswith("_gate") else "state")
        assert each.kind == "state" or ((each.values >= 0) & (each.values <= 1)).all()


async def test_an_encoders_activations_are_over_the_source(client: Client):
    seen = await client.inspect("gru-seq2seq", SOURCE, TARGET, names=["update_gate"], layers=[1])
    encoder, decoder = seen.activations
    assert (encoder.part, decoder.part) == ("encoder", "decoder")
    assert encoder.times == seen.sequences.source
    assert decoder.times == seen.sequences.read


async def test_units_are_chosen_evenly_and_told(client: Client):
    everything = await client.inspect("gru", TEXT, names=["hidden"], layers=[0])
    few = await client.inspect("gru", TEXT, names=["hidden"], layers=[0], max_units=4)
    assert few.activations[0].units == (0, 5, 10, 15)
    assert few.activations[0].total_units == 16
    np.testing.assert_array_equal(few.activations[0].values, everything.activations[0].values[:, [0, 5, 10, 15]])


async def test_a_model_tells_what_can_be_seen_of_it(running: Running):
    models = {model.name: model for model in (await running.model.ListModels(model_pb2.ListModelsRequest())).models}
    assert not models["plain"].HasField("inspection")
    assert not models["markov"].HasField("inspection")
    shown = models["gru-seq2seq"].inspection
    assert shown.precision == "fp32"
    assert [(view.kind, view.layer, view.heads) for view in shown.attentions] == [(pb.ATTENTION_KIND_CROSS, 1, 1)]
    assert {view.part for view in shown.activations} == {pb.PART_ENCODER, pb.PART_DECODER}
    assert {view.units for view in shown.activations} == {16}


@pytest.mark.parametrize("model", ["plain", "markov"])
async def test_a_model_exported_without_views_tells_how_to_export_it(running: Running, model: str):
    stub = InspectionServiceStub(running.channel)
    code, message, found = await refused(stub.Attend(pb.AttendRequest(model=model, text=TEXT)))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert message.startswith(f"{model}@1 was exported without views of its inside")
    assert found["ErrorInfo"].reason == "INSPECTION_NOT_EXPORTED"
    assert found["ErrorInfo"].metadata["command"] == "python -m export RUN --models MODELS --with-attention"


async def test_what_a_model_has_not_is_told_with_what_it_has(running: Running):
    stub = InspectionServiceStub(running.channel)
    code, message, found = await refused(stub.Attend(pb.AttendRequest(model="gru", text=TEXT)))
    assert (code, found["ErrorInfo"].reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_ATTENTION")
    assert message == "gru@1 has no attention; Inspect shows its activations"
    request = pb.InspectRequest(model="transformer", text=SOURCE, continuation_text=TARGET)
    code, message, found = await refused(stub.Inspect(request))
    assert (code, found["ErrorInfo"].reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_ACTIVATIONS")
    assert message == "transformer@1 shows no activations; Attend shows its attention"
    code, _, found = await refused(stub.Inspect(pb.InspectRequest(model="nobody", text=TEXT)))
    assert (code, found["ErrorInfo"].reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"layers": [1, 2]}, r"layers\[1\] is 2; allowed: 0 to 1"),
        ({"heads": [4]}, r"heads\[0\] is 4; allowed: 0 to 3"),
        ({"kinds": [pb.ATTENTION_KIND_CROSS]}, r"kinds\[0\] is ATTENTION_KIND_CROSS; allowed: .*DECODER_SELF"),
        ({"kinds": [99]}, r"kinds\[0\] is 99; allowed"),
        ({"layers": [0] * 1025}, "layers is 1025 entries; allowed: at most 1024"),
        ({"text": "Wx" * 40}, r"text is 81 tokens in all; allowed: at most 64, the model's context"),
        ({"text": "Wx" * 300}, r"text is 601 tokens in all; allowed: at most 512 can be inspected"),
        ({"continuation_text": "Wx" * 300}, r"continuation_text is 600 tokens; allowed: 0 to 512"),
    ],
)
async def test_fields_outside_of_their_limits_are_named(running: Running, fields: dict[str, object], message: str):
    request = pb.AttendRequest(**{"model": "transformer-lm", "text": TEXT, **fields})
    code, told, found = await refused(InspectionServiceStub(running.channel).Attend(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert re.search(message, told), told
    assert found["BadRequest"].field_violations


async def test_as_many_tokens_as_the_context_holds_can_be_looked_at(client: Client):
    seen = await client.attend("transformer-lm", "Wx" * 31 + "W", layers=[0], heads=[0])
    assert seen.maps[0].weights.shape == (64, 64)


async def test_activations_outside_of_their_limits_are_named(client: Client):
    with pytest.raises(InvalidArgument, match=r"names\[0\] is 'forget_gate'; allowed: reset_gate, update_gate"):
        await client.inspect("gru", TEXT, names=["forget_gate"])
    with pytest.raises(InvalidArgument, match="max_units is 0; allowed: 1 to 4096"):
        await client.inspect("gru", TEXT, max_units=0)
    with pytest.raises(InvalidArgument, match="allowed: 1 to 512"):
        await client.inspect("gru-seq2seq", SOURCE)


async def test_options_that_there_are_not_are_refused_before_anything_is_sent(client: Client):
    with pytest.raises(TypeError, match="no option 'layer'; there are kinds, layers, heads, mean_of_heads"):
        await client.attend("transformer-lm", TEXT, layer=1)
    with pytest.raises(TypeError, match="no option 'units'; there are names, layers, max_units"):
        await client.inspect("gru", TEXT, units=4)
    with pytest.raises(ValueError, match="no kind of attention 'self'; there are encoder_self, decoder_self, cross"):
        await client.attend("transformer-lm", TEXT, kinds=["self"])


async def test_a_response_that_would_be_too_long_is_refused_with_advice(
    client: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("service.wire.looking.MOST_VALUES", 1000)  # no tiny model has as many as the real limit
    with pytest.raises(InvalidArgument, match=r"layers is such that \d+ numbers answer; allowed: 1000: fewer names"):
        await client.inspect("gru", TEXT)
    with pytest.raises(InvalidArgument, match=r"layers is such that \d+ numbers answer; allowed: 1000: fewer layers"):
        await client.attend("transformer", SOURCE, TARGET)


async def test_a_stream_has_the_same_tokens_while_others_look(running: Running, client: Client):
    request = ask(TEXT, "transformer-lm")
    alone = tokens_of(await running.events(request))
    looks = asyncio.gather(*(client.attend("transformer", SOURCE, TARGET) for _ in range(6)))
    beside = tokens_of(await running.events(request))
    assert len({len(look.maps) for look in await looks}) == 1
    assert beside == alone


async def test_no_more_than_some_look_or_wait(bundles: Bundles):
    inspections, inspector = Inspections(most_waiting=1), Inspector(open_bundle(bundles.path("gru")))
    reading = Reading.of(None, (1, 5, 6), ())
    first, second, third = await asyncio.gather(
        *(inspections.look(inspector, reading, inspector.manifest.views) for _ in range(3)), return_exceptions=True
    )
    assert isinstance(third, InspectionBusy)
    np.testing.assert_array_equal(first, second)
    assert await inspections.look(inspector, reading, inspector.manifest.views)


async def test_who_goes_away_leaves_the_place_once_the_look_is_done(bundles: Bundles):
    inspections, inspector = Inspections(most_waiting=0), Inspector(open_bundle(bundles.path("gru")))
    look = asyncio.create_task(inspections.look(inspector, Reading.of(None, (1,) * 400, ()), inspector.manifest.views))
    await asyncio.sleep(0)
    look.cancel()
    with pytest.raises(asyncio.CancelledError):
        await look
    async with asyncio.timeout(60):
        while True:
            try:
                await inspections.look(inspector, Reading.of(None, (1, 5), ()), inspector.manifest.views)
                break
            except InspectionBusy:
                await asyncio.sleep(0.005)


async def test_a_busy_server_says_when_to_come_back(running: Running, monkeypatch: pytest.MonkeyPatch):
    async def busy(*_: object) -> None:
        raise InspectionBusy("9 inspections run or wait; allowed: 9")

    monkeypatch.setattr(Inspections, "look", busy)
    request = pb.AttendRequest(model="transformer-lm", text=TEXT)
    code, message, found = await refused(InspectionServiceStub(running.channel).Attend(request))
    assert (code, found["ErrorInfo"].reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "INSPECTION_BUSY")
    assert message == "9 inspections run or wait; allowed: 9"
    assert found["RetryInfo"].retry_delay.seconds == 1
