"""The options of a generation, as keyword arguments, and the request made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict, Unpack, cast

from google.protobuf.message import Message

from protos.seqstream.v1 import generation_pb2 as pb
from protos.seqstream.v1 import inspection_pb2

Inspected = inspection_pb2.AttendRequest | inspection_pb2.InspectRequest
# Text, token ids, or the turns of a conversation: {"role": "user", "content": "Hello"}.
Prompt = str | Sequence[int] | Sequence[Mapping[str, str]]


class Options(TypedDict, total=False):
    """Fields of GenerateRequest and of the messages in it; generation.proto tells their defaults and limits."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    typical_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    logit_bias: Mapping[int, float]
    banned_token_ids: Sequence[int]

    max_new_tokens: int
    min_new_tokens: int
    stop_strings: Sequence[str]
    stop_token_ids: Sequence[int]
    ignore_end_of_sequence: bool
    include_stop_string: bool

    logprobs: bool
    top_logprobs: int
    prompt_logprobs: bool
    max_tokens_per_message: int
    omit_text: bool

    seed: int
    samples: int
    first_sample: int

    drafts: str | Mapping[str, object]
    """ "off", "prompt" (lookup), or the name of a model that proposes; or the fields of DraftOptions."""


_PARTS = {
    field.name: part
    for part, message in (
        ("", pb.GenerateRequest),
        ("sampling", pb.SamplingParameters),
        ("stop", pb.StopConditions),
        ("output", pb.OutputOptions),
    )
    for field in message.DESCRIPTOR.fields
    if field.name in Options.__annotations__
}


def generate_request(model: str, prompt: Prompt, **options: Unpack[Options]) -> pb.GenerateRequest:
    """Return the request. A prompt is text, token ids, or a conversation.

    Raises:
        TypeError: there is no such option, or its value is of the wrong type.
        ValueError: a value does not fit into its field at all.
    """
    if unknown := options.keys() - _PARTS.keys():
        raise TypeError(f"no option {min(unknown)!r}; there are {', '.join(Options.__annotations__)}")
    request = pb.GenerateRequest(model=model)
    for name, given in options.items():
        value = _draft_options(given) if name == "drafts" else given
        part: Message = getattr(request, _PARTS[name]) if _PARTS[name] else request
        try:
            part.MergeFrom(type(part)(**{name: value}))
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}: {value!r} does not fit: {error}") from None
    put_prompt(request, prompt)
    return request


def _draft_options(given: object) -> object:
    if not isinstance(given, str):
        return given
    return {"off": {}, "prompt": {"prompt_lookup": True}}.get(given, {"model": given})


def put_prompt(request: pb.GenerateRequest | Inspected, prompt: Prompt) -> None:
    """Set the prompt: text, token ids, or a conversation."""
    if not isinstance(prompt, str) and prompt and isinstance(prompt[0], Mapping):
        turns = cast("Sequence[Mapping[str, str]]", prompt)
        request.messages.messages.extend(pb.Message(role=turn["role"], content=turn["content"]) for turn in turns)
    else:
        set_prompt(request, cast("str | Sequence[int]", prompt))


def set_prompt(request: pb.GenerateRequest | pb.ScoreRequest | Inspected, prompt: str | Sequence[int]) -> None:
    """Set the prompt, text or token ids."""
    if isinstance(prompt, str):
        request.text = prompt
    else:
        request.token_ids.ids.extend(prompt)
