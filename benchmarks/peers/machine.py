"""What figures were measured with: processor, cores, memory, versions of everything that computes, the date."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path

import psutil

from benchmarks.peers.place import Place

_OURS = ("onnxruntime", "grpcio", "numpy", "torch", "uvloop")
_THEIRS = ("ctranslate2", "onnxruntime-genai", "openvino-genai", "transformers", "torch", "onnxruntime", "grpcio")
_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")


def describe(place: Place) -> dict[str, object]:
    """Return all of it."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": _processor(),
        "features": _features(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "threads": place.threads,
        "ours": {name: importlib.metadata.version(name) for name in _OURS},
        "peers": {**_versions(place.python), "llama.cpp": _llama(place.llama)},
    }


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _processor() -> str:
    found = re.search(r"model name\s*:\s*(.+)", _cpuinfo())
    return found[1].strip() if found else platform.processor()


def _features() -> list[str]:
    found = re.search(r"flags\s*:\s*(.+)", _cpuinfo())
    flags = found[1].split() if found else []
    return [name for name in _FEATURES if name in flags]


def _versions(python: Path) -> dict[str, str]:
    code = "import importlib.metadata as m, sys\nfor n in sys.argv[1:]: print(n, m.version(n))"
    try:
        done = subprocess.run([str(python), "-c", code, *_THEIRS], capture_output=True, text=True, check=False)
    except OSError:
        return {}
    return dict(line.split(maxsplit=1) for line in done.stdout.splitlines())


def _llama(folder: Path) -> str:
    try:
        done = subprocess.run([str(folder / "llama-server"), "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return "not there"
    found = re.search(r"version: (.+)", done.stdout + done.stderr)
    return found[1] if found else "unknown"
