"""Exporting an inspection graph: its gate, and who is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bundle.folder import open_bundle
from bundle.inspector import Inspector
from export.quantize.precision import Precision
from export.write import Target, write_bundle
from tests.exported import MAX_LOSS, Bundles
from tests.tiny import TINY, tiny_model


@pytest.mark.parametrize("label", [label for label in TINY if tiny_model(label).views])
def test_views_are_listed_in_the_manifest_and_passed_their_gate(bundles: Bundles, label: str) -> None:
    manifest = open_bundle(bundles.path(label)).manifest
    assert manifest.views == bundles.subject(label).model.views
    checks = {check.name: check for check in manifest.parity.checks}
    for name in ("views as torch", "views as served", "attention sums", "views within"):
        assert checks[name].largest_error <= checks[name].tolerance <= 1e-4
        assert len(checks[name].shapes) >= 5


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Sum", "Sum declares no views: there is nothing to show (StepModel.views)"),
        ("ShowsNothing", "check 'traces' failed: NotImplementedError: ShowsNothing declares views and has no look()"),
        ("ShowsOther", "check 'views as served' failed at 1x1: error "),
        ("ShowsAhead", "check 'views within' failed at 1x2: error "),
        ("ShowsTooMuch", "check 'attention sums' failed at 1x1: error "),
    ],
)
def test_wrong_views_are_refused_in_one_line_and_leave_nothing(
    export_own: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, message: str
) -> None:
    assert export_own(name, "--with-attention") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"export: refused, nothing written: {message}")
    assert not (tmp_path / "models").exists()


def test_a_rounded_bundle_shows_the_model_before_rounding(bundles: Bundles, tmp_path: Path) -> None:
    precision = Precision("w8a8", MAX_LOSS, bundles.text("gru"))
    bundle = write_bundle(bundles.subject("gru"), Target(tmp_path, "gru", 1), 1, precision, views=True)
    assert bundle.manifest.precision == "w8a8"
    tokens, outputs = np.arange(5, 30), [view.output for view in bundle.manifest.views]
    rounded = Inspector(bundle).look(tokens, None, outputs)
    plain = Inspector(open_bundle(bundles.path("gru"))).look(tokens, None, outputs)
    for output in outputs:
        np.testing.assert_array_equal(rounded[output], plain[output])


def test_a_bundle_without_views_says_nothing_of_them(
    export_own: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert export_own("Shows") == 0
    path = tmp_path / capsys.readouterr().out.splitlines()[-1]
    assert "views" not in json.loads((path / "bundle.json").read_text())
    assert not (path / "inspect.onnx").exists()


def test_a_model_from_outside_shows_what_it_declares(
    export_own: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert export_own("Shows", "--with-attention") == 0
    bundle = open_bundle(tmp_path / capsys.readouterr().out.splitlines()[-1])
    assert [view.output for view in bundle.manifest.views] == ["decoder_0_uniform", "decoder_0_total"]
    assert bundle.manifest.files["inspect.onnx"].bytes > 0
