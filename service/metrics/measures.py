"""What an engine's thread measures of its steps, a few additions an iteration. Any thread may read.

Knows seconds and counts, no requests.
"""

from __future__ import annotations

from service.metrics import catalogue
from service.metrics.histogram import Histogram


class Measures:
    """Histograms by the metrics of the same names (service/metrics/catalogue.py), in seconds and rows.

    resumed, resumed_tokens: requests that go on where others broke, and the tokens that they came with.
    """

    def __init__(self) -> None:
        self.queue_time = Histogram(catalogue.QUEUE_TIME.bounds)
        self.prefill_time = Histogram(catalogue.PREFILL_TIME.bounds)
        self.first_token = Histogram(catalogue.FIRST_TOKEN.bounds)
        self.inter_token = Histogram(catalogue.INTER_TOKEN.bounds)
        self.prefill_step = Histogram(catalogue.STEP_TIME.bounds)
        self.decode_step = Histogram(catalogue.STEP_TIME.bounds)
        self.step_rows = Histogram(catalogue.STEP_ROWS.bounds)
        self.resumed = 0
        self.resumed_tokens = 0
        self._decoded = 0.0

    def resume(self, tokens: int) -> None:
        """Note a request that comes with so many tokens of its sample."""
        if tokens:
            self.resumed += 1
            self.resumed_tokens += tokens

    def prompt(self, submitted: float, started: float, now: float) -> None:
        """Note a prompt that is consumed `now`, by the times of its request's coming and of its first step."""
        self.queue_time.add(started - submitted)
        self.prefill_time.add(now - started)

    def decode(self, rows: int, fresh: int, drawn: int, began: float, now: float) -> None:
        """Note an iteration's decoding, from `began` to `now`, which drew `drawn` tokens in `rows` rows.

        fresh: rows whose first token came in this iteration, too. The others had one in the last: every row that runs
        has its turn in every iteration, and what an iteration draws is handed out at its end.
        """
        self.decode_step.add(now - began)
        self.step_rows.add(rows)
        if fresh:
            self.inter_token.add(now - began, fresh)
        older, tokens = rows - fresh, drawn - fresh
        if tokens > 0:
            # A draft's tokens come together: each took its part of the time.
            self.inter_token.add((now - self._decoded) * min(1.0, older / tokens), tokens)
        self._decoded = now
