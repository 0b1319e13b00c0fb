"""Requests, and what is in the events that answer them."""

from collections.abc import Sequence

import grpc

from protos.seqstream.v1 import generation_pb2 as pb

MOST_NEW_TOKENS = 100_000
B = (
    3 + ord("B") - ord("!")
)  # the token of "B": special tokens, then the bytes in order, first those that can be printed


def ask(prompt: str = "The quick 안녕 ", model: str = "gru", **fields) -> pb.GenerateRequest:
    """A request for 40 tokens, always the same ones."""
    return pb.GenerateRequest(model=model, text=prompt, **{"stop": stop(), "seed": 7, **fields})


def stop(max_new_tokens: int = 40, **fields) -> pb.StopConditions:
    return pb.StopConditions(max_new_tokens=max_new_tokens, ignore_end_of_sequence=True, **fields)


def endless(**fields) -> pb.GenerateRequest:
    """A request that a receiver who does not read never sees finished."""
    output = pb.OutputOptions(max_tokens_per_message=1, logprobs=True, top_logprobs=20)
    return ask(stop=stop(MOST_NEW_TOKENS), output=output, **fields)


async def read(call: grpc.aio.UnaryStreamCall, count: int) -> list[pb.GenerateResponse]:
    """The next events of a call."""
    return [await anext(aiter(call)) for _ in range(count)]


def text_of(events: Sequence[pb.GenerateResponse], sample: int = 0) -> str:
    return "".join(event.delta.text for event in events if event.delta.sample == sample)


def tokens_of(events: Sequence[pb.GenerateResponse], sample: int = 0) -> list[int]:
    return [token for event in events if event.delta.sample == sample for token in event.delta.token_ids]


def finishes(events: Sequence[pb.GenerateResponse]) -> list[pb.Finished]:
    return [event.finished for event in events if event.WhichOneof("event") == "finished"]
