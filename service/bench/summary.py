"""What a level came to, in figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from service.bench.level import Level
from service.bench.record import Record, Seen

PERCENTILES = (50.0, 90.0, 99.0, 99.9)


@dataclass(frozen=True, slots=True)
class Objective:
    """What a request has to keep to be good: seconds, or None.

    first_token: at most, from when it was to be sent.  per_token: at most, in the mean of the request.
    """

    first_token: float | None = None
    per_token: float | None = None

    def met(self, record: Record) -> bool:
        """Whether a request kept it. One with an error did not."""
        if record.error or not record.arrivals:
            return False
        on_time = self.first_token is None or record.first_token <= self.first_token
        return on_time and (self.per_token is None or record.seconds_a_token <= self.per_token)


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of one level. Times in seconds; percentiles by their names, "p50" to "p99.9", empty where nothing was.

    seconds: how long was counted.  requests: those whose latency counts; errors of them, by status.
    tokens_per_second: of all streams, in the time that was counted.
    requests_per_second: those that count and had no error, over that time.  goodput: those that kept the objective.
    first_token, queue, whole: of those that count and had no error; from when they were to be sent.
    between_messages: between one message with tokens and the next; tokens_per_message: tells whether that is a token.
    per_token: means of requests, from one token to the next.
    late: 99th percentile of how much later than intended requests were sent.
    client_cpu: of a core, of the process that used most.
    """

    kind: str
    load: float
    seconds: float
    requests: int
    errors: dict[str, int]
    requests_per_second: float
    tokens_per_second: float
    tokens_per_message: float
    goodput: float | None
    first_token: dict[str, float]
    between_messages: dict[str, float]
    per_token: dict[str, float]
    queue: dict[str, float]
    whole: dict[str, float]
    late: float
    client_cpu: float


def summary(level: Level, seen: Sequence[Seen], objective: Objective | None) -> Summary:
    """Return the figures of what processes saw together."""
    end = min(one.end for one in seen)
    records = [record for one in seen for record in one.records]
    counted = [record for record in records if record.counts_in]
    done = [record for record in counted if not record.error]
    with_tokens = [record for record in done if record.arrivals]
    in_time = [
        count for record in records for at, count in zip(record.arrivals, record.counts, strict=True) if 0.0 <= at < end
    ]
    return Summary(
        kind=level.kind,
        load=level.load,
        seconds=end,
        requests=len(counted),
        errors=dict(Counter(record.error for record in counted if record.error)),
        requests_per_second=len(done) / end,
        tokens_per_second=sum(in_time) / end,
        tokens_per_message=sum(in_time) / len(in_time) if in_time else 0.0,
        goodput=None if objective is None else sum(map(objective.met, counted)) / end,
        first_token=_percentiles(record.first_token for record in with_tokens),
        between_messages=_percentiles(gap for record in done for gap in np.diff(record.arrivals)),
        per_token=_percentiles(record.seconds_a_token for record in with_tokens if record.tokens > 1),
        queue=_percentiles(record.queue_seconds for record in done),
        whole=_percentiles(record.ended - record.intended for record in done),
        late=_percentiles(record.sent - record.intended for record in counted).get("p99", 0.0),
        client_cpu=max(one.cpu for one in seen),
    )


def _percentiles(values: Iterable[float]) -> dict[str, float]:
    found = np.fromiter(values, float)
    if not found.size:
        return {}
    return {
        f"p{place:g}": float(value) for place, value in zip(PERCENTILES, np.percentile(found, PERCENTILES), strict=True)
    }
