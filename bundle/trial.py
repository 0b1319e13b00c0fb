"""Trying bundles in processes of their own: what a hostile graph does there, it does to no server.

ONNX Runtime trusts the graphs that it is given, and some make it end the process that opens them or never return. While
nothing else runs, the process that tries is forked, and costs little more than opening the bundle. Where threads run,
which a fork does not copy, it is begun anew (`python -m bundle.trial FOLDER`): a second more.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from bundle.device import DeviceError
from bundle.folder import STEP_GRAPH, Bundle, BundleError, find_bundles, open_bundle
from bundle.inspector import Inspector
from bundle.runner import Runner

_SECONDS = 60
_RUNS, _REFUSED = 0, 2
_LONGEST = 4096
# Where others run: of one core, that hashing takes, and by how much their threads go before those of the trial.
_SHARE, _POLITE = 0.25, 10


def bad_bundles(models: Path) -> dict[Path, BundleError]:
    """Open every bundle of the folder `models` and let it take a step, each in a forked process of its own.

    Returns those that cannot be used, end their process, or take longer than a minute.

    Raises:
        BundleError: there is no such folder.
    """
    bad = {}
    for path in find_bundles(models):
        try:
            _try(open_bundle(path))
        except BundleError as error:
            bad[path] = error
    return bad


def try_aside(bundle: Bundle) -> None:
    """Try a bundle while others run, in a process that is begun anew.

    Raises:
        BundleError: as `bad_bundles` finds them.
    """
    command = [sys.executable, "-m", __name__, str(bundle.path)]
    silent = subprocess.DEVNULL
    done = subprocess.run(command, stdin=silent, stdout=subprocess.PIPE, stderr=silent, check=False)
    _judge(bundle, done.returncode, done.stdout.decode("utf-8", "replace"))


def _try(bundle: Bundle) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        os.close(reading)
        os._exit(_run(bundle, writing))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        reason = pipe.read(_LONGEST).decode("utf-8", "replace")
    _, status = os.waitpid(process, 0)
    _judge(bundle, os.waitstatus_to_exitcode(status), reason)


def _judge(bundle: Bundle, code: int, reason: str) -> None:
    """Raise BundleError if the process that tried `bundle` did not end well."""
    if code == -signal.SIGALRM:
        reason = f"{bundle.path / STEP_GRAPH}: was tried, and not opened in {_SECONDS} s"
    elif code != _RUNS and not reason:
        how = signal.Signals(-code).name if code < 0 else f"code {code}"
        reason = f"{bundle.path / STEP_GRAPH}: was tried, and ended ONNX Runtime's process by {how}"
    if code != _RUNS:
        raise BundleError(reason)


def _run(bundle: Bundle, writing: int) -> int:
    """Try the bundle in this process, and write why it is refused."""
    # What hangs is ended by the alarm, also where it never comes back to Python.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(_SECONDS)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    try:
        if bundle.manifest.views:
            Inspector(bundle).try_out()
        Runner(bundle, "cpu", threads=1, spin=False).try_out()
    except DeviceError:  # it is for GPUs alone, and not to be tried here
        return _RUNS
    except BaseException as error:  # noqa: BLE001 nothing may return into the copy of the server
        os.write(writing, str(error).encode("utf-8", "replace")[:_LONGEST])
        return _REFUSED
    return _RUNS


def _main(path: Path) -> int:
    """Try one bundle in this process, politely, and write why it is refused on standard output."""
    os.nice(_POLITE)
    writing = os.dup(1)
    try:
        bundle = open_bundle(path, _SHARE)
    except BundleError as error:
        os.write(writing, str(error).encode("utf-8", "replace")[:_LONGEST])
        return _REFUSED
    return _run(bundle, writing)


if __name__ == "__main__":
    os._exit(_main(Path(sys.argv[1])))  # what a bad graph left behind is not taken down in order
