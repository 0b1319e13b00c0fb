"""Opening bundles in processes of their own, as the server's start does it: what a bad one does to one process is seen,
and does nothing to the next.

The processes are forked from one that has imported everything and opened nothing: 20 ms each instead of a second.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path

from bundle.device import DeviceError
from bundle.folder import BundleError
from bundle.trial import bad_bundles
from service.engine import EngineSettings
from service.loading import Loader, load_models

REFUSED, SERVED = 2, 0
_SECONDS = 60
_MOST_BYTES = 8 << 30


@dataclass(frozen=True, slots=True)
class Attempt:
    """code: of the exit; below 0, the signal that ended it.    told: all that it wrote."""

    code: int
    told: str

    @property
    def proper(self) -> bool:
        """Whether it was served, or refused with one line."""
        if self.code == REFUSED:
            return self.told.startswith("error: ") and self.told.count("\n") == 1
        return self.code == SERVED


def attempt(models: Path, *, trial: bool = False) -> Attempt:
    """Open all bundles of `models`, and tell how that ended. trial: as `python -m service --trial on` does it."""
    with tempfile.TemporaryFile() as told:
        sys.stdout.flush()
        sys.stderr.flush()
        process = os.fork()
        if not process:
            os.dup2(told.fileno(), 1)
            os.dup2(told.fileno(), 2)
            os._exit(_open(models, trial))
        _, status = os.waitpid(process, 0)
        told.seek(0)
        return Attempt(os.waitstatus_to_exitcode(status), told.read().decode(errors="replace"))


def _open(models: Path, trial: bool) -> int:
    signal.alarm(_SECONDS)  # what hangs is ended, and found by its signal
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable()  # where it was when a signal ended it
    try:
        bad = bad_bundles(models) if trial else {}
        load_models(Loader(models, "cpu", EngineSettings(rows=4), 1, bad=bad))
        code = SERVED
    except (BundleError, DeviceError) as error:
        print(f"error: {error}", file=sys.stderr)
        code = REFUSED
    except BaseException:  # noqa: BLE001 that is what is looked for
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code
