"""What one iteration of the engine hands to the event loop, all at once. Made on one thread, opened on the other."""

from __future__ import annotations

from dataclasses import dataclass, field

from service.chunk import Finish
from service.scores import Scores
from service.sequence import Sequence
from service.stream import Outlet


@dataclass(slots=True)  # not frozen: one is made for every step
class TokenBatch:
    """The next token of each outlet; scores of those at `scored`, if any."""

    outlets: list[Outlet]
    tokens: list[int]
    scored: list[int]
    scores: Scores | None

    def hand_out(self) -> None:
        """Give every outlet its token."""
        if self.scores is None:
            for outlet, token in zip(self.outlets, self.tokens, strict=True):
                outlet.append(token)
            return
        wanted = [self.outlets[place].stream.request.top_logprobs for place in self.scored]
        found = dict(zip(self.scored, self.scores.list(wanted), strict=True))
        for place, (outlet, token) in enumerate(zip(self.outlets, self.tokens, strict=True)):
            outlet.append(token, found.get(place))


@dataclass(slots=True)
class Delivery:
    """In the order in which it is handed out: prompts consumed, tokens, ends."""

    prompts: list[Sequence] = field(default_factory=list)
    tokens: list[TokenBatch] = field(default_factory=list)
    finishes: list[tuple[Outlet, Finish]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.prompts or self.tokens or self.finishes)

    def hand_out(self) -> None:
        """Give everything to the streams it is for, and wake their receivers."""
        for sequence in self.prompts:
            sequence.announce()
        for batch in self.tokens:
            batch.hand_out()
        for outlet, finish in self.finishes:
            outlet.end(finish)
