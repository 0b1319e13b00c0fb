"""The calls that run: each has an id, is told of when it ends, has a status for every error, and ends with the server.

Knows nothing about what a call does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

import grpc

from service.errors import EngineError
from service.metrics.calls import CallMetrics
from service.models import UnknownModelError
from service.quota import Quota
from service.traces import Traces
from service.version import ChangeError
from service.wire import refusals
from service.wire.access import Access
from service.wire.call import Call
from service.wire.context import Context
from service.wire.refusals import Refusal

__all__ = ["Call", "Calls"]

_log = logging.getLogger("service.calls")


class Calls:
    """All calls that run, and whether new ones may.

    metrics: of those that have ended.    leaving: set once no new ones may come.
    """

    def __init__(
        self,
        access: Access | None = None,
        *,
        log_prompts: bool = False,
        tenant_requests: int | None = None,
        metrics: CallMetrics | None = None,
        traces: Traces | None = None,
    ) -> None:
        """access: tells who calls; by default nobody is asked. log_prompts: whether the log may hold prompts.

        tenant_requests: that one tenant may have at once, or None.    traces: to be made, or None.
        """
        self.access = access or Access()
        self._quota = Quota(tenant_requests)
        self.log_prompts = log_prompts
        self.leaving = asyncio.Event()
        self.metrics = metrics or CallMetrics()
        self._traces = traces
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
        call = self._begin(context, method)
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
            self._end(call, code, refusal)
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
        """End a call that is not entered as one that was refused: it is told of, and with its status."""
        call = self._begin(context, method)
        self._end(call, refusal.code.name, refusal)
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

    def _begin(self, context: Context, method: str) -> Call:
        call = Call(method)
        if self._traces is not None:
            call.span = self._traces.begin(method, context.invocation_metadata() or ())
        return call

    def _end(self, call: Call, code: str, refusal: Refusal | None) -> None:
        """Tell of a call that has ended: metrics, its trace, the log."""
        self.metrics.end(call.model, call.method, code, call.identity.tenant)
        if refusal is not None:
            self.metrics.refuse(refusal.reason)
        if call.model is not None:
            self.metrics.finish(call.model, call.finishes)
            if code == "OK" and (served := call.served()) is not None:
                self.metrics.serve(call.model, served)
        if call.statistics is not None:
            call.statistics.note(time.monotonic() - call.began, code == "OK", call.timings)
        call.trace(code, None if refusal is None else refusal.reason)
        call.log(code)

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
