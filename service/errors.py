"""What can go wrong between a caller and the engine.

    EngineError
      QueueFull        too many requests wait: come back later
      TooLate          the queue is longer than the request's deadline allows
      TenantFull       a tenant has as many requests as it may
      EngineStopped    the engine does not run (any more)
      EngineFailed     a step of the model raised: nothing runs any more

Knows nothing about gRPC: the wire maps these to statuses.
"""

from __future__ import annotations


class EngineError(Exception):
    """Any of the errors of this module."""


class QueueFull(EngineError):  # noqa: N818 (the queue being full is no fault)
    """A request was refused because `waiting` requests wait and `limit` may.

    retry_after_seconds: when there is room, at the queue's present pace.
    """

    def __init__(self, retry_after_seconds: float, waiting: int, limit: int) -> None:
        super().__init__(f"{waiting} requests wait, {limit} may; try again in {retry_after_seconds:.1f} s")
        self.retry_after_seconds = retry_after_seconds
        self.waiting = waiting
        self.limit = limit


class TooLate(EngineError):  # noqa: N818
    """A request was refused: it would wait for about `wait_seconds`, and its deadline comes in `left_seconds`."""

    def __init__(self, retry_after_seconds: float, wait_seconds: float, left_seconds: float) -> None:
        super().__init__(f"its turn would come in about {wait_seconds:.1f} s, its deadline in {left_seconds:.1f} s")
        self.retry_after_seconds = retry_after_seconds
        self.wait_seconds = wait_seconds
        self.left_seconds = left_seconds


class TenantFull(EngineError):  # noqa: N818
    """A request was refused because `limit` requests of `tenant` run or wait, and no more may."""

    def __init__(self, tenant: str, limit: int) -> None:
        super().__init__(f"{limit} requests of {tenant or 'callers without a tenant'} run or wait, and no more may")
        self.tenant = tenant
        self.limit = limit


class EngineStopped(EngineError):  # noqa: N818 (stopping is no fault)
    """The engine was stopped, or has failed before."""


class EngineFailed(EngineError):  # noqa: N818
    """A step of the model raised while request `request_id` was running or waiting; `__cause__` is what it raised."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"request {request_id}: a step of the model failed")
        self.request_id = request_id
