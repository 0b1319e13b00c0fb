"""The parity gate: runs the whole contract on a bundle that is about to be written, and refuses it if any of it fails.

Knows nothing about what the checks measure or where the bundle will lie.
"""

from __future__ import annotations

from collections.abc import Sequence

from bundle.folder import Bundle, BundleError
from bundle.manifest import ParityCheck, ParityReport
from bundle.runner import Runner
from export.check import Case, Check, Measurement, Trial
from export.contract import contract, greedy_cases, rows_needed
from export.play import Player
from export.reference import Reference
from export.refusal import Refusal
from export.sequences import Maker
from training.models.step_model import StepModel


def verify(model: StepModel, bundle: Bundle, trained_length: int, threads: int = 0) -> ParityReport:
    """Measure the contract between `model` and its `bundle`, whose manifest need not hold a report yet.

    trained_length: tokens that the model saw at once in training; the gate goes beyond it where the model can.
    threads: that ONNX Runtime computes with; 0 means one for every core.

    Raises:
        Refusal: at the first case that is further off than its check allows, or if the graphs do not load.
    """
    maker = Maker(bundle.manifest, trained_length)
    try:
        # Waiting threads sleep: bits do not depend on it, and the machine may be busy with something else.
        runner = Runner(bundle, threads=threads, spin=False)
    except BundleError as error:
        raise Refusal(f"check 'loads' failed: {error}") from error
    trial = Trial(Player(runner, rows_needed(maker)), Reference(model))
    checks = tuple(_run(check, trial, cases) for check in contract() if (cases := check.cases(maker)))
    compared = sum(len(case.sequences) * case.numbers[0] for case in greedy_cases(maker))
    return ParityReport(checks=checks, greedy_tokens_compared=compared)


def _run(check: Check, trial: Trial, cases: Sequence[Case]) -> ParityCheck:
    shapes, largest = [], 0.0
    for case in cases:
        measured = _measure(check, trial, case)
        if not measured.error <= check.tolerance:
            raise Refusal(
                f"check {check.name!r} failed at {case}: error {measured.error:.3g}, tolerance {check.tolerance:.3g}"
            )
        shapes.append(f"{case} {measured.note}".rstrip())
        largest = max(largest, measured.error)
    return ParityCheck(name=check.name, shapes=tuple(shapes), tolerance=check.tolerance, largest_error=largest)


def _measure(check: Check, trial: Trial, case: Case) -> Measurement:
    try:
        return check.measure(trial, case)
    except (RuntimeError, IndexError, ValueError) as error:  # of ONNX Runtime, or of the model's own code
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise Refusal(f"check {check.name!r} failed at {case}: {reason}") from error
