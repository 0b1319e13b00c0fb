"""The continuous batch: plan what is computed next, let the model step, commit what came of it.

In every iteration one step consumes prompts (those of newcomers together, or a chunk of a long one) and one step draws
the next token of every running sample; requests join and leave between steps. Rows [0, used) run; row `used` holds the
prompt that is consumed in part, if there is one. Knows nothing about threads, event loops, text or gRPC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from bundle.arrays import StepOutput
from bundle.runner import Runner
from service.budget import Budget
from service.decoding import Decoding
from service.delivery import Delivery
from service.ids import IdTable
from service.metrics.measures import Measures
from service.prompts import PromptCall, prompt_call
from service.request import FinishReason
from service.sampling import Sampler
from service.scheduler import Piece, Scheduler
from service.scores import take
from service.sequence import Sequence
from service.slots import Slots
from service.stream import Cancellation, Outlet
from service.turns import Turns

Ids = NDArray[np.int64]


class Batch:
    """All requests of one model. Driven by one thread; its counts may be read by any.

    prompt_tokens: consumed until now, sources counted.    measures: what steps took.
    """

    def __init__(
        self,
        runner: Runner,
        rows: int,
        chunk_tokens: int,
        clock: Callable[[], float],
        max_itl_seconds: float = 0.0,
        tenant_rows: int | None = None,
    ) -> None:
        """Allocate the rows. tenant_rows: that one tenant may have, or None."""
        manifest = runner.manifest
        self._runner = runner
        self._clock = clock
        self._rows = runner.allocate(rows)
        self._context_limit = manifest.context_limit
        stops = IdTable(rows)
        sampler = Sampler(rows, manifest.vocabulary_size, manifest.top_k, stops)
        self._slots = Slots(self._rows, sampler, stops)
        self._turns = Turns(self._slots.held, tenant_rows)
        self._scheduler = Scheduler(manifest.calls, chunk_tokens, self._turns)
        self._budget = Budget(chunk_tokens, max_itl_seconds)
        self._decoding = Decoding(runner, self._rows, sampler, self._slots, clock)
        self._prefilling: tuple[Sequence, ...] = ()  # those whose prompts are consumed just now or in part
        self.prompt_tokens = 0
        self._prompt_steps = 0
        self.measures = Measures()

    @property
    def idle(self) -> bool:
        """Whether there is nothing to compute."""
        return self._scheduler.idle and not self._slots.used

    @property
    def generated_tokens(self) -> int:
        """Tokens drawn until now."""
        return self._decoding.generated_tokens

    @property
    def steps(self) -> int:
        """Calls of the step graph until now."""
        return self._prompt_steps + self._decoding.steps

    @property
    def drafted(self) -> tuple[int, int]:
        """Tokens proposed until now, and those of them that were drawn."""
        drafting = self._decoding.drafting
        return drafting.drafted, drafting.accepted

    @property
    def running(self) -> int:
        """Rows in use."""
        return self._slots.used + sum(len(sequence.live) for sequence in self._prefilling)

    @property
    def running_requests(self) -> int:
        """Requests in these rows."""
        return len({*self._slots.sequences, *self._prefilling})

    @property
    def departed(self) -> int:
        """How many requests have left the queue, one way or another."""
        return self._scheduler.departed

    @property
    def departed_tokens(self) -> int:
        """How many tokens their prompts and sources had."""
        return self._scheduler.departed_tokens

    @property
    def bytes_per_row(self) -> int:
        """Bytes of state of one row."""
        return self._rows.bytes_per_row

    def let_draft(self, models: Mapping[str, Runner]) -> None:
        """Let these models, and no others, propose tokens to requests that name them."""
        self._decoding.drafting.offer(models)

    def add(self, sequence: Sequence) -> None:
        """Let a request wait for its turn."""
        self._scheduler.add(sequence)
        self.measures.resume(len(sequence.request.resume))

    def cancel(self, cancellation: Cancellation) -> None:
        """Forget a request, or one sample of it, wherever it is. Unknown ones have ended: nothing to do."""
        stream, sample = cancellation.stream, cancellation.sample
        outlets = tuple(outlet for outlet in stream.outlets if sample in (None, outlet.sample))
        self._scheduler.withdraw(stream, outlets)
        self._prefilling = self._scheduler.begun
        rows = [row for row, outlet in enumerate(self._slots.outlets) if outlet in outlets]
        if rows:
            self._leave(np.array(rows, np.int64))

    def iterate(self) -> Delivery:
        """Run at most one step over prompts and one over running samples, and return what came of them."""
        delivery = Delivery()
        now = self._clock()
        for sequence in self._scheduler.expire(now):
            _finish_all(sequence, FinishReason.DEADLINE, now, delivery)
        self._prefilling = self._scheduler.begun
        before = self._slots.used
        pieces = []
        if not self._scheduler.idle:
            pieces = self._scheduler.plan(self._rows.capacity - before, self._budget.tokens(before))
        if pieces:
            self._prefilling = tuple(piece.sequence for piece in pieces)
            call = prompt_call(pieces)
            output = self._step_prompts(pieces, call, now)
            self._prompt_steps += 1
            self._prefilling = self._scheduler.begun
            self._commit_prompts(pieces, call, output, delivery)
            took = self._clock() - now
            self._budget.consumed(call.tokens.size, took)
            self.measures.prefill_step.add(took)
        if self._slots.used:
            self._decode(before, delivery)
        return delivery

    def _decode(self, before: int, delivery: Delivery) -> None:
        """Draw for every running row; those from `before` on have had their first token just now."""
        began, rows, drawn = self._clock(), self._slots.used, self.generated_tokens
        fresh = self._slots.drawn(before, rows) if before < rows else 0
        self._retire(self._decoding.run(delivery), delivery)
        now = self._clock()
        self._budget.decoded(now - began)
        self.measures.decode(rows, fresh, self.generated_tokens - drawn, began, now)

    def _step_prompts(self, pieces: list[Piece], call: PromptCall, now: float) -> StepOutput:
        first = self._slots.used
        fresh = [row for row, piece in enumerate(pieces, first) if piece.start == 0]
        if fresh:
            self._rows.reset(fresh[0], len(fresh))
        for row, piece in enumerate(pieces, first):
            if piece.start == 0:
                piece.sequence.started = now
                if (source := piece.sequence.request.source) is not None:
                    self._runner.start(self._rows, row, np.array(source, np.int64))
        return self._runner.step(self._rows, first, call.tokens, call.lengths, call.indices)

    def _commit_prompts(self, pieces: list[Piece], call: PromptCall, output: StepOutput, delivery: Delivery) -> None:
        for piece in pieces:
            piece.sequence.consumed += piece.length
            self.prompt_tokens += piece.length + (len(piece.sequence.request.source or ()) if piece.start == 0 else 0)
        for piece, scores in call.scores(pieces, output):
            piece.sequence.scores.append(scores)
        if pieces[-1].completes:
            first = self._slots.used
            sources = self._seat([piece.sequence for piece in pieces], delivery)
            if sources:
                ended = self._decoding.commit(first, take(output, call.last[sources]), delivery)
                self._retire(ended, delivery)

    def _seat(self, sequences: list[Sequence], delivery: Delivery) -> list[int]:
        """Let the samples of `sequences`, whose prompts lie in the rows behind those that run, run themselves.

        The state of a prompt is copied for every sample but the first. Returns, for every new running row, which of
        `sequences` it belongs to.
        """
        now = self._clock()
        first = self._slots.used
        seated: list[int] = []
        for index, sequence in enumerate(sequences):
            self._measure(sequence, now)
            delivery.prompts.append(sequence)
            if self._room(sequence) > 0:
                self._copy_prompt(sequence, first + index, first + len(seated))
                seated.append(index)
            else:
                wanted = sequence.request.stop.max_new_tokens > 0
                reason = FinishReason.CONTEXT_FULL if wanted else FinishReason.MAX_TOKENS
                _finish_all(sequence, reason, now, delivery)
        for index in seated:
            self._join(sequences[index], sequences[index].live[0])
        sources = list(seated)
        for row, index in enumerate(seated, first):
            for outlet in sequences[index].live[1:]:
                self._copy_prompt(sequences[index], row, self._slots.used)
                self._join(sequences[index], outlet)
                sources.append(index)
        self._slots.settle()
        return sources

    def _measure(self, sequence: Sequence, now: float) -> None:
        sequence.first_token = now
        assert sequence.started is not None, "its prompt has been consumed"
        self.measures.prompt(sequence.submitted, sequence.started, now)
        request = sequence.request
        if request.stop.max_new_tokens and not request.resume:
            self.measures.first_token.add(now - (sequence.submitted if request.arrived is None else request.arrived))

    def _join(self, sequence: Sequence, outlet: Outlet) -> None:
        self._slots.join(sequence, outlet, self._room(sequence))
        self._decoding.drafting.begin(outlet, sequence.request)

    def _retire(self, rows: Ids, delivery: Delivery) -> None:
        if not rows.size:
            return
        slots, now = self._slots, self._clock()
        for row in rows.tolist():
            reason = slots.reason(row)
            match = int(slots.tokens[row, 0]) if reason is FinishReason.STOP_TOKEN else None
            finish = slots.sequences[row].finish(reason, int(slots.generated[row]), now, match)
            delivery.finishes.append((slots.outlets[row], finish))
        self._leave(rows)

    def _leave(self, rows: Ids) -> None:
        slots, before = self._slots, self._slots.used
        self._decoding.drafting.end(slots.outlets[row] for row in rows.tolist())
        ended = [(slots.sequences[row].request.tenant, int(slots.generated[row])) for row in rows.tolist()]
        slots.leave(rows)
        slots.settle()
        for tenant, generated in ended:
            self._turns.charge(tenant, generated)
        if (prefilling := self._scheduler.prefilling) is not None:
            self._copy_prompt(prefilling, before, self._slots.used)

    def _copy_prompt(self, sequence: Sequence, source: int, target: int) -> None:
        if source != target:
            self._rows.copy(source, target, sequence.consumed)

    def _room(self, sequence: Sequence) -> int:
        """Return how many tokens a sample may have."""
        request = sequence.request
        if self._context_limit is None:
            return request.stop.max_new_tokens
        return min(request.stop.max_new_tokens, self._context_limit - len(request.prompt))


def _finish_all(sequence: Sequence, reason: FinishReason, now: float, delivery: Delivery) -> None:
    delivery.finishes += [(outlet, sequence.finish(reason, 0, now)) for outlet in sequence.live]
