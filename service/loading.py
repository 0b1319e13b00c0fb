"""Bundles become models: opened, with their tokenizers, their chat template and an engine each, which is not started.

May run on any thread: ONNX Runtime and the hashing of files leave the interpreter's lock, so that streams run on
meanwhile. Knows nothing about gRPC.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from bundle.device import Device
from bundle.folder import CHAT_TEMPLATE, SOURCE_TOKENIZER, TOKENIZER, Bundle, BundleError, find_bundles, open_bundle
from bundle.inspector import Inspector
from bundle.threads import Way, modest, open_runner
from bundle.tokenizer import Tokenizer
from bundle.trial import try_aside
from service.chat import Chat
from service.engine import Engine, EngineSettings
from service.models import Models, ServedModel

# Of one core, that hashing takes while others run.
_SHARE = 0.25

_log = logging.getLogger("service.loading")


@dataclass(frozen=True, slots=True)
class Loader:
    """Opens the bundles of `folder` for running on `device`.

    threads, spin: how steps compute; 0 and None mean what is found best (bundle/threads.py).
    trial: whether what is opened while others run is tried in a process of its own first.
    bad: those that were tried before and are not to be opened, with the reason.
    thread: that opens. Always the same one, which does nothing else: what it allocates lies in a part of the heap that
    others need not wait for while the memory of a version that is gone is returned.
    """

    folder: Path
    device: Device
    settings: EngineSettings
    threads: int = 0
    spin: bool | None = None
    trial: bool = False
    bad: Mapping[Path, BundleError] = field(default_factory=dict)
    thread: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, "loader"))

    def load(self, path: Path) -> ServedModel:
        """Open a bundle with the machine to itself.

        Raises:
            BundleError: it is not what its manifest says.
            DeviceError: the device cannot be used.
        """
        if (error := self.bad.get(path)) is not None:
            raise error
        began = time.monotonic()
        return self.thread.submit(lambda: self._model(open_bundle(path), None, None, began)).result()

    def load_aside(self, path: Path, like: ServedModel | None) -> ServedModel:
        """Open a bundle while others run: on one core, and without measuring. To be called on `thread`.

        like: another version, whose tokenizers, where they are the same, and whose threads it takes. Raises as `load`.
        """
        began = time.monotonic()
        bundle = open_bundle(path, _SHARE)
        if self.trial:
            try_aside(bundle)
        if like is None:
            way = modest(bundle, self.threads, self.spin)
        else:
            way = Way(like.placement.threads, like.placement.spin)
        return self._model(bundle, like, way, began)

    def _model(self, bundle: Bundle, like: ServedModel | None, way: Way | None, began: float) -> ServedModel:
        manifest = bundle.manifest
        known = {} if like is None else _tokenizers(like)
        tokenizer = _tokenizer(bundle, TOKENIZER, manifest.vocabulary_size, known)
        source_tokenizer = None
        if manifest.source_vocabulary_size is not None:
            source_tokenizer = _tokenizer(bundle, SOURCE_TOKENIZER, manifest.source_vocabulary_size, known)
        runner = open_runner(bundle, self.device, self.threads, self.spin, way)
        chat = None
        if CHAT_TEMPLATE in manifest.files:
            chat = Chat.load(bundle.path / CHAT_TEMPLATE, bundle.path / TOKENIZER, manifest.special_tokens)
        engine = Engine(runner, self.settings)
        inspector = Inspector(bundle) if manifest.views else None  # opens nothing before it is asked
        took = time.monotonic() - began
        return ServedModel(
            manifest, tokenizer, source_tokenizer, runner.placement, engine, chat, inspector, load_seconds=took
        )


def load_models(loader: Loader, name: str | None = None, keep: int = 0, *, pass_over: bool = False) -> Models:
    """Open every bundle of the loader's folder, or those of the model `name`.

    keep: the newest versions of each model that are opened; 0: all.
    pass_over: bad versions are logged, and older ones opened in their place.

    Raises:
        BundleError: a bundle is not what its manifest says, or there is none.
        DeviceError: the device cannot be used.
    """
    by_name: dict[str, list[Path]] = {}
    for path in find_bundles(loader.folder):
        if name in (None, path.parent.name):
            by_name.setdefault(path.parent.name, []).append(path)
    if not by_name:
        raise BundleError(f"{loader.folder}: holds no bundle ({name or '<name>'}/<version>/bundle.json)")
    models = [model for paths in by_name.values() for model in _newest(loader, paths, keep, pass_over)]
    if not models:
        raise BundleError(f"{loader.folder}: holds no bundle that can be served")
    return Models(models)


def _newest(loader: Loader, paths: list[Path], keep: int, pass_over: bool) -> list[ServedModel]:
    models: list[ServedModel] = []
    for path in reversed(paths):
        try:
            models.append(loader.load(path))
        except BundleError as error:
            if not pass_over:
                raise
            _log.error("passed over: %s", error)
        if len(models) == keep:
            break
    return models


def _tokenizers(model: ServedModel) -> dict[str, Tokenizer]:
    """Return the tokenizers of a model by the SHA-256 of their files."""
    files = model.manifest.files
    found = {files[TOKENIZER].sha256: model.tokenizer}
    if model.source_tokenizer is not None:
        found[files[SOURCE_TOKENIZER].sha256] = model.source_tokenizer
    return found


def _tokenizer(bundle: Bundle, name: str, vocabulary_size: int, known: Mapping[str, Tokenizer]) -> Tokenizer:
    """Return the tokenizer of the file `name`, one of those known if it has the same bytes.

    Reading a large one holds the interpreter's lock.
    """
    path = bundle.path / name
    tokenizer = known.get(bundle.manifest.files[name].sha256) or Tokenizer.load(path, vocabulary_size)
    if tokenizer.vocabulary_size > vocabulary_size:
        raise BundleError(f"{path}: has {tokenizer.vocabulary_size} tokens, the model {vocabulary_size}")
    return tokenizer
