"""The models that promises are measured on: tiny ones of every family, those of the tests, exported once for both."""

from __future__ import annotations

from pathlib import Path

from bundle.folder import open_bundle
from bundle.manifest import Manifest, PrecisionName
from tests.exported import Bundles, open_bundles

_CACHE = Path(__file__).parents[2] / ".pytest_cache" / "bundles"


def tiny() -> Bundles:
    """Return the tiny models; each is exported when it is first asked for."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    return open_bundles(_CACHE)


def exported(bundles: Bundles, label: str, precision: PrecisionName) -> Path:
    """Return the folder of version 1 of `label` in a precision."""
    return bundles.path(label) if precision == "fp32" else bundles.precise(label, precision)


def folder_of(paths: dict[str, Path], folder: Path) -> Path:
    """Make `folder` one of models, with these bundles by their names, and return it."""
    for name, path in paths.items():
        place = folder / name / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(path.resolve())
    return folder


def manifests(models: Path) -> dict[str, Manifest]:
    """Return the manifest of version 1 of every model in a folder."""
    return {path.parent.name: open_bundle(path).manifest for path in sorted(models.glob("*/1"))}
