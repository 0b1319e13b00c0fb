"""From a model to a bundle on disk: graphs, tokenizers and manifest in a temporary folder, verified, then renamed.

A bundle is there whole or not at all, and one that is there is never changed. Knows nothing about command lines.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import onnx

from bundle.folder import (
    CHAT_TEMPLATE,
    DATA,
    INSPECT_GRAPH,
    MANIFEST,
    SOURCE_TOKENIZER,
    START_GRAPH,
    STEP_GRAPH,
    TOKENIZER,
    Bundle,
    digest,
    open_bundle,
)
from bundle.manifest import Calls, FileEntry, Manifest, ParityReport, ViewSpec
from export.contract import against_model, half_contract, rounded_contract
from export.gate import verify
from export.graph import export_inspection, export_start, export_step
from export.play import check_gpu
from export.quantize.convert import convert
from export.quantize.precision import FP32, HALF, Precision
from export.refusal import Refusal
from export.steady import block
from export.subject import Subject
from export.view_checks import verify_views
from export.weights import write_graph
from training.models.step_model import SourceStepModel

TOP_K = 64


@dataclass(frozen=True, slots=True)
class Target:
    """Where a bundle is to lie: `<models>/<name>/<version>`."""

    models: Path
    name: str
    version: int

    @property
    def path(self) -> Path:
        return self.models / self.name / str(self.version)


def next_version(models: Path, name: str) -> int:
    """Return the least version above all that exist, whatever is in them."""
    folder = models / name
    taken = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []
    return max(taken, default=0) + 1


def write_bundle(
    subject: Subject, target: Target, threads: int = 0, precision: Precision = FP32, *, views: bool = False
) -> Bundle:
    """Export `subject`, verify the result and put it at `target`.

    threads: that ONNX Runtime computes with in the parity gate; 0 means one for every core.
    views: whether an inspection graph goes with it, which shows what the model declares.

    Raises:
        Refusal: the model makes no bundle that keeps the contract, declares no views, or the precision costs too much;
            nothing is written.
        FileExistsError: the version is there already.
        ValueError: the manifest would not be valid, or the precision lacks a text.
    """
    if target.path.exists():
        raise FileExistsError(f"{target.path}: is there already; a version is never replaced")
    draft = _draft(subject, target, subject.model.views if views else ())
    if views and not draft.views:
        raise Refusal(f"{subject.family} declares no views: there is nothing to show (StepModel.views)")
    with _workplace(target.models) as temporary:
        folder = temporary / target.name / str(target.version)
        folder.mkdir(parents=True)
        opset, calls = _write_files(subject, draft, folder)
        draft = draft.model_copy(update={"opset": opset, "calls": calls})
        draft = _verified(subject, Bundle(folder, draft), precision, threads)
        files = {path.name: FileEntry(sha256=digest(path), bytes=path.stat().st_size) for path in _sorted(folder)}
        manifest = draft.model_copy(update={"files": files})
        # What is not used is not written: a program that does not know it yet reads the bundle all the same.
        text = manifest.model_dump_json(indent=2, exclude=None if manifest.views else {"views"})
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
        open_bundle(folder)
        _publish(folder, target.path)
    return open_bundle(target.path)


def _verified(subject: Subject, bundle: Bundle, precision: Precision, threads: int) -> Manifest:
    """Verify the float32 graphs, give them the precision, verify that; return the manifest with what was found."""
    model, length, draft = subject.model, subject.trained_length, bundle.manifest
    shown = verify_views(model, bundle, length, threads) if draft.views else ()
    if not str(precision):
        report = verify(model, bundle, length, threads)
        return draft.model_copy(update={"parity": report.model_copy(update={"checks": report.checks + shown})})
    if precision.name == HALF:
        check_gpu()
    before = verify(model, bundle, length, threads, against_model())
    draft = convert(bundle, precision, threads)
    rounded = rounded_contract(twice=precision.prompts != "same")
    contract = half_contract() if precision.name == HALF else rounded
    after = verify(model, Bundle(bundle.path, draft), length, threads, contract)
    checks, compared = before.checks + shown + after.checks, before.greedy_tokens_compared
    report = ParityReport(checks=checks, greedy_tokens_compared=compared)
    return draft.model_copy(update={"parity": report})


def _draft(subject: Subject, target: Target, views: tuple[ViewSpec, ...]) -> Manifest:
    """Return the manifest but for what is only known at the end: opset, parity and files."""
    model = subject.model
    source = model if isinstance(model, SourceStepModel) else None
    return Manifest(
        name=target.name,
        version=target.version,
        family=subject.family,
        vocabulary_size=model.vocabulary_size,
        source_vocabulary_size=source and source.source_vocabulary_size,
        special_tokens=subject.special_tokens,
        opens_with_bos=subject.opens_with_bos,
        context_limit=model.context_limit,
        source_limit=source and source.source_limit,
        top_k=min(TOP_K, model.vocabulary_size),
        states=model.states,
        views=views,
        calls=Calls(chunk=model.chunk),
        opset=0,
        parity=ParityReport(checks=(), greedy_tokens_compared=0),
        training=subject.training,
        files={},
    )


def _write_files(subject: Subject, draft: Manifest, folder: Path) -> tuple[int, Calls]:
    """Write all files but the manifest; return the opset of the graphs, and which calls they take."""
    model = subject.model
    model.freeze()
    graphs = {STEP_GRAPH: export_step(model, draft.top_k)}
    if isinstance(model, SourceStepModel):
        graphs[START_GRAPH] = export_start(model)
    if draft.views:
        graphs[INSPECT_GRAPH] = export_inspection(model)
    calls = Calls(chunk=model.chunk, block=block(graphs[STEP_GRAPH]))
    for name, graph in graphs.items():
        write_graph(graph, folder / name, folder / f"{name}{DATA}")
    shutil.copyfile(subject.tokenizer, folder / TOKENIZER)
    if subject.source_tokenizer is not None:
        shutil.copyfile(subject.source_tokenizer, folder / SOURCE_TOKENIZER)
    if subject.chat_template is not None:
        shutil.copyfile(subject.chat_template, folder / CHAT_TEMPLATE)
    return max(map(_opset, graphs.values())), calls


def _opset(graph: onnx.ModelProto) -> int:
    return int(next(entry.version for entry in graph.opset_import if entry.domain in ("", "ai.onnx")))


@contextmanager
def _workplace(models: Path) -> Iterator[Path]:
    """Make a temporary folder inside `models`, on the same file system, and take away whatever is left of it."""
    missing = [folder for folder in (models, *models.parents) if not folder.exists()]
    models.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".export-", dir=models) as temporary:
            yield Path(temporary)
    except BaseException:
        with suppress(OSError):  # somebody else has put something there
            for folder in missing:
                folder.rmdir()
        raise


def _publish(folder: Path, path: Path) -> None:
    """Rename a finished folder to `path`, on the disk before the name is."""
    for file in _sorted(folder):
        _sync(file)
    _sync(folder)
    path.parent.mkdir(exist_ok=True)
    try:
        folder.rename(path)
    except OSError:
        if path.exists():
            raise FileExistsError(f"{path}: is there already; a version is never replaced") from None
        raise
    _sync(path.parent)


def _sorted(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
