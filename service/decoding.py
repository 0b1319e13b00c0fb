"""One more token for every running sample, or several for those with drafts.

A draft of k tokens is verified in one step, which consumes the row's last token and the draft and gives the logits at
all k + 1 places. The sampler draws from them one place after the other, as ever: with the sample's own random numbers,
penalties seeing the tokens before. The draft is taken as far as it is what is drawn; the first token that differs, or
the one behind the last, is the model's own, and the row forgets the rest of the draft.

For a proposal that is one token, speculative sampling (Leviathan, Kalman and Matias 2023; Chen et al. 2023) takes x
with probability p(x), and otherwise draws from p without x. Drawing y from p and comparing does the same: y = x has
probability p(x), and y given y != x is p without x. So the distribution is that of the model, whatever is proposed, and
with a seed, or greedily, the tokens are those of a stream without drafts, but for the last bits of the logits: a step
over several tokens adds in another order.

Knows nothing about prompts, or who proposes what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bundle.arrays import StepOutput
from bundle.rows import Rows
from bundle.runner import Runner
from service.delivery import Delivery, TokenBatch
from service.drafting import Drafting, Proposal
from service.sampling import Sampler
from service.scores import Scores, score, take
from service.slots import Slots

Ids = NDArray[np.int64]


class Decoding:
    """Steps over running rows and what they draw. generated_tokens: drawn until now, those replayed not counted.

    steps: taken until now.
    """

    def __init__(self, runner: Runner, rows: Rows, sampler: Sampler, slots: Slots, clock: Callable[[], float]) -> None:
        self.drafting = Drafting(sampler, rows.capacity, clock)
        self.generated_tokens = 0
        self.steps = 0
        self._runner = runner
        self._rows = rows
        self._sampler = sampler
        self._slots = slots
        self._clock = clock
        self._ones = np.ones(rows.capacity, np.int64)

    def run(self, delivery: Delivery) -> Ids:
        """Draw for every running row. Returns those whose samples end, ascending."""
        used = self._slots.used
        if not self.drafting.active:
            return self._decode(0, used, delivery)
        proposals = [self._fitting(proposal) for proposal in self.drafting.plan(self._slots)]
        ended = [self._decode(first, end, delivery) for first, end in _between(proposals, used)]
        ended += [self._verify(proposal, delivery) for proposal in proposals]
        return ended[0] if len(ended) == 1 else np.sort(np.concatenate(ended))

    def commit(self, first: int, output: StepOutput, delivery: Delivery) -> Ids:
        """Append a token to the samples of the rows from `first` on, whose step gave `output`.

        Returns those rows whose samples end thereby.
        """
        slots, end = self._slots, first + len(output.logits)
        tokens = self._sampler.choose(output, first, slots.generated[first:end])
        tokens = slots.replayed(first, tokens)
        self.generated_tokens += slots.drawn(first, end)
        self._sampler.record(first, tokens)
        scored = slots.scored
        if scored.size:
            scored = scored[(scored >= first) & (scored < end)] - first
        scores = self._scores(output, scored, tokens)
        outlets, drawn = slots.outlets[first:end], tokens.tolist()
        delivery.tokens.append(TokenBatch(outlets, drawn, scored.tolist(), scores))
        if self.drafting.active:
            for outlet, token in zip(outlets, drawn, strict=True):
                self.drafting.append(outlet, token)
        ended: Ids = slots.append(first, tokens, self._clock()).nonzero()[0]
        return first + ended if first else ended

    def _fitting(self, proposal: Proposal) -> Proposal:
        """Return a proposal whose verification is as wide as a call may be."""
        fits = self._runner.manifest.calls.allow(len(proposal.tokens) + 1)
        return proposal if fits else replace(proposal, tokens=proposal.tokens[:-1])

    def _decode(self, first: int, end: int, delivery: Delivery) -> Ids:
        began = self._clock()
        count = end - first
        output = self._runner.step(self._rows, first, self._slots.tokens[first:end], self._ones[:count])
        self.steps += 1
        ended = self.commit(first, output, delivery)
        if self.drafting.active:
            self.drafting.costs.decoded(count, self._clock() - began)
        return ended

    def _verify(self, proposal: Proposal, delivery: Delivery) -> Ids:
        began = self._clock()
        row, tokens = proposal.row, [int(self._slots.tokens[proposal.row, 0]), *proposal.tokens]
        count = len(tokens)
        lengths, everywhere = np.array([count], np.int64), np.arange(count, dtype=np.int64)
        output = self._runner.step(self._rows, row, np.array([tokens], np.int64), lengths, everywhere)
        self.steps += 1
        drawn, ended = self._draw(row, output, proposal.tokens)
        if len(drawn) < count:
            self._rows.rewind(row, count - len(drawn))
        self._hand_on(proposal, drawn, output, delivery)
        self.drafting.costs.verified(count, self._clock() - began)
        return np.array([row] if ended else [], np.int64)

    def _draw(self, row: int, output: StepOutput, proposed: list[int]) -> tuple[list[int], bool]:
        """Append tokens to the sample in `row` as far as they are those proposed, and one more, or until it ends.

        Returns them, and whether it ends.
        """
        slots, now, drawn = self._slots, self._clock(), list[int]()
        for place in range(len(output.logits)):
            here = slice(place, place + 1)
            logits = StepOutput(output.logits[here], output.top_values[here], output.top_indices[here])
            token = self._sampler.choose(logits, row, slots.generated[row : row + 1])
            self._sampler.record(row, token)
            drawn.append(int(token[0]))
            if slots.append(row, token, now)[0]:
                return drawn, True
            if place == len(proposed) or drawn[-1] != proposed[place]:
                break
        return drawn, False

    def _hand_on(self, proposal: Proposal, drawn: list[int], output: StepOutput, delivery: Delivery) -> None:
        outlet, count = self._slots.outlets[proposal.row], len(drawn)
        scored = np.arange(count if proposal.row in self._slots.scored else 0)
        scores = self._scores(output, scored, np.array(drawn, np.int64))
        delivery.tokens.append(TokenBatch([outlet] * count, drawn, scored.tolist(), scores))
        self.generated_tokens += count
        taken = sum(token == guess for token, guess in zip(drawn, proposal.tokens, strict=False))
        self.drafting.verified(outlet, proposal, taken)
        for token in drawn:
            self.drafting.append(outlet, token)

    def _scores(self, output: StepOutput, scored: Ids, tokens: Ids) -> Scores | None:
        return score(take(output, scored), tokens[scored], self._slots.alternatives) if scored.size else None


def _between(proposals: list[Proposal], used: int) -> Iterator[tuple[int, int]]:
    """Yield the runs [first, end) of rows below `used` that lie between those with proposals."""
    first = 0
    for row in (*(proposal.row for proposal in proposals), used):
        if first < row:
            yield first, row
        first = row + 1
