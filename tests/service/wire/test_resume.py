"""Resuming a broken stream, over the wire: the tokens and the text of the unbroken one."""

import pytest

from protos.seqstream.v1 import generation_pb2 as pb
from tests.service.wire.asking import B, ask, finishes, stop, text_of, tokens_of
from tests.service.wire.running import Running

PROMPTS = {"gru": "The quick 안녕", "transformer-lm": "The quick 안녕", "transformer": "28 Kasım 1973 Çarşamba"}


def resumed(request: pb.GenerateRequest, events: list[pb.GenerateResponse], sample: int = 0) -> pb.GenerateRequest:
    """What a client sends for one sample when the stream broke behind `events`."""
    again = pb.GenerateRequest()
    again.CopyFrom(request)
    again.model, again.seed = events[0].started.model, events[0].started.seed
    again.samples, again.first_sample = 1, sample
    again.resume_token_ids.extend(tokens_of(events, sample))
    return again


@pytest.mark.parametrize("model", PROMPTS)
async def test_a_stream_broken_anywhere_goes_on_as_it_would_have(running: Running, model: str):
    request = ask(PROMPTS[model], model, output=pb.OutputOptions(max_tokens_per_message=1, logprobs=True))
    whole = await running.events(request)
    for broken in (1, 2, 7, 23, len(whole) - 2):
        first, second = whole[:broken], await running.events(resumed(request, whole[:broken]))
        together = [*first, *second[1:]]
        assert tokens_of(together) == tokens_of(whole)
        assert text_of(together) == text_of(whole)
        usage = second[-1].finished.usage
        assert (usage.generated_tokens, usage.resumed_tokens) == (40, len(tokens_of(first)))
        told = [score.logprob for event in together for score in event.delta.logprobs]
        assert told == [score.logprob for event in whole for score in event.delta.logprobs]


async def test_penalties_count_the_resumed_tokens(running: Running):
    sampling = pb.SamplingParameters(frequency_penalty=1.5, repetition_penalty=1.3, temperature=0)
    request = ask(sampling=sampling, output=pb.OutputOptions(max_tokens_per_message=1))
    whole = await running.events(request)
    second = await running.events(resumed(request, whole[:15]))
    assert tokens_of(whole[:15]) + tokens_of(second) == tokens_of(whole)


async def test_every_sample_is_resumed_by_itself(running: Running):
    request = ask(samples=3, first_sample=2)
    whole = await running.events(request)
    for sample in (2, 3, 4):
        second = await running.events(resumed(request, whole[:6], sample))
        assert tokens_of(whole[:6], sample) + tokens_of(second, sample) == tokens_of(whole, sample)
        assert text_of(whole[:6], sample) + text_of(second, sample) == text_of(whole, sample)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param({}, pb.FINISH_REASON_MAX_TOKENS, id="all tokens"),
        pytest.param({"sampling": {"logit_bias": {2: 100}}, "stop": {}}, pb.FINISH_REASON_END_OF_SEQUENCE, id="eos"),
        pytest.param(
            {"sampling": {"logit_bias": {9: 100}}, "stop": {"stop_token_ids": [9]}},
            pb.FINISH_REASON_STOP_TOKEN,
            id="token",
        ),
        pytest.param(
            {"sampling": {"logit_bias": {B: 100}}, "stop": {"stop_strings": ["BBB"]}},
            pb.FINISH_REASON_STOP_STRING,
            id="text",
        ),
        pytest.param({"model": "transformer-lm", "stop": stop(500)}, pb.FINISH_REASON_CONTEXT_FULL, id="context"),
    ],
)
async def test_a_stream_broken_before_its_last_word_only_ends(running: Running, fields, reason):
    request = ask(**fields)
    whole = await running.events(request)
    second = await running.events(resumed(request, whole))
    assert finishes(whole)[0].reason == reason
    assert [event.WhichOneof("event") for event in second if not event.delta.text] == ["started", "finished"]
    assert tokens_of(second) == []
    assert text_of(second) == "".join(event.delta.text for event in whole if not event.delta.token_ids)
    for sample in (second[-1].finished, whole[-1].finished):
        sample.ClearField("timings")
        sample.usage.ClearField("resumed_tokens")
    assert second[-1] == whole[-1]
