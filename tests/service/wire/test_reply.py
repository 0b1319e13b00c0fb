"""Messages of one sample: text and tokens in step, however the engine cuts its chunks."""

import functools

from hypothesis import given
from hypothesis import strategies as st

from bundle.tokenizer import Tokenizer
from protos.seqstream.v1 import generation_pb2 as pb
from service.chunk import Chunk, Timings
from service.wire.checks import fill_defaults
from service.wire.reply import Reply
from training.tokenization import train_tokenizer

SIZE = 270
TOKENS = st.lists(st.integers(0, SIZE - 1), max_size=40)
STOPS = st.lists(st.text("ab한 ", min_size=1, max_size=3), max_size=3)


@functools.cache
def tokenizer() -> Tokenizer:
    return Tokenizer(train_tokenizer("bpe", ["안녕한 한국 abab 🎉🎉"] * 9, SIZE))


def asked(stops: list[str], most: int, resumed: list[int] | None = None) -> pb.GenerateRequest:
    request = pb.GenerateRequest(
        stop=pb.StopConditions(stop_strings=stops),
        output=pb.OutputOptions(max_tokens_per_message=most),
        resume_token_ids=resumed or [],
    )
    fill_defaults(request)
    return request


def deltas(reply: Reply, token_ids: list[int], cut: int) -> list[pb.TokenDelta]:
    """What is sent for tokens that come from the engine `cut` at a time."""
    sent = []
    for start in range(0, len(token_ids), cut):
        if reply.matched is None:
            chunk = Chunk(0, start, token_ids[start : start + cut])
            sent += [pb.GenerateResponse.FromString(message).delta for message in reply.deltas(chunk)]
    return sent


def end(reply: Reply) -> list[pb.GenerateResponse]:
    messages = reply.end({"reason": "FINISH_REASON_MAX_TOKENS"}, Timings(0, 0, 0), 1)
    return [pb.GenerateResponse.FromString(message) for message in messages]


def test_a_long_chunk_is_cut_into_messages():
    reply = Reply(0, tokenizer(), asked([], most=4))
    assert [len(delta.token_ids) for delta in deltas(reply, list(range(100, 110)), cut=10)] == [4, 4, 2]


def test_messages_are_made_one_by_one_so_that_a_long_chunk_holds_up_nobody():
    reply = Reply(0, tokenizer(), asked([], most=4))
    messages = reply.deltas(Chunk(0, 0, list(range(100, 110))))
    assert [(len(next(messages)) > 0, reply.fresh) for _ in range(3)] == [(True, 4), (True, 8), (True, 10)]


@given(token_ids=TOKENS, stops=STOPS, most=st.integers(1, 5), cut=st.integers(1, 7), broken=st.integers(0, 40))
def test_a_stream_resumed_anywhere_goes_on_with_the_same_tokens_and_text(token_ids, stops, most, cut, broken):
    whole = Reply(0, tokenizer(), asked(stops, most=1))
    expected = deltas(whole, token_ids, cut=1)
    expected_text = "".join(delta.text for delta in expected)

    first = deltas(Reply(0, tokenizer(), asked(stops, most)), token_ids, cut)[:broken]
    received = [token_id for delta in first for token_id in delta.token_ids]
    resumed = Reply(0, tokenizer(), asked(stops, most, received))
    left = [token_id for delta in expected for token_id in delta.token_ids][len(received) :]
    second = deltas(resumed, left, cut)

    together = [*first, *second]
    assert "".join(delta.text for delta in together) == expected_text
    assert [token_id for delta in together for token_id in delta.token_ids] == received + left
    assert [delta.position for delta in second[:1]] == [len(received)][: len(second)]
    assert resumed.matched == whole.matched
    assert [message.delta.text for message in end(resumed)] == [message.delta.text for message in end(whole)]


@given(token_ids=TOKENS, stops=STOPS)
def test_text_sent_with_n_tokens_depends_on_these_alone(token_ids, stops):
    reply = Reply(0, tokenizer(), asked(stops, most=1))
    shown = ""
    for count, delta in enumerate(deltas(reply, token_ids, cut=1), 1):
        shown += delta.text
        lone = Reply(0, tokenizer(), asked(stops, most=1024))
        assert "".join(delta.text for delta in deltas(lone, token_ids[:count], cut=1024)) == shown


@given(token_ids=TOKENS)
def test_text_that_is_left_comes_without_tokens_and_before_the_end(token_ids):
    reply = Reply(0, tokenizer(), asked([], most=3))
    sent = deltas(reply, token_ids, cut=5)
    *flushed, finished = end(reply)
    assert all(delta.token_ids for delta in sent)
    assert [list(message.delta.token_ids) for message in flushed] in ([], [[]])
    text = "".join(delta.text for delta in [*sent, *(message.delta for message in flushed)])
    assert text == tokenizer().decode(token_ids)
    assert finished.finished.usage.generated_tokens == len(token_ids)
