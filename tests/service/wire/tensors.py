"""Requests and responses of the Open Inference Protocol as plain values, and who asks them in another process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

PROMPT = "The quick 안녕 "
# The same 40 tokens whenever they are asked for.
SAME = {"seed": 7, "max_tokens": 40, "ignore_eos": True}

Triton = Callable[..., Any]


@dataclass(frozen=True)
class Asked:
    """A request. `inputs` are arrays by name, beside the prompt, text or token ids."""

    prompt: str | Sequence[int]
    model: str = "gru"
    version: str = ""
    id: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Response:
    """A response, or an error: its words and its status."""

    id: str = ""
    version: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    status: str | None = None

    @property
    def text(self) -> str:
        return self.values["text_output"][0]

    @property
    def ids(self) -> list[int]:
        return self.values["output_ids"]

    @property
    def final(self) -> bool:
        return self.parameters["triton_final_response"]


def joined(responses: Sequence[Response]) -> tuple[str, list[int]]:
    """Text and tokens of a stream."""
    return "".join(one.text for one in responses), [token for one in responses for token in one.ids]


def in_tritons(function: str, *arguments: Any, **keywords: Any) -> Any:
    """Call a function of tests/service/wire/tritons.py, in a process that has no messages of the same names."""
    try:
        return getattr(import_module("tests.service.wire.tritons"), function)(*arguments, **keywords)
    except Exception as error:  # noqa: BLE001 Triton's own cannot be sent to another process
        raise RuntimeError(f"{type(error).__name__}: {error}") from None
