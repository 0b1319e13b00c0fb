"""Drafts on the wire: who may propose to whom, what is told, and what is refused."""

import pytest

from protos.seqstream.v1 import generation_pb2 as pb
from service.client import Client
from service.drafters import check_default
from service.failures import FailedPrecondition, InvalidArgument
from service.models import UnknownModelError
from service.request import Drafts
from service.wire.drafts import told
from service.wire.progress import Progress
from tests.service.wire.asking import ask, finishes, stop, text_of, tokens_of
from tests.service.wire.running import Running, serve

pytestmark = pytest.mark.usefixtures("eager")

GREEDY = pb.SamplingParameters(temperature=0)
LOOKUP = pb.DraftOptions(prompt_lookup=True)
LOOP = "the fox and the fox and the fox and"


def ask_transformer(**fields) -> pb.GenerateRequest:
    return ask(LOOP, "transformer-lm", **{"sampling": GREEDY, **fields})


async def test_without_drafts_nothing_is_told_of_them(running: Running) -> None:
    started, *events = await running.events(ask_transformer())
    assert not started.started.HasField("drafts")
    assert finishes(events)[0].usage.drafted_tokens == 0


@pytest.mark.parametrize(
    "drafts", [LOOKUP, pb.DraftOptions(model="gru"), pb.DraftOptions(prompt_lookup=True, model="gru@1", max_tokens=3)]
)
async def test_a_drafted_stream_says_so_and_has_the_same_text(running: Running, drafts: pb.DraftOptions) -> None:
    plain = await running.events(ask_transformer())
    started, *events = await running.events(ask_transformer(drafts=drafts))
    told = started.started.drafts
    assert told.prompt_lookup == drafts.prompt_lookup
    assert told.model == {"": "", "gru": "gru@2", "gru@1": "gru@1"}[drafts.model]
    assert told.max_tokens == (drafts.max_tokens or 16)
    assert tokens_of(events) == tokens_of(plain)
    assert text_of(events) == text_of(plain)
    usage = finishes(events)[0].usage
    assert 0 < usage.accepted_tokens <= usage.drafted_tokens


async def test_a_stop_string_cuts_what_several_tokens_bring(running: Running) -> None:
    text = text_of(await running.events(ask_transformer()))
    word = text[len(text) // 2 :][:3]
    for drafts in (None, LOOKUP):
        conditions = stop(stop_strings=[word])
        events = await running.events(ask_transformer(stop=conditions, drafts=drafts))
        assert text_of(events) == text[: text.index(word)]
        (finished,) = finishes(events)
        assert (finished.stop_string, finished.usage.generated_tokens) == (word, len(tokens_of(events)))


async def test_a_model_with_another_state_is_refused_as_one_that_verifies(running: Running) -> None:
    async with Client(running.address) as client:
        with pytest.raises(FailedPrecondition, match="drafts: gru@2 has a state that cannot go back"):
            await client.generate("gru", "a", drafts="prompt").result()


@pytest.mark.parametrize(
    ("drafts", "field", "message"),
    [
        ("nobody", "drafts.model", "is 'nobody'; allowed: a model with the same tokenizer and no source: gru, gru@1"),
        ("transformer", "drafts.model", "is 'transformer'; allowed: "),
        ("transformer-lm", "drafts.model", "is 'transformer-lm'; allowed: "),
        ({"prompt_lookup": True, "max_tokens": 17}, "drafts.max_tokens", "is 17; allowed: 1 to 16"),
        ({"prompt_lookup": True, "max_tokens": 0}, "drafts.max_tokens", "is 0; allowed: 1 to 16"),
    ],
)
async def test_a_bad_field_is_named(running: Running, drafts: str, field: str, message: str) -> None:
    async with Client(running.address) as client:
        with pytest.raises(InvalidArgument) as caught:
            await client.generate("transformer-lm", "a", drafts=drafts).result()
    assert [field] == [one.field for one in caught.value.violations]
    assert message in caught.value.violations[0].description


async def test_a_default_is_for_all_who_do_not_say_and_can(models_folder) -> None:
    async with serve(models_folder, drafts="prompt") as running, Client(running.address) as client:
        drafted = await client.generate("transformer-lm", LOOP, temperature=0.0).result()
        off = await client.generate("transformer-lm", LOOP, temperature=0.0, drafts="off").result()
        recurrent = await client.generate("gru", LOOP, temperature=0.0, max_new_tokens=4).result()
    assert drafted.started.drafts is not None
    assert drafted.started.drafts.prompt_lookup
    assert drafted.samples[0].finished.accepted_tokens > 0
    assert drafted.samples[0].text == off.samples[0].text
    assert off.started.drafts is None
    assert recurrent.started.drafts is None


async def test_a_default_model_drafts_for_those_with_its_tokenizer(models_folder) -> None:
    async with serve(models_folder, drafts="gru") as running, Client(running.address) as client:
        drafted = await client.generate("transformer-lm", LOOP, temperature=0.0).result()
        other = await client.generate("transformer", "2026", temperature=0.0, max_new_tokens=4).result()
    assert drafted.started.drafts is not None
    assert drafted.started.drafts.model == "gru@2"
    assert other.started.drafts is None


async def test_a_default_that_is_no_model_is_refused(running: Running) -> None:
    with pytest.raises(UnknownModelError, match="no model 'nobody' here"):
        check_default(running.models, "nobody")


async def test_a_resumed_stream_keeps_its_drafts_or_has_none(running: Running) -> None:
    tokens = tokens_of(await running.events(ask_transformer()))
    for drafts in (LOOKUP, pb.DraftOptions()):
        events = await running.events(ask_transformer(resume_token_ids=tokens[:5], drafts=drafts))
        assert tokens_of(events) == tokens[5:]
        assert events[0].started.HasField("drafts") == drafts.prompt_lookup


@pytest.mark.parametrize("drafts", [None, Drafts(True, "gru@1", 4)], ids=["none", "both"])
def test_what_is_left_of_a_broken_stream_is_asked_for_with_the_drafts_that_it_had(drafts: Drafts | None) -> None:
    """Whatever the default of the server that goes on."""
    progress = Progress(ask_transformer())
    progress.take(pb.GenerateResponse(started=pb.Started(drafts=drafts and told(drafts))))
    progress.take(pb.GenerateResponse(delta=pb.TokenDelta(token_ids=[5])))
    (request,) = progress.remaining()
    assert request.drafts == (pb.DraftOptions() if drafts is None else told(drafts))
    assert request.HasField("drafts")


@pytest.mark.parametrize(("flag", "code"), [("prompt", 0), ("gru", 0), ("nobody", 2)])
def test_the_flag_of_the_server(process, flag: str, code: int) -> None:
    if code:
        with pytest.raises(AssertionError, match="--drafts: no model 'nobody' here; there are gru@1"):
            process("--drafts", flag)
        return
    process("--drafts", flag).terminate()
