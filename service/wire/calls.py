"""The calls that run: each has an id, a line in the log, a status for every error, and an end when the server stops.

Knows nothing about what a call does.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NoReturn

import grpc

from service.chunk import Timings
from service.errors import EngineError
from service.identity import Identity
from service.metrics import call_counter
from service.models import ServedModel, UnknownModelError
from service.quota import Quota
from service.statistics import Statistics
from service.users import Users
from service.version import ChangeError
from service.wire import refusals
from service.wire.access import Access
from service.wire.context import Context
from service.wire.refusals import Refusal

_log = logging.getLogger("service.calls")


@dataclass(slots=True)
class Call:
    """What the log tells of a call. tokens: generated or scored. prompt: only where prompts are logged."""

    method: str
    request_id: str = field(default_factory=lambda: secrets.token_hex(8))
    identity: Identity = field(default_factory=Identity)
    model: str = "-"
    prompt_tokens: int = 0
    tokens: int = 0
    timings: Timings | None = None
    prompt: object = None
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

    def log(self, code: str) -> None:
        """Write the line of a call that has ended, with times in milliseconds."""
        spent, identity = self.timings, self.identity
        told: dict[str, object] = {
            "request_id": self.request_id,
            "method": self.method,
            "tenant": identity.tenant or None,
            "caller": identity.name or None,
            "model": None if self.model == "-" else self.model,
            "prompt_tokens": self.prompt_tokens,
            "tokens": self.tokens,
            "queue_ms": None if spent is None else _ms(spent.queue_seconds),
            "first_token_ms": None if not (spent and spent.prefill_seconds) else _ms(spent.first_token_seconds),
            "ms": _ms(time.monotonic() - self.began),
            "status": code,
        }
        if self.prompt is not None:
            told["prompt"] = self.prompt
        _log.info("call", extra=told)


class Calls:
    """All calls that run, and whether new ones may. ended: counts those that have.    leaving: set once none may."""

    def __init__(
        self, access: Access | None = None, *, log_prompts: bool = False, tenant_requests: int | None = None
    ) -> None:
        """access: tells who calls; by default nobody is asked. log_prompts: whether the log may hold prompts.

        tenant_requests: that one tenant may have at once, or None.
        """
        self.access = access or Access()
        self._quota = Quota(tenant_requests)
        self.log_prompts = log_prompts
        self.leaving = asyncio.Event()
        self.ended = call_counter()
        self._running: set[asyncio.Timeout] = set()
        self._none_runs = asyncio.Event()
        self._none_runs.set()

    @asynccontextmanager
    async def enter(self, context: Context, method: str, *, told: bool = True) -> AsyncIterator[Call]:
        """Run the body as one call: what it raises becomes the call's status. A cancelled call stays cancelled.

        told: whether the call of gRPC ends with that status; if not, as where it carries several of ours, it is raised.

        Raises:
            Refusal: only then.
        """
        call = Call(method)
        code, refusal = "CANCELLED", None
        try:
            async with self._may_end_early():
                call.identity = self.access.identify(context)
                with self._quota.place(call.identity.tenant):
                    yield call
            code = "OK"
        except grpc.aio.InternalError:
            raise _gone() from None
        except Exception as error:  # noqa: BLE001 whatever it is, the client gets a status and the log the rest
            refusal = self._refusal(error, call)
            code = refusal.code.name
        finally:
            call.release()
            if call.statistics is not None:
                call.statistics.note(time.monotonic() - call.began, code == "OK", call.timings)
            self.ended.labels(call.model, method, code).inc()
            call.log(code)
        if refusal is not None:
            refusal.request_id = call.request_id
            if not told:
                raise refusal
            await self.refuse(context, refusal, call)

    async def refuse(self, context: Context, refusal: Refusal, call: Call) -> NoReturn:
        """End the call of `context` with the status of `refusal`. Raises grpc.aio.AbortError."""
        try:
            # It may take long: a status waits behind the messages that its client has not read.
            await refusals.abort(context, refusal, call.request_id)
        except grpc.aio.InternalError:
            raise _gone() from None

    async def admit(self, context: Context, method: str) -> None:
        """Find out who calls a method that is not entered. What is refused is logged and counted as any call."""
        try:
            self.access.identify(context)
        except Refusal as refusal:
            await self.turn_away(context, method, refusal)

    async def turn_away(self, context: Context, method: str, refusal: Refusal) -> NoReturn:
        """End a call that is not entered as one that was refused: logged, counted and with its status."""
        call = Call(method)
        self.ended.labels(call.model, method, refusal.code.name).inc()
        call.log(refusal.code.name)
        await self.refuse(context, refusal, call)

    async def end(self, seconds: float) -> None:
        """Refuse new calls, give those that run `seconds` to finish, then end them with UNAVAILABLE."""
        self.leaving.set()
        try:
            async with asyncio.timeout(seconds):
                await self._none_runs.wait()
        except TimeoutError:
            self.end_now()
            await self._none_runs.wait()

    def end_now(self) -> None:
        """End every call that runs with UNAVAILABLE."""
        now = asyncio.get_running_loop().time()
        for scope in self._running:
            if scope.when() is None:  # not told before
                scope.reschedule(now)

    @asynccontextmanager
    async def _may_end_early(self) -> AsyncIterator[None]:
        if self.leaving.is_set():
            raise refusals.draining()
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._running.add(scope)
                self._none_runs.clear()
                try:
                    yield
                finally:
                    self._running.discard(scope)
        except TimeoutError:
            if not scope.expired():
                raise
            raise refusals.draining() from None
        finally:
            if not self._running:
                self._none_runs.set()

    def _refusal(self, error: Exception, call: Call) -> Refusal:
        if isinstance(error, Refusal):
            return error
        if isinstance(error, UnknownModelError):
            return refusals.not_found(error)
        if isinstance(error, ChangeError):
            return refusals.from_change(error)
        if isinstance(error, EngineError):
            return refusals.from_engine(error)
        told = error if self.log_prompts else _without_words(error)
        _log.error("request=%s method=%s failed", call.request_id, call.method, exc_info=told)
        return refusals.internal()


def _gone() -> asyncio.CancelledError:
    """Return what ends a call whose client is gone, where a write fails before gRPC's own cancellation comes.

    Nobody is left to be told, and gRPC would log its own error with a traceback.
    """
    return asyncio.CancelledError()


def _without_words(error: Exception) -> Exception:
    """Return an error that tells where and of what kind `error` is, but not its words: they may be a prompt's."""
    told = RuntimeError(f"{type(error).__name__}; its words are logged with --log-prompts on")
    return told.with_traceback(error.__traceback__)


def _ms(seconds: float) -> float:
    return round(1e3 * seconds, 1)
