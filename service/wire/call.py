"""One call, as it is told of when it has ended. Knows nothing about what it does."""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import dataclass, field

from service.chunk import Timings
from service.identity import Identity
from service.metrics.calls import Served
from service.models import ServedModel
from service.statistics import Statistics
from service.traces import CallSpan, Outcome
from service.users import Users

_log = logging.getLogger("service.calls")


@dataclass(slots=True)
class Call:
    """What is told of a call when it has ended.

    model: "name@version", once one is found.    tokens: generated or scored.    prompt: only where prompts are logged.
    timings: of the engine, if one ran it.    finishes: why its samples ended, those that did.
    span: where calls are traced.
    """

    method: str
    request_id: str = field(default_factory=lambda: secrets.token_hex(8))
    identity: Identity = field(default_factory=Identity)
    model: str | None = None
    prompt_tokens: int = 0
    tokens: int = 0
    timings: Timings | None = None
    finishes: list[str] = field(default_factory=list)
    prompt: object = None
    span: CallSpan | None = None
    began: float = field(default_factory=time.monotonic)
    statistics: Statistics | None = None
    _users: list[Users] = field(default_factory=list)

    def use(self, model: ServedModel, *, counts: bool = False) -> None:
        """Keep `model` from being freed until the call has ended. counts: whether its statistics are told of it."""
        self.model = model.reference
        model.users.enter()
        self._users.append(model.users)
        if counts:
            self.statistics = model.statistics

    def release(self) -> None:
        """Let go of what was used."""
        while self._users:
            self._users.pop().leave()

    def served(self) -> Served | None:
        """Return what it had of an engine, if one has run it."""
        if self.timings is None:
            return None
        return Served(time.monotonic() - self.began, self.timings, self.prompt_tokens, self.tokens)

    @property
    def traced(self) -> bool:
        """Whether somebody wants to know where its time goes."""
        return self.span is not None and self.span.sampled

    def trace(self, code: str, reason: str | None) -> None:
        """End its span, if it has one."""
        if self.span is not None:
            tokens = (self.prompt_tokens, self.tokens)
            self.span.end(Outcome(code, reason, self.model, self.identity.tenant, *tokens, self.finishes, self.timings))

    def log(self, code: str) -> None:
        """Write the line of a call that has ended, with times in milliseconds."""
        spent, identity = self.timings, self.identity
        told: dict[str, object] = {
            "request_id": self.request_id,
            "method": self.method,
            "tenant": identity.tenant or None,
            "caller": identity.name or None,
            "model": self.model,
            "prompt_tokens": self.prompt_tokens,
            "tokens": self.tokens,
            "queue_ms": None if spent is None else _ms(spent.queue_seconds),
            "first_token_ms": None if not (spent and spent.prefill_seconds) else _ms(spent.first_token_seconds),
            "ms": _ms(time.monotonic() - self.began),
            "status": code,
        }
        if self.span is not None:
            told |= {"trace_id": self.span.trace_id, "span_id": self.span.span_id}
        if self.prompt is not None:
            told["prompt"] = self.prompt
        _log.info("call", extra=told)


def _ms(seconds: float) -> float:
    return round(1e3 * seconds, 1)
