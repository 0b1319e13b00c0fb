"""Stop strings over the wire: they end the sample in the text, in the tokens and in the engine."""

from protos.seqstream.v1 import generation_pb2 as pb
from tests.service.wire.asking import ask, finishes, stop, text_of, tokens_of
from tests.service.wire.running import Running


async def lone(running: Running) -> list[pb.GenerateResponse]:
    return await running.events(ask(output=pb.OutputOptions(max_tokens_per_message=1)))


def across_tokens(events: list[pb.GenerateResponse]) -> str:
    """The last character of one delta and the first of the next, nowhere before in the text."""
    shown = ""
    for event in events:
        pair = shown[-1:] + event.delta.text[:1]
        if len(shown) > 5 and len(pair) == 2 and text_of(events).find(pair) == len(shown) - 1:
            return pair
        shown += event.delta.text
    raise AssertionError(f"no such pair in {shown!r}")


async def test_a_stop_string_split_over_tokens_ends_the_sample_and_is_not_shown(running: Running):
    free = await lone(running)
    wanted = across_tokens(free)
    events = await running.events(ask(stop=stop(stop_strings=["never there", wanted])))
    finished = events[-1].finished
    assert (finished.reason, finished.stop_string) == (pb.FINISH_REASON_STOP_STRING, wanted)
    assert text_of(events) == text_of(free)[: text_of(free).index(wanted)]
    tokens = tokens_of(events)
    assert tokens == tokens_of(free)[: len(tokens)]
    assert finished.usage.generated_tokens == len(tokens) < 40
    decoded = await running.generation.Detokenize(pb.DetokenizeRequest(model="gru", token_ids=tokens))
    before = await running.generation.Detokenize(pb.DetokenizeRequest(model="gru", token_ids=tokens[:-1]))
    assert wanted in decoded.text
    assert wanted not in before.text


async def test_it_can_be_included(running: Running):
    free = await lone(running)
    wanted = across_tokens(free)
    events = await running.events(ask(stop=stop(stop_strings=[wanted], include_stop_string=True)))
    assert text_of(events) == text_of(free)[: text_of(free).index(wanted) + len(wanted)]


async def test_it_frees_the_row_of_its_sample_and_the_others_go_on(running: Running):
    free = await running.events(ask(samples=3))
    wanted = next(c for c in text_of(free, 1) if c not in text_of(free, 0) + text_of(free, 2))
    events = await running.events(ask(samples=3, stop=stop(stop_strings=[wanted])))
    reasons = {finish.sample: finish.reason for finish in finishes(events)}
    assert reasons == {
        0: pb.FINISH_REASON_MAX_TOKENS,
        1: pb.FINISH_REASON_STOP_STRING,
        2: pb.FINISH_REASON_MAX_TOKENS,
    }
    assert text_of(events, 0) == text_of(free, 0)
    assert text_of(events, 1) == text_of(free, 1)[: text_of(free, 1).index(wanted)]


async def test_a_beginning_left_at_the_end_is_released(running: Running):
    free = await lone(running)
    ending = text_of(free)[-1] + "and more"
    events = await running.events(ask(stop=stop(stop_strings=[ending])))
    assert text_of(events) == text_of(free)
    assert list(events[-2].delta.token_ids) == []
