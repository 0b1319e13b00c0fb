"""Conversations as prompts, by the template that a model was trained with.

Templates are Jinja in the dialect of Hugging Face's checkpoints. They come with models and run in a sandbox: no access
to Python's internals, nothing changed that they are given. Knows nothing about gRPC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from bundle.folder import BundleError
from bundle.manifest import SpecialTokens
from bundle.tokenizer import Tokenizer

Turn = Mapping[str, str]

_MOST_TEMPLATE_BYTES = 1 << 20


class ChatError(ValueError):
    """A conversation that the template does not take. field: what of it; given and allowed: for people."""

    def __init__(self, field: str, given: str, allowed: str) -> None:
        super().__init__(f"{field} is {given}; allowed: {allowed}")
        self.field, self.given, self.allowed = field, given, allowed


class Chat:
    """The chat template of one model, with the tokenizer that reads what it writes."""

    def __init__(self, template: str, tokenizer: Tokenizer, special_tokens: SpecialTokens) -> None:
        """`tokenizer` has to find special tokens in text. Raises jinja2.TemplateError."""
        environment = _Sandbox(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.loopcontrols"],
            optimized=False,  # nothing that a template says is computed before it is asked for
        )
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = _now
        names = tokenizer.special_names
        self._tokenizer = tokenizer
        self._names = sorted(names.values())
        self._template = environment.from_string(template)
        self._known = {"bos_token": names.get(special_tokens.bos, ""), "eos_token": names.get(special_tokens.eos, "")}

    @classmethod
    def load(cls, path: Path, tokenizer: Path, special_tokens: SpecialTokens) -> Chat:
        """Read a bundle's template and tokenizer. Raises BundleError."""
        if (size := path.stat().st_size) > _MOST_TEMPLATE_BYTES:
            raise BundleError(f"{path}: has {size} bytes; allowed: {_MOST_TEMPLATE_BYTES}")
        try:
            return cls(path.read_text(encoding="utf-8"), Tokenizer.load(tokenizer, special=True), special_tokens)
        # What a template makes the compiler of templates raise is not only its own.
        except (TemplateError, SyntaxError, UnicodeError, OverflowError, MemoryError, RecursionError) as error:
            raise BundleError(f"{path}: is not a chat template: {error}") from None

    def encode(self, turns: Sequence[Turn]) -> list[int]:
        """Return the tokens of a prompt that asks for the assistant's next turn. Raises ChatError."""
        for place, turn in enumerate(turns):
            for field, text in turn.items():
                # Whoever could write the end of a turn could also write somebody else's next one.
                if name := next((name for name in self._names if name in text), None):
                    written = f"text with {name}, a special token of the model"
                    raise ChatError(f"[{place}].{field}", written, "text without it")
        try:
            text = self._template.render(messages=turns, add_generation_prompt=True, **self._known)
        except Exception as error:  # noqa: BLE001 a template may raise anything
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise ChatError("", "not what the model's template takes", reason) from None
        return self._tokenizer.encode(text)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Lets templates compute nothing that is much larger than what they are given."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        """Multiply numbers; refuse powers, which can take all memory and hold up every thread, and repeated text."""
        if operator == "*" and isinstance(left, int | float) and isinstance(right, int | float):
            return left * right
        raise SecurityError(f"templates may not compute {operator}, but of numbers with *")


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _now(form: str) -> str:
    return datetime.now(UTC).strftime(form)
