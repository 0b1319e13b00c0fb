"""Drafts of running samples: what is proposed to each, how long, and what became of it.

A sample may look its end up in its own past, or ask a smaller model; it bets on the one that is right more often. What
a lookup would have proposed is compared with every token that is drawn, so its chances are known for nothing; a model
that was wrong too often is asked again after ever longer pauses. Knows nothing about how proposals are verified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from bundle.runner import Runner
from service.acceptance import Acceptance
from service.bets import Bet, lengths
from service.costs import Costs
from service.draft_model import DraftModel, DraftRow
from service.lookup import Lookup
from service.request import MOST_PROPOSED, Drafts, GenerationRequest
from service.sampling import Sampler
from service.slots import Slots
from service.stream import Outlet

# Rows that are looked at in one iteration.
_MOST_ROWS = 8
_SHORTEST_PAUSE, _LONGEST_PAUSE = 16, 512
# Gains of a model that is asked again, as if it were right four times in five: a short draft tells.
_HOPED_FOR = np.concatenate(([0.0], np.cumsum(0.8 ** np.arange(1, 5))))
_BY_MODEL, _LONGEST_KIND = 0, 5


@dataclass(frozen=True, slots=True)
class Offer:
    """The models that may propose from now on, by "name@version"."""

    runners: Mapping[str, Runner]


@dataclass(slots=True)
class Pause:
    """How long something that did not pay is left alone: twice as long every time."""

    length: int = _SHORTEST_PAUSE
    waited: int = 0

    @property
    def over(self) -> bool:
        return self.waited >= self.length

    def longer(self) -> None:
        self.length, self.waited = min(2 * self.length, _LONGEST_PAUSE), 0

    def reset(self) -> None:
        self.length, self.waited = _SHORTEST_PAUSE, 0


@dataclass(slots=True, eq=False)
class Draft:
    """What one sample may be proposed. own: its row in the draft model, once it has one."""

    asked: Drafts
    lookup: Lookup
    acceptance: Acceptance
    own: DraftRow | None = None
    pause: Pause = field(default_factory=Pause)

    def chances(self, most: int) -> tuple[str | None, list[int]] | None:
        """Return who proposes (None: the lookup) and the kinds of its next `most` tokens, or None if nobody does."""
        matched = self.lookup.matched if self.asked.prompt_lookup else 0
        looked_up = [min((matched + place).bit_length(), _LONGEST_KIND) for place in range(most)]
        by_lookup = self.acceptance.chance(looked_up[0]) if matched else 0.0
        if self.asked.model is not None and self.acceptance.chance(_BY_MODEL) > by_lookup:
            return self.asked.model, [_BY_MODEL] * most
        return (None, looked_up) if matched else None

    def append(self, token: int) -> None:
        """Take the next token of the sample."""
        if self.asked.prompt_lookup and (expected := self.lookup.expected) is not None:
            self.acceptance.note(min(self.lookup.matched.bit_length(), _LONGEST_KIND), expected == token)
        self.lookup.append(token)


@dataclass(frozen=True, slots=True)
class Proposal:
    """Tokens proposed to the sample in `row`, by a model or by the lookup (None)."""

    row: int
    tokens: list[int]
    source: str | None


@dataclass(frozen=True, slots=True)
class _Candidate:
    row: int
    draft: Draft
    source: str | None
    bet: Bet
    hoped: bool


class Drafting:
    """The drafts of all samples of a batch.

    costs: what steps take, to be told by whoever runs them.
    drafted, accepted: tokens proposed until now, and those of them that were right.
    """

    def __init__(self, sampler: Sampler, rows: int, clock: Callable[[], float]) -> None:
        self.costs = Costs(MOST_PROPOSED + 1)
        self.drafted = self.accepted = 0
        self._sampler = sampler
        self._rows = rows
        self._clock = clock
        self._drafts: dict[Outlet, Draft] = {}
        self._acceptance: dict[str | None, Acceptance] = {}
        self._runners: Mapping[str, Runner] = {}
        self._models: dict[str, DraftModel] = {}
        self._pause = Pause()

    def offer(self, runners: Mapping[str, Runner]) -> None:
        """Let these models, and no others, propose, by "name@version"; each has the vocabulary of this batch's model.

        What one has of running samples goes with it; a version that comes back is another one.
        """
        gone = [name for name in self._models if runners.get(name) is not self._runners[name]]
        self._runners = runners
        for draft in self._drafts.values():
            if draft.asked.model in gone:
                draft.own = None
            draft.asked = self._possible(draft.asked)
        for name in gone:
            del self._models[name]

    def _possible(self, asked: Drafts) -> Drafts:
        """Return what can be had of `asked`: a model may have gone since it was."""
        return asked if asked.model is None or asked.model in self._runners else replace(asked, model=None)

    @property
    def active(self) -> bool:
        """Whether any sample has drafts."""
        return bool(self._drafts)

    def begin(self, outlet: Outlet, request: GenerationRequest) -> None:
        """Note a sample that begins to run behind its prompt."""
        if request.drafts is not None:
            asked = self._possible(request.drafts)
            elsewhere = self._acceptance.setdefault(asked.model, Acceptance())
            self._drafts[outlet] = Draft(asked, Lookup(request.prompt), Acceptance(elsewhere))

    def end(self, outlets: Iterable[Outlet]) -> None:
        """Forget samples."""
        for outlet in outlets if self._drafts else ():
            draft = self._drafts.pop(outlet, None)
            if draft is not None and draft.own is not None and draft.asked.model is not None:
                self._models[draft.asked.model].end(draft.own)

    def append(self, outlet: Outlet, token: int) -> None:
        """Note the next token of a sample."""
        if (draft := self._drafts.get(outlet)) is not None:
            draft.append(token)

    def verified(self, outlet: Outlet, proposal: Proposal, taken: int) -> None:
        """Note how many of the proposed tokens were right. To be called before the sample ends."""
        outlet.drafted += len(proposal.tokens)
        outlet.accepted += taken
        self.drafted += len(proposal.tokens)
        self.accepted += taken
        if proposal.source is not None:
            for place in range(min(taken + 1, len(proposal.tokens))):
                self._drafts[outlet].acceptance.note(_BY_MODEL, place < taken)

    def plan(self, slots: Slots) -> list[Proposal]:
        """Return what is to be verified next, for rows in ascending order; all other rows take the shared step."""
        candidates = self._candidates(slots) if self._drafts and self.costs.known else []
        if not candidates:
            return []
        found = lengths([candidate.bet for candidate in candidates], self.costs.decoding(slots.used))
        if any(found):
            self._pause.reset()
        else:
            found = self._tried(candidates)
        return self._proposals(candidates, found, slots)

    def _candidates(self, slots: Slots) -> list[_Candidate]:
        verifying, candidates = self.costs.verifying(), []
        for row, outlet in enumerate(slots.outlets):
            draft = self._drafts.get(outlet)
            most = 0 if draft is None else min(draft.asked.most, slots.left(row) - 1)
            if draft is None or most < 1 or (chances := draft.chances(most)) is None:
                continue
            source, kinds = chances
            hoped = source is not None and draft.pause.over
            gains = _HOPED_FOR[: most + 1] if hoped else draft.acceptance.gains(kinds)
            seconds = (verifying + self.costs.proposing(source))[: len(gains)]
            candidates.append(_Candidate(row, draft, source, Bet(gains, seconds), hoped))
            if len(candidates) == _MOST_ROWS:
                break
        return candidates

    def _tried(self, candidates: list[_Candidate]) -> list[int]:
        """Return lengths to try although they do not seem to pay, if that was long ago: what steps cost may change."""
        found = [0] * len(candidates)
        self._pause.waited += 1
        gains = [0.0 if candidate.hoped else float(candidate.bet.gains[-1]) for candidate in candidates]
        if self._pause.over and max(gains) >= 1:
            self._pause.longer()
            likely = gains.index(max(gains))
            found[likely] = len(candidates[likely].bet.gains) - 1
        return found

    def _proposals(self, candidates: list[_Candidate], found: list[int], slots: Slots) -> list[Proposal]:
        proposals = []
        for candidate, count in zip(candidates, found, strict=True):
            pause = candidate.draft.pause
            if count == 0:
                pause.waited += 1
                continue
            if candidate.hoped:
                pause.longer()
            else:
                pause.reset()
            if tokens := self._propose(candidate, count, slots):
                proposals.append(Proposal(candidate.row, tokens, candidate.source))
        return proposals

    def _propose(self, candidate: _Candidate, count: int, slots: Slots) -> list[int]:
        draft, row = candidate.draft, candidate.row
        if candidate.source is None:
            return draft.lookup.propose(count)
        began = self._clock()
        if candidate.source not in self._models:
            self._models[candidate.source] = DraftModel(self._runners[candidate.source], self._rows)
        model = self._models[candidate.source]
        if draft.own is None:
            draft.own = model.begin()
        place = (row, int(slots.generated[row]))
        tokens = model.propose(draft.own, draft.lookup.tokens, count, self._sampler, place)
        if tokens:
            self.costs.proposed(candidate.source, len(tokens), self._clock() - began)
        return tokens
