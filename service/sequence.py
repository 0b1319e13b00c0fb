"""One request on its way through the engine's thread: how far it is, when it got there. Knows nothing about rows."""

from __future__ import annotations

from dataclasses import dataclass, field

from service.chunk import Finish
from service.request import FinishReason, GenerationRequest
from service.scores import Scores
from service.stream import Outlet, Stream


@dataclass(slots=True, eq=False)
class Sequence:
    """A request that waits, is prefilled, or runs in a row for each of its samples.

    live: the samples that are still wanted.             consumed: prompt tokens prefilled.
    submitted, started, first_token: when it came, its first step began, its last prompt step ended (`clock` seconds).
    """

    stream: Stream
    submitted: float
    live: list[Outlet] = field(init=False)
    consumed: int = 0
    started: float | None = None
    first_token: float | None = None
    scores: list[Scores] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.live = list(self.stream.outlets)

    @property
    def request(self) -> GenerationRequest:
        return self.stream.request

    def announce(self) -> None:
        """Tell the stream that the prompt is consumed, with its scores. On the event loop."""
        assert self.started is not None and self.first_token is not None
        scores = None if self.request.scored_from is None else [token for part in self.scores for token in part.list()]
        self.stream.begin(self.started, self.first_token, scores)

    def finish(self, reason: FinishReason, generated: int, now: float, match: int | None = None) -> Finish:
        """Return how one sample of `generated` tokens ended."""
        started = now if self.started is None else self.started
        first_token = now if self.first_token is None else self.first_token
        return Finish(reason, generated, started - self.submitted, first_token - started, now - first_token, match)
