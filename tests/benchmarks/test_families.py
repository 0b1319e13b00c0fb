from pathlib import Path

from benchmarks.families import MODELS, read_losses, state_bytes
from bundle.folder import open_bundle
from tests.exported import Bundles
from training.models.families import FAMILIES


def test_every_family_is_measured_and_every_language_model_has_its_loss() -> None:
    assert {family for family, _ in MODELS.values()} == set(FAMILIES)
    losses = read_losses(Path("docs/compare.md").read_text(encoding="utf-8"))
    languages = [name for name, (family, _) in MODELS.items() if FAMILIES[family].task == "language"]
    assert sorted(losses) == sorted(languages)
    assert all(1 < float(loss) < 10 for loss in losses.values())


def test_a_row_holds_the_bytes_of_its_states(bundles: Bundles) -> None:
    manifest = open_bundle(bundles.path("gru")).manifest
    assert state_bytes(manifest) == sum(4 * spec.shape[0] for spec in manifest.states)
