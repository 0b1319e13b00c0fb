"""What a request continues: its text or token ids, checked, as tokens of the model. Knows nothing about gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from protos.seqstream.v1 import generation_pb2 as pb
from protos.seqstream.v1 import inspection_pb2
from service.chat import ChatError
from service.models import ServedModel
from service.wire.checks import MOST_PROMPT_BYTES, Checks

Inspected = inspection_pb2.AttendRequest | inspection_pb2.InspectRequest
Request = pb.GenerateRequest | pb.ScoreRequest | Inspected
Token = TypeVar("Token")

MOST_SCORED_TOKENS = 8192
MOST_TURNS = 1024
# Of a prompt for a model without a limit: as many as text may have.
MOST_PROMPT_TOKENS = MOST_PROMPT_BYTES
# Text longer than this is tokenized on another thread: about 2 ms of the event loop's time.
_LONG_TEXT = 8192


@dataclass(frozen=True, slots=True)
class Prompt:
    """source: for the start graph, or None.    tokens: for the step graph.    length: what the client is told."""

    source: tuple[int, ...] | None
    tokens: tuple[int, ...]
    length: int


async def tokenize(tokenize: Callable[[str], list[Token]], text: str) -> list[Token]:
    """Return what `tokenize` makes of `text`, without holding up the event loop."""
    return tokenize(text) if len(text) <= _LONG_TEXT else await asyncio.to_thread(tokenize, text)


async def read_prompt(request: Request, model: ServedModel, checks: Checks) -> Prompt | None:
    """Return the prompt, or None where it is not usable, which `checks` then knows."""
    token_ids = await _prompt_ids(request, model, checks)
    if token_ids is None:
        return None
    manifest = model.manifest
    if manifest.source_limit is None:
        return Prompt(None, tuple(token_ids), len(token_ids))
    given = len(token_ids)
    allowed = f"at most {manifest.source_limit} tokens, what the encoder of {model.reference} takes"
    checks.require(given <= manifest.source_limit, prompt_field(request), f"{given} tokens", allowed)
    return Prompt(tuple(token_ids), (manifest.special_tokens.bos,), given)


def as_given(request: Request) -> str | list[int] | list[dict[str, str]]:
    """Return the prompt as the client gave it: text, token ids or turns."""
    kind = request.WhichOneof("prompt")
    if kind == "token_ids":
        return list(request.token_ids.ids)
    if not isinstance(request, pb.ScoreRequest) and kind == "messages":
        return [{"role": turn.role, "content": turn.content} for turn in request.messages.messages]
    return request.text


async def read_continuation(
    request: pb.ScoreRequest | Inspected,
    model: ServedModel,
    checks: Checks,
    fewest: int = 1,
    most: int = MOST_SCORED_TOKENS,
) -> tuple[int, ...]:
    """Return the tokens of a continuation, `fewest` to `most`; `checks` knows what is wrong with them."""
    kind = request.WhichOneof("continuation")
    if kind == "continuation_text":
        if not checks.text("continuation_text", request.continuation_text, MOST_PROMPT_BYTES):
            return ()
        token_ids: Sequence[int] = await tokenize(model.tokenizer.encode, request.continuation_text)
    else:
        token_ids = request.continuation_token_ids.ids
        checks.tokens("continuation_token_ids.ids", token_ids, model.manifest.vocabulary_size)
    fits = fewest <= len(token_ids) <= most
    checks.require(fits, kind or "continuation", f"{len(token_ids)} tokens", f"{fewest} to {most}")
    return tuple(token_ids)


def check_scored(checks: Checks, prompt: Prompt, request: pb.GenerateRequest) -> None:
    """Require a prompt whose log-probabilities are asked for to be short enough to be told."""
    if request.output.prompt_logprobs:
        given, allowed = f"true, for {len(prompt.tokens)} tokens", f"at most {MOST_SCORED_TOKENS} tokens"
        checks.require(len(prompt.tokens) <= MOST_SCORED_TOKENS, "output.prompt_logprobs", given, allowed)


def check_room(checks: Checks, prompt: Prompt, more: int, model: ServedModel, request: Request) -> None:
    """Require that the model's context holds the prompt and `more` tokens."""
    limit = model.manifest.context_limit
    if limit is not None:
        given = f"{len(prompt.tokens)} tokens, with {more} more to come"
        holds = len(prompt.tokens) + more <= limit
        checks.require(holds, prompt_field(request), given, f"at most {limit} in all, the context of {model.reference}")


async def _prompt_ids(request: Request, model: ServedModel, checks: Checks) -> Sequence[int] | None:
    kind = request.WhichOneof("prompt")
    if kind == "token_ids":
        return _given_ids(request.token_ids.ids, model, checks)
    if not isinstance(request, pb.ScoreRequest) and kind == "messages":
        return await _said(request.messages.messages, model, checks)
    usable = checks.require(kind is not None, "prompt", "not set", "text, token_ids or messages")
    usable = usable and checks.text("text", request.text, MOST_PROMPT_BYTES)
    if model.source_tokenizer is not None:
        usable = usable and checks.require(bool(request.text), "text", "empty", "some text, as it is a source")
    token_ids = await tokenize(model.prompt_ids, request.text) if usable else []
    usable = usable and checks.require(bool(token_ids), "text", "empty", "some text, as nothing opens this model's")
    return token_ids if usable else None


async def _said(messages: Sequence[pb.Message], model: ServedModel, checks: Checks) -> Sequence[int] | None:
    field, chat = "messages.messages", model.chat
    if chat is None:
        checks.require(False, "messages", "set", f"text or token_ids, as {model.reference} has no chat template")
        return None
    usable = checks.require(1 <= len(messages) <= MOST_TURNS, field, f"{len(messages)} entries", f"1 to {MOST_TURNS}")
    size = sum(len(message.role.encode()) + len(message.content.encode()) for message in messages)
    fits = size <= MOST_PROMPT_BYTES
    usable = usable and checks.require(fits, field, f"{size} bytes long", f"at most {MOST_PROMPT_BYTES}")
    for place, message in enumerate(messages if usable else ()):
        usable = checks.require(bool(message.role), f"{field}[{place}].role", "empty", "a role") and usable
    if not usable:
        return None
    try:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        return await asyncio.to_thread(chat.encode, turns)
    except ChatError as error:
        checks.require(False, f"{field}{error.field}", error.given, error.allowed)
        return None


def _given_ids(token_ids: Sequence[int], model: ServedModel, checks: Checks) -> Sequence[int] | None:
    known = model.manifest.source_vocabulary_size or model.manifest.vocabulary_size
    usable = checks.require(len(token_ids) > 0, "token_ids.ids", "empty", "at least one token")
    given, allowed = f"{len(token_ids)} tokens", f"at most {MOST_PROMPT_TOKENS}"
    usable = usable and checks.require(len(token_ids) <= MOST_PROMPT_TOKENS, "token_ids.ids", given, allowed)
    return token_ids if usable and checks.tokens("token_ids.ids", token_ids, known) else None


def prompt_field(request: Request) -> str:
    """Return the field that the prompt is in."""
    return {"token_ids": "token_ids.ids", "messages": "messages"}.get(request.WhichOneof("prompt") or "", "text")
