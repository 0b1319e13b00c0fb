from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bundle.folder import MANIFEST, open_bundle
from bundle.manifest import Manifest, StateSpec
from tests.exported import Bundles
from tests.tiny import TINY


@pytest.fixture
def fields(bundles: Bundles) -> dict[str, Any]:
    return open_bundle(bundles.path("transformer-lm")).manifest.model_dump()


@pytest.mark.parametrize("label", TINY)
def test_a_manifest_reads_back_as_it_was_written(bundles: Bundles, label: str) -> None:
    path: Path = bundles.path(label)
    manifest = open_bundle(path).manifest
    assert Manifest.model_validate_json((path / MANIFEST).read_text(encoding="utf-8")) == manifest
    assert manifest.states == bundles.subject(label).model.states


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "../x"}, "String should match pattern"),
        ({"name": ""}, "String should match pattern"),
        ({"version": 0}, "greater than or equal to 1"),
        ({"context_limit": 1}, "greater than or equal to 2"),
        ({"precision": "int3"}, "Input should be 'fp32'"),
        ({"unknown": 1}, "Extra inputs are not permitted"),
        ({"top_k": 5_000}, "top_k: 5000 is larger than the vocabulary"),
        ({"special_tokens": {"pad": 5_000, "bos": 1, "eos": 2}}, "special_tokens.pad: 5000 is outside"),
        ({"parity": {"checks": [], "greedy_tokens_compared": float("nan")}}, "finite number"),
    ],
)
def test_a_field_that_is_not_allowed_is_refused(fields: dict[str, Any], changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Manifest.model_validate({**fields, **changed})


def test_state_names_are_unique(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="every name may appear once"):
        Manifest.model_validate({**fields, "states": [fields["states"][0]] * 2})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": "cache"}, "a cache needs the axis along which it grows"),
        ({"axis": 2}, r"axis 2 is outside of shape \(3, 4\)"),
        ({"shape": (0,)}, "greater than or equal to 1"),
        ({"dtype": "float64"}, "Input should be 'float32'"),
        ({"name": "Key 0"}, "String should match pattern"),
        ({"counter": True}, "a counter is one recurrent int64 for each row"),
    ],
)
def test_a_state_that_cannot_be_is_refused(changed: dict[str, Any], message: str) -> None:
    fields = {"name": "key", "kind": "recurrent", "dtype": "float32", "shape": (3, 4)}
    with pytest.raises(ValidationError, match=message):
        StateSpec.model_validate({**fields, **changed})


def test_a_manifest_does_not_change(bundles: Bundles) -> None:
    manifest = open_bundle(bundles.path("markov")).manifest
    with pytest.raises(ValidationError, match="frozen"):
        manifest.name = "other"


@pytest.mark.parametrize("label", TINY)
def test_rows_rewind_where_all_that_changes_is_caches_and_counters(bundles: Bundles, label: str) -> None:
    assert open_bundle(bundles.path(label)).manifest.rewinds == label.startswith("transformer")
