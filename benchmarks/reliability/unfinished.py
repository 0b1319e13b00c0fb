"""Training and export that are killed or find the disk full: what was there before is untouched, and loads."""

from __future__ import annotations

import hashlib
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.reliability.claim import Claim
from bundle.folder import find_bundles, open_bundle
from training.checkpoint import load_checkpoint

_SMALL = ("--width", "32", "--vocabulary-size", "300", "--threads", "1")
_ENDLESS = ("--steps", "100000", "--checkpoint-every", "1", "--validate-every", "100000")
_FULL = 20_000  # bytes that a file may have where the disk is full
_PATIENCE = 300.0


def measure(folder: Path, rounds: int) -> list[Claim]:
    """Train and export once to the end, and then again and again not to the end."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run, models = folder / "run", folder / "models"
    _must("training", "gru", "--out", str(run), "--steps", "20", *_SMALL)
    export = ("export", str(run), "--models", str(models), "--name", "gru", "--threads", "1")
    began = time.monotonic()
    _must(*export)
    lasts = time.monotonic() - began
    training = ("training", "gru", "--resume", str(run), *_ENDLESS)
    return [
        _killed_training(training, run, rounds),
        _killed_export(export, models, lasts, rounds),
        _full("training", training, lambda: _digests(run), "the checkpoint"),
        _full("export", export, lambda: _digests(models), "every version"),
    ]


def _killed_training(command: Sequence[str], run: Path, rounds: int) -> Claim:
    dice, steps = random.Random(3), []
    for _ in range(rounds):
        before = load_checkpoint(run).step
        with _start(*command) as process:
            # Once it trains, it writes checkpoints without a pause.
            while load_checkpoint(run).step == before and process.poll() is None:
                time.sleep(0.05)
            time.sleep(dice.uniform(0, 1.0))
            process.kill()
        steps.append(load_checkpoint(run).step - before)
    return Claim(
        "Training that is killed while it writes a checkpoint goes on from the last one.",
        f"killed {rounds} times, writing without a pause: each time a whole checkpoint, {min(steps)} to {max(steps)} "
        "steps further than the one before",
        min(steps) > 0,
    )


def _killed_export(command: Sequence[str], models: Path, lasts: float, rounds: int) -> Claim:
    dice = random.Random(4)
    for _ in range(rounds):
        with _start(*command) as process:
            time.sleep(dice.uniform(0.2, 1.0) * lasts)
            process.kill()
        found = find_bundles(models)
        for path in found:
            open_bundle(path)
    return Claim(
        "An export that is killed leaves no half-made version.",
        f"killed {rounds} times at some moment of {lasts:.0f} s: {len(found)} versions found, all verified",
        bool(found),
    )


def _full(what: str, command: Sequence[str], look: Callable[[], dict[str, str]], kept: str) -> Claim:
    before = look()
    with _start(*command, full=True) as process:
        _, errors = process.communicate(timeout=_PATIENCE)
    lines = errors.strip().splitlines()
    same = {name: digest for name, digest in look().items() if name in before} == before
    one = len([line for line in lines if "Traceback" in line]) == 0 and "File too large" in (lines or [""])[-1]
    return Claim(
        f"A full disk ends {what} with one line, and leaves {kept} as it was.",
        f"files of {_FULL:,} bytes at most: exit code {process.returncode}, {(lines or ['nothing'])[-1]!r}; "
        f"{len(before)} files {'untouched' if same else 'CHANGED'}",
        process.returncode not in (0, None) and one and same,
    )


def _digests(folder: Path) -> dict[str, str]:
    """Return the digests of the checkpoint, or of every file of every version."""
    paths = [folder / "checkpoint.pt"] if (folder / "checkpoint.pt").exists() else sorted(folder.glob("[!.]*/*/*"))
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _must(*arguments: str) -> None:
    with _start(*arguments) as process:
        _, errors = process.communicate(timeout=_PATIENCE)
    if process.returncode:
        raise RuntimeError(f"python -m {' '.join(arguments)}: {errors}")


def _start(*arguments: str, full: bool = False) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    if full:  # long before it has anything to write
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (_FULL, _FULL))
    return process
