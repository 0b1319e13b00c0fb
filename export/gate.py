"""The parity gate: runs the whole contract on a bundle that is about to be written, and refuses it if any of it fails.

Knows nothing about what the checks measure or where the bundle will lie.
"""

from __future__ import annotations

from collections.abc import Sequence

from bundle.folder import Bundle, BundleError
from bundle.manifest import Manifest, ParityCheck, ParityReport
from export.check import Case, Check, Measurement, Trial
from export.contract import contract, greedy_cases, rows_needed
from export.play import Player, open_runner
from export.reference import Reference
from export.refusal import Refusal
from export.sequences import Maker
from training.models.step_model import StepModel


def verify(
    model: StepModel, bundle: Bundle, trained_length: int, threads: int = 0, checks: Sequence[Check] = contract()
) -> ParityReport:
    """Measure the contract between `model` and its `bundle`, whose manifest need not hold a report yet.

    trained_length: tokens that the model saw at once in training; the gate goes beyond it where the model can.
    threads: that ONNX Runtime computes with; 0 means one for every core.
    checks: of the contract, by default all of them.

    Raises:
        Refusal: at the first case that is further off than its check allows, or if the graphs do not load.
    """
    maker = Maker(bundle.manifest, trained_length)
    try:
        runner = open_runner(bundle, threads)
    except BundleError as error:
        raise Refusal(f"check 'loads' failed: {error}") from error
    trial = Trial(Player(runner, rows_needed(maker)), Reference(model))
    results = _run_all(checks, trial, maker)
    greedy = any(check.cases is greedy_cases for check in checks)
    compared = sum(len(case.sequences) * case.numbers[0] for case in greedy_cases(maker)) if greedy else 0
    return ParityReport(checks=results, greedy_tokens_compared=compared)


def _run_all(checks: Sequence[Check], trial: Trial, maker: Maker) -> tuple[ParityCheck, ...]:
    """Run every check, all that ask for the same sequences one after the other, and report them in their order."""
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
    manifest = trial.player.manifest
    # A check that has no case says nothing of this bundle.
    each = ((check, of_check) for check, of_check in zip(checks, found, strict=True) if of_check)
    return tuple(_summary(check, manifest, of_check) for check, of_check in each)


def _summary(check: Check, manifest: Manifest, found: Sequence[tuple[str, float]]) -> ParityCheck:
    """Return what stands in the manifest: the cases of a check, in words, and the largest error among them."""
    shapes, errors = tuple(case for case, _ in found), (error for _, error in found)
    return ParityCheck(
        name=check.name,
        precision=manifest.precision,
        cache=manifest.cache,
        shapes=shapes,
        tolerance=check.tolerance,
        largest_error=max(errors, default=0.0),
    )


def _measure(check: Check, trial: Trial, case: Case) -> Measurement:
    try:
        return check.measure(trial, case)
    except Exception as error:  # of ONNX Runtime, whose errors have no class in common, or of the model's own code
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise Refusal(f"check {check.name!r} failed at {case}: {reason}") from error
