"""Hostile requests over the wire, and whether their answers are proper.

Knows nothing about how the server is started or what it costs.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc

from benchmarks.reliability.cases import Case, make_case

# What a server may answer to a request that is wrong, or right, or too much.
PROPER = frozenset(
    code
    for code in grpc.StatusCode
    if code not in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE,
                    grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.DATA_LOSS)
)  # fmt: skip
# Words of the program and not of its answers.
_LEAKS = ("Traceback", 'File "', "<class", " object at 0x", "Exception", "Error:", "site-packages")
# gRPC of the client cuts what is longer: the server should have.
_CUT = "received metadata size exceeds"
_PATIENCE = 60.0
_MOST_READ = 40
# Together they wait for the slowest of those that the server answers at once.
_CONVERSATIONS = 8


@dataclass
class Outcome:
    """codes: how often each was answered.    faults: cases that were answered improperly, and how."""

    codes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


async def send_cases(address: str, numbers: range, seed: int, models: Sequence[str], at_once: int) -> Outcome:
    """Send cases over a few connections, so many at a time, and judge what comes back."""
    outcome, waiting = Outcome(), iter(numbers)
    options = (("grpc.use_local_subchannel_pool", 1),)
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(4)]
    talks, threads = grpc.insecure_channel(address, options=options), ThreadPoolExecutor(_CONVERSATIONS)

    async def worker(channel: grpc.aio.Channel) -> None:
        for number in waiting:
            case = make_case(seed, number, models)
            if case.streaming[0]:
                code, words = await asyncio.get_running_loop().run_in_executor(threads, _converse, talks, case)
            else:
                code, words = await _send(channel, case)
            outcome.codes[code.name] += 1
            if fault := _fault(code, words, case):
                outcome.faults.append(f"case {number} of seed {seed}: {case.path}: {fault}")

    try:
        await asyncio.gather(*(worker(channels[place % len(channels)]) for place in range(at_once)))
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        talks.close()
        for channel in channels:
            await channel.close(None)
        gc.collect()  # calls that ended are in cycles, and keep the connections of closed channels open
    return outcome


async def _send(channel: grpc.aio.Channel, case: Case) -> tuple[grpc.StatusCode, str]:
    options: dict[str, Any] = {"timeout": _PATIENCE, "metadata": case.metadata}
    call: Any
    if case.streaming[1]:
        call = channel.unary_stream(case.path, None, None)(case.content[0], **options)
    else:
        call = channel.unary_unary(case.path, None, None)(case.content[0], **options)
    try:
        if case.streaming[1]:
            await _read(call, case.cancel_after)
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    except asyncio.CancelledError:
        if not call.cancelled():
            raise
    return await call.code(), await call.details() or ""


def _converse(channel: grpc.Channel, case: Case) -> tuple[grpc.StatusCode, str]:
    """Send all messages and read all answers, on a thread.

    By gRPC's other client: where a call ends while grpc.aio writes to it, the server's status is lost, and it makes up
    one (INTERNAL, "Internal error from Core").
    """
    call: Any = channel.stream_stream(case.path, None, None)(
        iter(case.content), timeout=_PATIENCE, metadata=case.metadata
    )
    try:
        for _ in call:
            pass
    except grpc.RpcError:
        pass
    return call.code(), call.details() or ""


async def _read(call: grpc.aio.UnaryStreamCall[bytes, bytes], cancel_after: int | None) -> None:
    most = _MOST_READ if cancel_after is None else cancel_after
    count = 0
    if cancel_after != 0:
        async for _ in call:
            count += 1
            if count >= most and cancel_after is not None:
                break
    if cancel_after is not None:
        call.cancel()


def _fault(code: grpc.StatusCode, words: str, case: Case) -> str | None:
    """Return what is wrong with an answer, or None."""
    if case.cancel_after is not None and code is grpc.StatusCode.CANCELLED:
        return None
    if code not in PROPER or _CUT in words:
        return f"{code.name}: {words[:200]}"
    if leaks := [leak for leak in _LEAKS if leak in words]:
        return f"{code.name}: says {leaks[0]!r}: {words[:200]}"
    return None
