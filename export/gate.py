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
    checks = _run_all(trial, maker)
    compared = sum(len(case.sequences) * case.numbers[0] for case in greedy_cases(maker))
    return ParityReport(checks=checks, greedy_tokens_compared=compared)


def _run_all(trial: Trial, maker: Maker) -> tuple[ParityCheck, ...]:
    """Run every check, all that ask for the same sequences one after the other, and report them in their order."""
    checks = contract()
    tries = [(index, case) for index, check in enumerate(checks) for case in check.cases(maker)]
    places: dict[int, int] = {}
    for _, case in tries:
        places.setdefault(id(case.sequences), len(places))
    found: list[list[tuple[str, float]]] = [[] for _ in checks]
    for index, case in sorted(tries, key=lambda each: places[id(each[1].sequences)]):
        check = checks[index]
        measured = _measure(check, trial, case)
        if not measured.error <= check.tolerance:
            raise Refusal(
                f"check {check.name!r} failed at {case}: error {measured.error:.3g}, tolerance {check.tolerance:.3g}"
            )
        found[index].append((f"{case} {measured.note}".rstrip(), measured.error))
    return tuple(_summary(check, of_check) for check, of_check in zip(checks, found, strict=True))


def _summary(check: Check, found: Sequence[tuple[str, float]]) -> ParityCheck:
    """Return what stands in the manifest: the cases of a check, in words, and the largest error among them."""
    shapes, errors = tuple(case for case, _ in found), (error for _, error in found)
    return ParityCheck(
        name=check.name, shapes=shapes, tolerance=check.tolerance, largest_error=max(errors, default=0.0)
    )


def _measure(check: Check, trial: Trial, case: Case) -> Measurement:
    try:
        return check.measure(trial, case)
    except Exception as error:  # of ONNX Runtime, whose errors have no class in common, or of the model's own code
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise Refusal(f"check {check.name!r} failed at {case}: {reason}") from error
