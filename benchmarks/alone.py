"""A command in namespaces of its own, for network and processes.

For programs that listen on every interface: there is none but the loopback. And whatever they leave behind ends with
the command.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence

_UNSHARE = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
_AS_ROOT = ("--user", "--map-root-user")


class NamespaceError(RuntimeError):
    """There can be no namespaces here. The message is one line."""


def is_alone() -> bool:
    """Whether there is no network interface but the loopback."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]


def run_alone(command: Sequence[str]) -> int:
    """Run `command` and return its exit code. RAY_TMPDIR is a folder that is removed after it.

    Raises:
        NamespaceError: it cannot be done here.
    """
    unshare = [*_UNSHARE, *(_AS_ROOT if os.geteuid() else ())]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], check=False).returncode:
        raise NamespaceError(f"{' '.join(unshare)} does not work here")
    inside = [*unshare, "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command]
    # A short path, as the names of sockets in it have a limit. Removed when nothing writes there any more.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as session:
        return subprocess.run(inside, env={**os.environ, "RAY_TMPDIR": session}, check=False).returncode
