"""Score: the probabilities that Generate tells, for a text that is given."""

import math

import pytest

from protos.seqstream.v1 import generation_pb2 as pb
from tests.service.wire.asking import ask, tokens_of
from tests.service.wire.running import Running

PROMPTS = {"gru": "The quick 안녕", "transformer-lm": "The quick 안녕", "transformer": "28 Kasım 1973 Çarşamba"}


@pytest.mark.parametrize("model", PROMPTS)
async def test_a_generated_text_scores_what_its_tokens_were_told(running: Running, model: str):
    events = await running.events(ask(PROMPTS[model], model, output=pb.OutputOptions(logprobs=True, top_logprobs=2)))
    told = [score for event in events for score in event.delta.logprobs]
    request = pb.ScoreRequest(model=model, text=PROMPTS[model], top_logprobs=2)
    request.continuation_token_ids.ids.extend(tokens_of(events))
    response = await running.generation.Score(request)
    assert [score.token_id for score in response.logprobs] == tokens_of(events)
    assert [score.logprob for score in response.logprobs] == pytest.approx([score.logprob for score in told], abs=1e-4)
    assert [score.alternatives[0].text for score in response.logprobs] == [score.alternatives[0].text for score in told]
    assert response.total_logprob == pytest.approx(math.fsum(score.logprob for score in response.logprobs))
    assert response.model.startswith(f"{model}@")


async def test_text_is_scored_as_its_tokens(running: Running):
    text = pb.ScoreRequest(model="gru", text="The quick", continuation_text=" brown 여우")
    tokens = pb.ScoreRequest(model="gru", text="The quick")
    for token in (await running.generation.Tokenize(pb.TokenizeRequest(model="gru", text=" brown 여우"))).tokens:
        tokens.continuation_token_ids.ids.append(token.id)
    assert await running.generation.Score(text) == await running.generation.Score(tokens)


async def test_a_long_continuation_is_scored_in_chunks(running: Running):
    request = pb.ScoreRequest(model="gru", text="a", continuation_token_ids=pb.TokenIds(ids=[60, 70] * 4096))
    response = await running.generation.Score(request)
    assert len(response.logprobs) == 8192
    assert all(score.logprob < 0 for score in response.logprobs)
