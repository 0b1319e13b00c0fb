"""Trying bundles in processes of their own: what a hostile graph does there, it does to no server.

ONNX Runtime trusts the graphs that it is given, and some make it end the process that opens them or never return. The
process that tries is forked, and so costs little more than opening the bundle: to be called while nothing else runs.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from bundle.device import DeviceError
from bundle.folder import STEP_GRAPH, Bundle, BundleError, find_bundles, open_bundle
from bundle.inspector import Inspector
from bundle.runner import Runner

_SECONDS = 60
_RUNS, _REFUSED = 0, 2
_LONGEST = 4096


def try_bundles(models: Path) -> None:
    """Open every bundle of the folder `models` and let it take a step, each in a process of its own.

    Raises:
        BundleError: a bundle cannot be used, ends its process, or takes longer than a minute.
    """
    for path in find_bundles(models):
        _try(open_bundle(path))


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
    code = os.waitstatus_to_exitcode(status)
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
