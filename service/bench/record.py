"""What the sender of one request saw, and what one process saw of a level."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Record:
    """One request. Times are in seconds from the begin of what is counted.

    intended: when it was to be sent, which is what its latency counts from. sent: when it was.
    arrivals: when each message with tokens came; counts: how many tokens it brought.
    counts_in: whether it is one of those whose latency counts.
    error: "" or the name of a status; "CUT" where the level ended before it did, which is no error.
    """

    intended: float
    sent: float
    counts_in: bool
    arrivals: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    ended: float = 0.0
    queue_seconds: float = 0.0
    prompt_tokens: int = 0
    error: str = "CUT"

    @property
    def tokens(self) -> int:
        """How many came."""
        return sum(self.counts)

    @property
    def first_token(self) -> float:
        """Seconds from when it was to be sent to its first token."""
        return self.arrivals[0] - self.intended

    @property
    def seconds_a_token(self) -> float:
        """Mean seconds from one token to the next; 0 where there is but one."""
        return (self.arrivals[-1] - self.arrivals[0]) / (self.tokens - 1) if self.tokens > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What one process saw.

    end: when it stopped to count.  cpu: of a core that it used while it counted.
    """

    records: list[Record]
    end: float
    cpu: float
