"""The models of one checkpoint in every system's own form, each by that system's own converter; ours by our export.

What is there is left alone; what cannot be made is told with its reason, and its system is reported as not run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import texts
from benchmarks.peers.place import Place
from benchmarks.smollm2 import CONTEXT, gguf_file

# What our own precisions may lose.
MAX_LOSS = {"w8a8": "0.01", "int8": "0.01", "int4": "0.01"}
STEP_SECONDS = 1200.0


@dataclass(frozen=True, slots=True)
class Conversion:
    """How one model is made: `command`, in which OUT stands for where it is to lie."""

    name: str
    command: list[str]


def conversions(place: Place) -> Iterator[Conversion]:
    """Yield all, those first that others start from."""
    python, checkpoint, marian = str(place.python), str(place.model("checkpoint")), str(place.model("marian"))
    systems = "benchmarks.peers.systems"
    source = gguf_file(place.folder)
    yield Conversion("checkpoint", [python, "-m", f"{systems}.checkpoint", str(source), "OUT"])
    yield Conversion("marian", [python, "-m", f"{systems}.marian", "make", "OUT"])
    converter = str(place.python.with_name("ct2-transformers-converter"))
    for bits, kind in (("fp32", "float32"), ("int8", "int8")):
        command = [converter, "--model", checkpoint, "--output_dir", "OUT", "--quantization", kind]
        yield Conversion(f"ctranslate2-{bits}", [*command, "--copy_files", "tokenizer.json"])
        yield Conversion(f"marian-ct2-{kind}", [python, "-m", f"{systems}.marian", "convert", marian, "OUT", kind])
    for bits in ("fp32", "int8", "int4"):
        builder = [python, "-m", "onnxruntime_genai.models.builder", "-m", checkpoint, "-i", checkpoint, "-o", "OUT"]
        yield Conversion(f"onnx-genai-{bits}", [*builder, "-p", bits, "-e", "cpu"])
        optimum = [str(place.openvino_python.with_name("optimum-cli")), "export", "openvino", "-m", checkpoint]
        task = ["--task", "text-generation-with-past", "--weight-format", bits, "OUT"]
        # Groups of 128 weights, its default, do not divide rows of 576.
        groups = ["--group-size", "64"] if bits == "int4" else []
        yield Conversion(f"openvino-{bits}", [*optimum, *groups, *task])
    yield from _llama(place, source)
    yield from _ours(place, source, marian)


def _llama(place: Place, source: Path) -> Iterator[Conversion]:
    quantize = str(place.llama / "llama-quantize")
    whole = str(place.model("llama-f32.gguf"))
    yield Conversion("llama-f32.gguf", [quantize, "--allow-requantize", str(source), "OUT", "F32"])
    for kind in ("q8_0", "q4_0", "q4_1"):
        yield Conversion(f"llama-{kind}.gguf", [quantize, whole, "OUT", kind.upper()])


def _ours(place: Place, source: Path, marian: str) -> Iterator[Conversion]:
    for name, checkpoint, limit in (("", str(source), str(CONTEXT)), ("marian-", marian, "512")):
        pretrained = [sys.executable, "-m", "training.pretrained", checkpoint, "--context-limit", limit]
        yield Conversion(f"run-{name}fp32", [*pretrained, "--out", "OUT"])
        run = str(place.model(f"run-{name}fp32"))
        export = [sys.executable, "-m", "export", run, "--models", "OUT", "--name", "model"]
        yield Conversion(f"ours-{name}fp32", export)
        for precision in ("w8a8",) if name else tuple(MAX_LOSS):
            text = (texts.pairs_file if name else texts.calibration_file)(place.folder)
            # Random weights predict nothing that could be lost.
            most = "1e9" if name else MAX_LOSS[precision]
            rounded = [*export, *_precision(precision, text, most)]
            yield Conversion(f"ours-{name}{precision}", rounded)
            if precision == "w8a8" and not name:
                yield Conversion(f"ours-{precision}-int8-cache", [*rounded, "--cache", "int8"])


def _precision(name: str, text: Path, limit: str) -> list[str]:
    return ["--precision", name, "--calibration", str(text), "--max-loss", limit]


def prepare(place: Place, tell: Callable[[str], None]) -> None:
    """Make every model that is not there, and write how long each took and what failed to prepare.json."""
    texts.write(place.folder)
    place.model("").mkdir(parents=True, exist_ok=True)
    path = place.folder / "prepare.json"
    told = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for conversion in conversions(place):
        if place.model(conversion.name).exists():
            continue
        tell(f"preparing {conversion.name}")
        began = time.monotonic()
        reason = _run(place, conversion)
        told[conversion.name] = {"seconds": round(time.monotonic() - began, 1), "command": conversion.command}
        if reason:
            tell(f"{conversion.name}: {reason}")
            told[conversion.name]["failed"] = reason
        path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _run(place: Place, conversion: Conversion) -> str:
    """Run it; return why it failed, or nothing. The model is there whole or not at all."""
    partial = place.folder / "partial" / conversion.name
    shutil.rmtree(partial.parent, ignore_errors=True)
    partial.parent.mkdir(parents=True)
    command = [part if part != "OUT" else str(partial) for part in conversion.command]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    try:
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=STEP_SECONDS, env=environment)
        partial.rename(place.model(conversion.name))
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout or "").strip().splitlines()
        return lines[-1] if lines else f"exit status {error.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return ""
