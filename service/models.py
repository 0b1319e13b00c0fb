"""The models of one server: the versions that are served, and those that go. Changed on the event loop only.

Knows nothing about gRPC, nor how models are loaded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bundle.inspector import Inspector
from bundle.manifest import Manifest
from bundle.runner import Placement
from bundle.tokenizer import Tokenizer
from service.chat import Chat
from service.engine import Engine
from service.request import Drafts
from service.statistics import Statistics
from service.users import Users


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One version of one model.

    source_tokenizer: of what the encoder reads, None for models without a source.
    chat: how messages become a prompt, None for models that take none.
    inspector: what looks into it, None where it was exported without views.
    drafters: models that may propose tokens to it: "name@version" by all that they are called.
    drafts: what proposes where a request does not say, or None.
    users: the calls that it answers.
    statistics: of the generations that it was asked for.
    load_seconds: that it took to open.
    """

    manifest: Manifest
    tokenizer: Tokenizer
    source_tokenizer: Tokenizer | None
    placement: Placement
    engine: Engine
    chat: Chat | None = None
    inspector: Inspector | None = None
    drafters: Mapping[str, str] = field(default_factory=dict)
    drafts: Drafts | None = None
    users: Users = field(default_factory=Users)
    statistics: Statistics = field(default_factory=Statistics)
    load_seconds: float = 0.0

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
    """Models by name. A name alone means its newest version.

    revision: counts the changes.
    """

    def __init__(self, models: Iterable[ServedModel] = ()) -> None:
        self.revision = 0
        self._news = asyncio.Event()
        self._assign(models, ())

    def __iter__(self) -> Iterator[ServedModel]:
        """Every version of every model that takes requests, sorted by name and version."""
        return iter(self._by_reference.values())

    @property
    def leaving(self) -> tuple[ServedModel, ...]:
        """Versions that take no new requests, and run those that they have."""
        return self._leaving

    @property
    def loaded(self) -> list[ServedModel]:
        """Every version that has an engine, sorted by name and version."""
        return _in_order((*self._by_reference.values(), *self._leaving))

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

    def assign(self, models: Iterable[ServedModel], leaving: Iterable[ServedModel] = ()) -> None:
        """Serve these from now on, and none that is not among them; those that leave keep what runs."""
        self._assign(models, leaving)
        self.revision += 1
        # Whoever waits now has its own event; those that come wait for the next change.
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def changed(self, since: int) -> int:
        """Return the revision once it is another than `since`."""
        while self.revision == since:
            await self._news.wait()
        return self.revision

    def _assign(self, models: Iterable[ServedModel], leaving: Iterable[ServedModel]) -> None:
        in_order = _in_order(models)
        # New dictionaries: metrics are read on another thread.
        self._by_reference = {model.reference: model for model in in_order}
        self._newest = {model.manifest.name: model for model in in_order}
        self._leaving = tuple(leaving)


def _in_order(models: Iterable[ServedModel]) -> list[ServedModel]:
    return sorted(models, key=lambda model: (model.manifest.name, model.manifest.version))
