"""The inspection graph of a bundle: opened when it is first asked, and checked against the manifest then."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bundle.folder import Bundle, BundleError, open_bundle
from bundle.inspector import Inspector
from bundle.manifest import Manifest
from tests.exported import Bundles


def test_nothing_is_opened_before_the_first_look(bundles: Bundles) -> None:
    inspector = Inspector(open_bundle(bundles.path("transformer")))
    assert not inspector.is_open
    found = inspector.look(np.array([1, 5, 6]), np.array([7, 8, 9, 2]), ["decoder_1_cross_attention", "logits"])
    assert inspector.is_open
    assert found["decoder_1_cross_attention"].shape == (4, 3, 4)
    assert found["logits"].shape == (3, inspector.manifest.vocabulary_size)


def test_what_is_asked_alone_is_what_is_asked_with_everything(bundles: Bundles) -> None:
    inspector = Inspector(open_bundle(bundles.path("lstm")))
    tokens, outputs = np.arange(5, 40), [view.output for view in inspector.manifest.views]
    everything = inspector.look(tokens, None, outputs)
    for output in outputs:
        assert np.array_equal(inspector.look(tokens, None, [output])[output], everything[output])


def test_a_graph_without_a_view_of_the_manifest_is_refused(bundles: Bundles) -> None:
    bundle = open_bundle(bundles.path("gru"))
    missing = bundle.manifest.views[0].model_copy(update={"name": "other_gate"})
    wrong = Bundle(bundle.path, bundle.manifest.model_copy(update={"views": (missing,)}))
    inspector = Inspector(wrong)
    for _ in range(2):
        with pytest.raises(BundleError, match=r"inspect.onnx: output 'decoder_0_other_gate' is missing"):
            inspector.open()
    assert not inspector.is_open


def test_a_manifest_with_views_needs_their_graph(bundles: Bundles, tmp_path: Path) -> None:
    path = tmp_path / "gru" / "1"
    shutil.copytree(bundles.path("gru"), path)
    content = json.loads((path / "bundle.json").read_text())
    del content["files"]["inspect.onnx"]
    (path / "inspect.onnx").unlink()
    (path / "bundle.json").write_text(json.dumps(content))
    with pytest.raises(BundleError, match=r"files does not list inspect.onnx"):
        open_bundle(path)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"kind": "cross", "part": "encoder"}, "no attention of kind 'cross' is in the encoder"),
        ({"kind": "heat"}, "Input should be"),
        ({"size": 0}, "greater than or equal to 1"),
    ],
)
def test_a_view_that_cannot_be_is_refused(bundles: Bundles, changed: dict[str, object], reason: str) -> None:
    content = open_bundle(bundles.path("gru")).manifest.model_dump()
    content["views"] = [content["views"][0] | changed]
    with pytest.raises(ValueError, match=reason):
        Manifest.model_validate(content)


def test_two_views_of_one_name_in_a_layer_are_refused(bundles: Bundles) -> None:
    content = open_bundle(bundles.path("gru")).manifest.model_dump()
    content["views"] = [content["views"][0]] * 2
    with pytest.raises(ValueError, match="views: every name may appear once in a layer"):
        Manifest.model_validate(content)
