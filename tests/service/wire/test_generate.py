"""Generate, against a real server: which events come, and what is in them."""

import pytest

from protos.seqstream.v1 import generation_pb2 as pb
from tests.service.wire.asking import ask, finishes, stop, text_of, tokens_of
from tests.service.wire.running import Running


async def test_a_stream_is_started_deltas_finished(running: Running):
    events = await running.events(ask())
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds == ["started", *["delta"] * (len(kinds) - 2), "finished"]
    started, finished = events[0].started, events[-1].finished
    assert (started.model, started.seed, started.stop.max_new_tokens) == ("gru@2", 7, 40)
    assert len(started.request_id) == 16
    assert finished.reason == pb.FINISH_REASON_MAX_TOKENS
    assert (finished.usage.generated_tokens, finished.usage.prompt_tokens) == (40, started.prompt_tokens)
    assert finished.timings.decode.nanos > 0


async def test_effective_parameters_are_told(running: Running):
    started = (await running.events(ask("x", "transformer-lm", stop=pb.StopConditions(max_new_tokens=1000))))[0].started
    sampling = pb.SamplingParameters(temperature=1, top_p=1, typical_p=1, repetition_penalty=1)
    assert started.sampling == sampling
    assert started.stop.max_new_tokens == 64 - started.prompt_tokens


async def test_positions_count_the_tokens_and_texts_join_to_the_text_of_all(running: Running):
    events = await running.events(ask(stop=stop(200)))
    position = 0
    for event in events[1:-1]:
        assert event.delta.position == position
        position += len(event.delta.token_ids)
    request = pb.DetokenizeRequest(model="gru", token_ids=tokens_of(events))
    assert (await running.generation.Detokenize(request)).text == text_of(events)
    assert "\ufffd" in text_of(events)  # the model is random: its bytes are not all characters


async def test_the_seed_decides_and_is_drawn_when_absent(running: Running):
    same = [tokens_of(await running.events(ask())) for _ in range(2)]
    assert same[0] == same[1]
    request = ask()
    request.ClearField("seed")
    drawn = await running.events(request)
    again = ask(seed=drawn[0].started.seed)
    assert tokens_of(await running.events(again)) == tokens_of(drawn) != same[0]


async def test_messages_hold_at_most_the_tokens_asked_for(running: Running):
    alone = await running.events(ask(output=pb.OutputOptions(max_tokens_per_message=1)))
    assert {len(event.delta.token_ids) for event in alone[1:-1]} <= {0, 1}
    assert text_of(alone) == text_of(await running.events(ask(output=pb.OutputOptions(max_tokens_per_message=3))))


async def test_samples_differ_and_each_equals_itself_alone(running: Running):
    together = await running.events(ask(samples=3))
    assert {finish.sample for finish in finishes(together)} == {0, 1, 2}
    for sample in range(3):
        alone = await running.events(ask(first_sample=sample))
        assert tokens_of(alone, sample) == tokens_of(together, sample)
        assert text_of(alone, sample) == text_of(together, sample)
    assert tokens_of(together, 0) != tokens_of(together, 1)


async def test_logprobs_come_with_their_tokens_and_alternatives(running: Running):
    output = pb.OutputOptions(logprobs=True, top_logprobs=3)
    events = await running.events(ask(output=output, sampling=pb.SamplingParameters(temperature=0)))
    for event in events[1:-1]:
        assert [score.token_id for score in event.delta.logprobs] == list(event.delta.token_ids)
        for score in event.delta.logprobs:
            assert score.alternatives[0].token_id == score.token_id
            assert score.alternatives[0].logprob == score.logprob <= 0
            assert len(score.alternatives) == 3


async def test_prompt_logprobs_come_before_the_first_token(running: Running):
    events = await running.events(ask("The quick brown fox", output=pb.OutputOptions(prompt_logprobs=True)))
    assert events[1].WhichOneof("event") == "prompt_scores"
    scores = events[1].prompt_scores.logprobs
    tokenized = await running.generation.Tokenize(pb.TokenizeRequest(model="gru", text="The quick brown fox"))
    assert [score.token_id for score in scores] == [token.id for token in tokenized.tokens]
    assert events[0].started.prompt_tokens == len(scores) + 1


async def test_many_prompt_logprobs_come_in_several_messages(running: Running):
    request = ask(output=pb.OutputOptions(prompt_logprobs=True))
    request.token_ids.ids.extend([1, *[50] * 2500])
    events = [event for event in await running.events(request) if event.WhichOneof("event") == "prompt_scores"]
    assert [len(event.prompt_scores.logprobs) for event in events] == [1024, 1024, 452]


async def test_an_empty_text_is_a_prompt(running: Running):
    events = await running.events(ask("", output=pb.OutputOptions(prompt_logprobs=True)))
    assert events[0].started.prompt_tokens == 1
    assert len(tokens_of(events)) == 40


async def test_token_ids_are_taken_as_they_are(running: Running):
    tokenized = await running.generation.Tokenize(pb.TokenizeRequest(model="gru", text="The quick"))
    request = ask()
    request.token_ids.ids.extend([1, *(token.id for token in tokenized.tokens)])
    assert tokens_of(await running.events(request)) == tokens_of(await running.events(ask("The quick")))


async def test_text_may_be_omitted(running: Running):
    events = await running.events(ask(output=pb.OutputOptions(omit_text=True)))
    assert text_of(events) == ""
    assert tokens_of(events) == tokens_of(await running.events(ask()))


async def test_a_full_context_ends_the_sample(running: Running):
    request = ask("The quick", "transformer-lm", stop=stop(500))
    events = await running.events(request)
    usage = events[-1].finished.usage
    assert events[-1].finished.reason == pb.FINISH_REASON_CONTEXT_FULL
    assert usage.generated_tokens == events[0].started.stop.max_new_tokens == 64 - usage.prompt_tokens


async def test_a_stop_token_ends_the_sample_and_is_told(running: Running):
    tokens = tokens_of(await running.events(ask()))
    events = await running.events(ask(stop=stop(stop_token_ids=[tokens[20]])))
    finished = events[-1].finished
    assert (finished.reason, finished.stop_token_id) == (pb.FINISH_REASON_STOP_TOKEN, tokens[20])
    assert tokens_of(events) == tokens[: tokens.index(tokens[20]) + 1]


async def test_end_of_sequence_ends_the_sample_unless_ignored(running: Running):
    bias = pb.SamplingParameters(logit_bias={2: 100})
    events = await running.events(ask(sampling=bias, stop=pb.StopConditions(max_new_tokens=9)))
    assert events[-1].finished.reason == pb.FINISH_REASON_END_OF_SEQUENCE
    assert (tokens_of(events), text_of(events)) == ([2], "")
    assert tokens_of(await running.events(ask(sampling=bias, stop=stop(9)))) == [2] * 9


async def test_a_source_is_read_by_the_encoder(running: Running):
    events = await running.events(ask("28 Kasım 1973 Çarşamba", "transformer"))
    assert events[0].started.prompt_tokens == len("28 Kasım 1973 Çarşamba") + 1
    assert events[-1].finished.usage.generated_tokens == 40
    assert tokens_of(events) != tokens_of(await running.events(ask("Samstag, 30. Januar 1982", "transformer")))


@pytest.mark.parametrize("model", ["gru@1", "gru@2", "transformer-lm@1"])
async def test_a_version_can_be_asked_for(running: Running, model: str):
    assert (await running.events(ask(model=model)))[0].started.model == model
