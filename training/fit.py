"""Training by gradient: the loop. AdamW steps on batches, validation, early stopping and checkpoints.

A step is a function of what the checkpoint holds and of (seed, step): dropout and data order draw their random numbers
from these two alone. So a run that was stopped and resumed ends with the same weights, to the bit, as one that was
not, as long as the budget is counted in steps: minutes make the learning rate follow the clock, and leave the number of
CPU threads to be measured.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from training.batches import Batches, Share
from training.budget import Budget
from training.checkpoint import Checkpoint, save_checkpoint
from training.device import thread_candidates
from training.display import Display, describe, duration
from training.interrupt import Interrupt
from training.journal import Journal, Record
from training.learner import Learner
from training.meter import Meter
from training.models.step_model import StepModel
from training.optimizer import learning_rate
from training.run import WEIGHTS, read_weights, save_weights
from training.settings import GradientMachine, Optimisation
from training.threads import Threads
from training.validation import Validation, loss_metrics, total_loss

_LOG_EVERY = 10


@dataclass(frozen=True, slots=True)
class FitData:
    """What is learned from: batches, what is measured on held-out data, and for people name and fingerprint."""

    batches: Batches
    validation: Validation
    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class FitOutput:
    """Where it goes: the run folder, its journal (None in every process but the first) and the screen."""

    folder: Path
    journal: Journal | None
    display: Display


class GradientFit:
    """One training, from its first step or from a checkpoint.

    Args:
        fabric: launched.
        model: to be trained, in place; with FSDP its parameters become shards.
        data: what it learns from.
        settings: how.
        machine: of which the seed (of data order and dropout) and the threads matter here.
        output: where results go.

    Attributes:
        step: steps done.
        seconds: time spent, validations included, over all sessions of the run.
    """

    def __init__(
        self,
        fabric: Fabric,
        model: StepModel,
        data: FitData,
        settings: Optimisation,
        machine: GradientMachine,
        output: FitOutput,
    ) -> None:
        self.step = 0
        self.seconds = 0.0
        self._fabric = fabric
        self._learner = Learner(fabric, model, settings)
        self._data = data
        self._settings = settings
        self._seed = machine.seed
        self._output = output
        self._share = Share(fabric.global_rank, fabric.world_size)
        self._best_loss = math.inf
        self._stale = 0
        self._validated_at: int | None = None
        self._validated_seconds = 0.0
        self._budget = Budget(settings.step_budget, settings.minutes)
        self._meter = Meter()
        candidates = thread_candidates(machine)
        # A budget in steps is resumed bit for bit, and other numbers of threads add up in other orders.
        if fabric.device.type != "cpu" or settings.step_budget is not None:
            candidates = candidates[:1]
        self._validation_threads, self._threads = Threads(candidates), Threads(candidates)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to where a checkpoint was written.

        Raises:
            ValueError: it belongs to another model or to other data.
        """
        if checkpoint.data_sha256 != self._data.sha256:
            raise ValueError(f"--resume: the data is no longer what {self._output.folder} was trained on")
        try:
            self._learner.load_weights(checkpoint.model)
            self._learner.load_optimizer_state(checkpoint.optimizer)
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"--resume: the checkpoint is not of this model: {str(error).splitlines()[0]}") from None
        self._fabric.strategy.precision.load_state_dict(checkpoint.scaler)
        self.step, self.seconds = checkpoint.step, checkpoint.seconds
        self._best_loss, self._stale = checkpoint.best_loss, checkpoint.stale

    def run(self) -> str:
        """Train until the budget is spent, patience is lost, or the process is told to stop.

        Returns why it ended: "budget", "patience" or "interrupt". Afterwards there is a checkpoint in the run folder,
        and weights.

        Raises:
            ValueError: the loss is no longer a number.
        """
        started = time.monotonic() - self.seconds
        with Interrupt() as interrupt, self._output.display:
            self._meter.restart()
            while (reason := self._reason_to_stop(interrupt, time.monotonic() - started)) is None:
                self._train_step()
                if self.step % _LOG_EVERY == 0:
                    self._log()
                if self._validation_is_due():
                    self._validate()
                if self.step % self._settings.checkpoint_every == 0:
                    self._checkpoint()
            if reason != "interrupt" and self._validated_at != self.step:
                self._validate()
            self._checkpoint()
        return reason

    def measure_best(self) -> Record:
        """Take the best weights back and measure them once more, decoding all held-out pairs; saves the result."""
        self._fabric.barrier()  # the first process may still be writing them
        self._learner.load_weights(read_weights(self._output.folder / WEIGHTS))
        metrics = self._measure(everything=True)
        self._save_result(metrics)
        return metrics

    @property
    def progress(self) -> float:
        """The share of the budget that is spent."""
        return self._budget.spent(self.step, self.seconds)

    def _reason_to_stop(self, interrupt: Interrupt, seconds: float) -> str | None:
        requested = interrupt.requested
        if self._share.of > 1:  # clocks and signals differ, so the first process decides for all
            seconds, requested = self._fabric.broadcast((seconds, requested))
        self.seconds = seconds
        if requested:
            return "interrupt"
        if self.progress >= 1:
            return "budget"
        patience = self._settings.patience
        return "patience" if patience and self._stale >= patience else None

    def _validation_is_due(self) -> bool:
        seconds = self._settings.validate_seconds
        late = bool(seconds) and self.seconds - self._validated_seconds >= seconds
        return late or self.step % self._settings.validate_every == 0

    def _train_step(self) -> None:
        began = time.perf_counter()
        seed_step(self._seed, self.step, self._share.rank)
        rate = learning_rate(self._settings, self.step, self.progress)
        batch = self._data.batches.training(self.step, self._share)
        loss = self._learner.step(batch, rate)
        self.step += 1
        self._meter.add(loss, batch.token_count * self._share.of)
        self._threads.after_step(time.perf_counter() - began)

    def _log_pending(self) -> None:
        if self._meter.pending:
            self._log()

    def _log(self) -> None:
        loss, speed = self._meter.read()
        loss = self._over_processes(torch.tensor(loss), "mean").item()
        if not math.isfinite(loss):
            raise ValueError(
                f"the loss is {loss} at step {self.step}; try a --learning-rate below {self._settings.learning_rate:g}"
            )
        metrics = {
            "training_loss": loss,
            "learning_rate": self._learner.rate,
            "tokens_per_second": round(speed, 1),
        }
        self._write(metrics)
        left = self._budget.seconds_left(self.step, self.seconds, self._meter.steps_per_second)
        self._output.display.advance(self.step, self.progress, left, metrics)
        if self._meter.first_estimate():
            pace = f"{self._meter.steps_per_second:.3g} steps/s"
            self._output.display.say(f"{pace}: about {duration(left)} to go")
        self._meter.restart()

    def _validate(self) -> None:
        self._log_pending()
        metrics = self._measure(everything=False)
        self._validated_at, self._validated_seconds = self.step, self.seconds
        self._write(metrics)
        self._output.display.say(f"step {self.step:,}, {duration(self.seconds)}: {describe(metrics)}")
        if metrics["validation_loss"] < self._best_loss:
            self._best_loss, self._stale = metrics["validation_loss"], 0
            self._save_result(metrics)
        else:
            self._stale += 1
        self._meter.restart()

    def _measure(self, *, everything: bool) -> Record:
        batches, threads = self._data.batches.validation(self._share), self._validation_threads
        threads.resume()
        with self._fabric.autocast():
            total = total_loss(self._learner.objective, batches, self._fabric.device, threads)
        nats, tokens = self._over_processes(total, "sum").tolist()
        metrics = loss_metrics(nats, tokens, self._data.validation.tokens_per_byte)
        with self._learner.gathered():
            if self._fabric.is_global_zero or self._learner.sharded:  # a shard alone computes nothing
                metrics |= self._data.validation.decoded(self._learner.objective, everything=everything)
        self._threads.resume()
        return metrics

    def _checkpoint(self) -> None:
        self._log_pending()
        if math.isinf(self._best_loss):  # no validation has chosen any weights yet
            self._save_result({})
        first = self._fabric.is_global_zero
        checkpoint = Checkpoint(
            step=self.step,
            seconds=self.seconds,
            best_loss=self._best_loss,
            stale=self._stale,
            data_sha256=self._data.sha256,
            model=self._learner.weights(keep=first),
            optimizer=self._learner.optimizer_state(keep=first),
            scaler=self._fabric.strategy.precision.state_dict(),
        )
        if first:
            save_checkpoint(self._output.folder, checkpoint)
        self._meter.restart()

    def _save_result(self, metrics: Record) -> None:
        first = self._fabric.is_global_zero
        weights = self._learner.weights(keep=first)
        if first:
            save_weights(self._output.folder, weights, self._data.name, self._data.sha256, metrics)

    def _write(self, metrics: Record) -> None:
        if self._output.journal is not None:
            self._output.journal.write(self.step, self.seconds, metrics)

    def _over_processes(self, value: Tensor, operation: str) -> Tensor:
        if self._share.of == 1:
            return value
        reduced = self._fabric.all_reduce(value.to(self._fabric.device), reduce_op=operation)
        assert isinstance(reduced, Tensor)
        return reduced.cpu()


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed every generator of torch for one step of one process: no other state of theirs ever matters."""
    torch.manual_seed(int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0]))
