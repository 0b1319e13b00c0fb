"""The hand-made message of a token is to the byte what protobuf makes."""

from hypothesis import given
from hypothesis import strategies as st

from protos.seqstream.v1 import generation_pb2 as pb
from service.wire.deltas import delta, delta_of_one

NUMBERS = st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 127, 128, 2**14 - 1, 2**14, 2**21 - 1, 2**21])


@given(NUMBERS, NUMBERS, st.lists(NUMBERS, max_size=40), st.text(max_size=40) | st.text(min_size=120, max_size=300))
def test_every_field_is_encoded_as_protobuf_does(sample, position, token_ids, text):
    message = pb.TokenDelta(sample=sample, position=position, token_ids=token_ids, text=text)
    assert delta(sample, position, token_ids, text) == pb.GenerateResponse(delta=message).SerializeToString()


@given(NUMBERS, NUMBERS, NUMBERS, st.text(max_size=40) | st.sampled_from(["한" * 43, "a" * 2**14]))
def test_a_single_token_is_encoded_as_protobuf_does(sample, position, token_id, text):
    message = pb.TokenDelta(sample=sample, position=position, token_ids=[token_id], text=text)
    assert delta_of_one(sample, position, token_id, text) == pb.GenerateResponse(delta=message).SerializeToString()


def test_a_message_longer_than_a_short_length_says_so():
    message = pb.TokenDelta(position=7, token_ids=range(9000), text="한" * 9000)
    assert delta(0, 7, range(9000), "한" * 9000) == pb.GenerateResponse(delta=message).SerializeToString()
