"""The models of one server: every bundle of a folder, opened, with its tokenizers and an engine of its own.

Knows nothing about gRPC.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bundle.device import Device
from bundle.folder import CHAT_TEMPLATE, SOURCE_TOKENIZER, TOKENIZER, Bundle, BundleError, find_bundles, open_bundle
from bundle.manifest import Manifest
from bundle.runner import Placement
from bundle.threads import open_runner
from bundle.tokenizer import Tokenizer
from service.chat import Chat
from service.engine import Engine, EngineSettings
from service.request import Drafts


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One version of one model.

    source_tokenizer: of what the encoder reads, None for models without a source.
    chat: how messages become a prompt, None for models that take none.
    drafters: models that may propose tokens to it: "name@version" by all that they are called.
    drafts: what proposes where a request does not say, or None.
    """

    manifest: Manifest
    tokenizer: Tokenizer
    source_tokenizer: Tokenizer | None
    placement: Placement
    engine: Engine
    chat: Chat | None = None
    drafters: Mapping[str, str] = field(default_factory=dict)
    drafts: Drafts | None = None

    @property
    def reference(self) -> str:
        """The model as "name@version"."""
        return f"{self.manifest.name}@{self.manifest.version}"

    @property
    def prompt_tokenizer(self) -> Tokenizer:
        """The tokenizer of prompts: the source's, where there is one."""
        return self.source_tokenizer or self.tokenizer

    def prompt_ids(self, text: str) -> list[int]:
        """Return the tokens of a prompt: behind begin-of-sequence, if it opens one, or of a source, before its end."""
        special = self.manifest.special_tokens
        if self.source_tokenizer is not None:
            return [*self.source_tokenizer.encode(text), special.eos]
        return [*[special.bos] * self.manifest.opens_with_bos, *self.tokenizer.encode(text)]


class UnknownModelError(ValueError):
    """No model has this name. `known` are those there are."""

    def __init__(self, reference: str, known: Sequence[str]) -> None:
        super().__init__(f"no model {reference!r} here; there are {', '.join(known)}")
        self.reference = reference
        self.known = tuple(known)


class Models:
    """Models by name. A name alone means its newest version."""

    def __init__(self, models: Iterable[ServedModel]) -> None:
        in_order = sorted(models, key=lambda model: (model.manifest.name, model.manifest.version))
        self._by_reference = {model.reference: model for model in in_order}
        self._newest = {model.manifest.name: model for model in in_order}

    def __iter__(self) -> Iterator[ServedModel]:
        """Every version of every model, sorted by name and version."""
        return iter(self._by_reference.values())

    def find(self, reference: str) -> ServedModel:
        """Return the model called "name" or "name@version". Raises UnknownModelError."""
        model = self._by_reference.get(reference) or self._newest.get(reference)
        if model is None:
            raise UnknownModelError(reference, self.references)
        return model

    @property
    def references(self) -> list[str]:
        """Every "name@version", sorted."""
        return list(self._by_reference)

    @property
    def names(self) -> list[str]:
        """Every name that `find` knows."""
        return [*self._newest, *self._by_reference]


def load_models(
    folder: Path,
    device: Device,
    threads: int,
    settings: EngineSettings,
    name: str | None = None,
    spin: bool | None = None,
) -> Models:
    """Open every bundle of `folder`, or every version of the model `name`, for running on `device`.

    threads, spin: how steps compute; 0 and None mean what is found best (bundle/threads.py).

    Raises:
        BundleError: a bundle is not what its manifest says, or there is none.
        DeviceError: the device cannot be used.
    """
    paths = [path for path in find_bundles(folder) if name in (None, path.parent.name)]
    if not paths:
        raise BundleError(f"{folder}: holds no bundle ({name or '<name>'}/<version>/bundle.json)")
    return Models([_load_model(open_bundle(path), settings, device, threads, spin) for path in paths])


def _load_model(
    bundle: Bundle, settings: EngineSettings, device: Device, threads: int, spin: bool | None
) -> ServedModel:
    manifest = bundle.manifest
    tokenizer = _load_tokenizer(bundle, TOKENIZER, manifest.vocabulary_size)
    source_tokenizer = None
    if manifest.source_vocabulary_size is not None:
        source_tokenizer = _load_tokenizer(bundle, SOURCE_TOKENIZER, manifest.source_vocabulary_size)
    runner = open_runner(bundle, device, threads, spin)
    chat = None
    if CHAT_TEMPLATE in manifest.files:
        chat = Chat.load(bundle.path / CHAT_TEMPLATE, bundle.path / TOKENIZER, manifest.special_tokens)
    return ServedModel(manifest, tokenizer, source_tokenizer, runner.placement, Engine(runner, settings), chat)


def _load_tokenizer(bundle: Bundle, name: str, vocabulary_size: int) -> Tokenizer:
    return Tokenizer.load(bundle.path / name, vocabulary_size)
