"""The models that promises are measured on: tiny ones of every family, those of the tests, exported once for both."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bundle.folder import open_bundle
from bundle.manifest import CacheName, Manifest, PrecisionName
from tests.exported import Bundles, open_bundles
from tests.tiny import TINY

_CACHE = Path(__file__).parents[2] / ".pytest_cache" / "bundles"


@dataclass(frozen=True, slots=True)
class Kind:
    """How weights and caches are kept."""

    precision: PrecisionName
    cache: CacheName = "float"

    @property
    def name(self) -> str:
        """The same in words."""
        return self.precision if self.cache == "float" else f"{self.precision} with caches in 8 bits"


# What the tests export in these; models that multiply by nothing have float32 alone, those without attention no caches.
_BLOCKS = ("gru", "transformer-lm", "transformer")
_ROUNDED = (*_BLOCKS, "gru-seq2seq", "lstm", "naive", "ar", "latent", "rnn-tanh", "transformer-lm-query-key-norm")
_CACHED = ("transformer-lm", "transformer-lm-learned", "transformer-lm-query-key-norm", "transformer")
LABELS: dict[Kind, tuple[str, ...]] = {
    Kind("fp32"): tuple(sorted(TINY)),
    Kind("w8a8"): _ROUNDED,
    Kind("int8"): _BLOCKS,
    Kind("int4"): _BLOCKS,
    Kind("fp32", "int8"): _CACHED,
    Kind("w8a8", "int8"): ("transformer-lm",),
}
QUICK_LABELS: dict[Kind, tuple[str, ...]] = {Kind("fp32"): _BLOCKS}


def tiny(kind: Kind, labels: Iterable[str], folder: Path) -> Path:
    """Make a folder of models in `folder`, of the tiny ones; each is exported when it is first asked for."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    bundles, models = open_bundles(_CACHE), folder / f"{kind.precision}-{kind.cache}"
    for label in labels:
        place = models / label / "1"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(_exported(bundles, label, kind).resolve())
    return models


def manifests(models: Path) -> dict[str, Manifest]:
    """Return the manifest of version 1 of every model in a folder."""
    return {path.parent.name: open_bundle(path).manifest for path in sorted(models.glob("*/1"))}


def _exported(bundles: Bundles, label: str, kind: Kind) -> Path:
    if kind == Kind("fp32"):
        return bundles.path(label)
    return bundles.precise(label, kind.precision, kind.cache)
