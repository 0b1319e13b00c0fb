"""How many requests of each tenant run or wait, over all models. On the event loop. Knows nothing about calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import TenantFull


class Quota:
    """A place for every request of a tenant, up to a limit."""

    def __init__(self, limit: int | None = None) -> None:
        """limit: of one tenant; None: any number. Those who name no tenant are one together."""
        self._limit = limit
        self._taken: Counter[str] = Counter()

    @contextmanager
    def place(self, tenant: str) -> Iterator[None]:
        """Hold a place while the body runs.

        Raises:
            TenantFull: there is none.
        """
        if self._limit is None:
            yield
            return
        if self._taken[tenant] >= self._limit:
            raise TenantFull(tenant, self._limit)
        self._taken[tenant] += 1
        try:
            yield
        finally:
            self._taken[tenant] -= 1
            if not self._taken[tenant]:
                del self._taken[tenant]
