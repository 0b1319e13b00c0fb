import json
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from bundle.folder import MANIFEST, STEP_GRAPH, BundleError, digest, find_bundles, open_bundle
from bundle.runner import Runner
from tests.exported import Bundles

Edit = Callable[[Path], None]


@pytest.fixture
def path(bundles: Bundles, tmp_path: Path) -> Path:
    """A copy of a bundle with all files, to be spoiled."""
    return Path(shutil.copytree(bundles.path("gru-seq2seq"), tmp_path / "gru-seq2seq" / "1"))


def edit(path: Path, **fields: object) -> None:
    """Change fields of bundle.json by hand."""
    content = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    (path / MANIFEST).write_text(json.dumps({**content, **fields}), encoding="utf-8")


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def refusal(path: Path) -> str:
    with pytest.raises(BundleError) as error:
        open_bundle(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_bundle_opens_and_every_file_in_it_is_listed(path: Path) -> None:
    bundle = open_bundle(path)
    assert bundle.reference == "gru-seq2seq@1"
    assert {file.name for file in path.iterdir()} == {*bundle.manifest.files, MANIFEST}
    assert bundle.manifest.has_start


@pytest.mark.parametrize("name", ["step.onnx", "start.onnx", "tokenizer.json", "source_tokenizer.json"])
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (Path.unlink, "is listed in bundle.json and missing"),
        (lambda file: file.write_bytes(file.read_bytes()[:100]), "has 100 bytes, bundle.json says "),
        (flip_a_byte, "SHA-256 differs from bundle.json"),
    ],
    ids=["missing", "truncated", "corrupted"],
)
def test_a_spoiled_file_is_named_with_the_reason(path: Path, name: str, spoil: Edit, reason: str) -> None:
    spoil(path / name)
    assert refusal(path).startswith(f"{path / name}: {reason}")


def test_a_file_that_is_a_link_is_refused(path: Path, tmp_path: Path) -> None:
    (path / "step.onnx").rename(tmp_path / "step.onnx")
    (path / "step.onnx").symlink_to(tmp_path / "step.onnx")
    assert refusal(path) == f"{path / MANIFEST}: files: 'step.onnx' is not a plain file name"


def test_a_file_that_is_not_listed_is_refused_since_a_graph_could_name_it(path: Path) -> None:
    (path / "step.onnx.data").write_bytes(b"weights")
    assert refusal(path) == f"{path / 'step.onnx.data'}: is not listed in bundle.json"


@pytest.mark.parametrize("weights", ["../secret.data", "{tmp}/secret.data", "link.data"])
def test_a_graph_reads_no_weights_from_outside_of_its_folder(path: Path, tmp_path: Path, weights: str) -> None:
    bundle = open_bundle(path)
    for secret in (path.parent / "secret.data", tmp_path / "secret.data"):
        secret.write_bytes(bytes(16))
    (path / "link.data").symlink_to(tmp_path / "secret.data")
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=weights.format(tmp=tmp_path))
    x, y = (onnx.helper.make_tensor_value_info(name, 1, [4]) for name in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [tensor])
    opsets = [onnx.helper.make_opsetid("", 23)]
    onnx.save(onnx.helper.make_model(graph, ir_version=10, opset_imports=opsets), path / "step.onnx")
    with pytest.raises(BundleError, match=r"ONNX Runtime does not load it: .*External data path"):
        Runner(bundle, threads=1)


@pytest.mark.parametrize("name", ["../../secret", "sub/step.onnx"])
def test_a_manifest_cannot_name_files_elsewhere(path: Path, name: str) -> None:
    files = json.loads((path / MANIFEST).read_text())["files"]
    edit(path, files={**files, name: files["step.onnx"]})
    assert refusal(path) == f"{path / MANIFEST}: files: {name!r} is not a plain file name"


def test_a_manifest_must_list_the_files_that_the_model_needs(path: Path) -> None:
    files = json.loads((path / MANIFEST).read_text())["files"]
    edit(path, files={name: entry for name, entry in files.items() if name != "start.onnx"})
    assert refusal(path) == f"{path / MANIFEST}: files does not list start.onnx"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"name": "other"}, "says that it is other/1 and lies in gru-seq2seq/1"),
        ({"version": 2}, "says that it is gru-seq2seq/2 and lies in gru-seq2seq/1"),
        ({"format_version": 2}, "format_version is 2, this program reads 1"),
        ({"vocabulary_size": "many"}, "vocabulary_size: "),
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
        ({"top_k": 10_000}, "manifest: Value error, top_k: 10000 is larger than the vocabulary"),
        ({"special_tokens": {"pad": 0, "bos": 1, "eos": 99_999}}, "manifest: Value error, special_tokens.eos: 99999 "),
        ({"states": [{"name": "h", "kind": "cache", "dtype": "float32", "shape": [3]}]}, "states.0: Value error, "),
    ],
)
def test_a_manifest_edited_by_hand_is_refused_by_field(path: Path, fields: dict[str, object], reason: str) -> None:
    edit(path, **fields)
    assert refusal(path).startswith(f"{path / MANIFEST}: {reason}")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not readable as JSON"), (b'{"name": ', "not readable as JSON"), (b"\xff\xfe", "not readable as JSON"),
        (b"[]", "manifest: "), (b"{}", "format_version is None, this program reads 1"),
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_refused(path: Path, content: bytes, reason: str) -> None:
    (path / MANIFEST).write_bytes(content)
    assert refusal(path).startswith(f"{path / MANIFEST}: {reason}")


def test_a_folder_without_a_manifest_is_refused(path: Path) -> None:
    (path / MANIFEST).unlink()
    assert refusal(path) == f"{path / MANIFEST}: no such file"


def test_bundles_are_found_in_order_and_nothing_else_is(path: Path) -> None:
    models = path.parents[1]
    for version in ("10", "2", ".export-x", "draft"):
        shutil.copytree(path, path.parent / version)
    shutil.copytree(path.parent, models / "another")
    (models / "another" / "2" / MANIFEST).unlink()
    found = [str(bundle.relative_to(models)) for bundle in find_bundles(models)]
    assert found == ["another/1", "another/10", "gru-seq2seq/1", "gru-seq2seq/2", "gru-seq2seq/10"]


def test_a_folder_of_models_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such folder of models"):
        find_bundles(tmp_path / "models")


def test_digest_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert digest(tmp_path / "a").startswith("ba7816bf8f01cfea")


def test_hashing_with_rests_finds_what_is_wrong_too(path: Path) -> None:
    assert open_bundle(path, share=0.5).manifest == open_bundle(path).manifest
    graph = bytearray((path / STEP_GRAPH).read_bytes())
    graph[-1] ^= 1
    (path / STEP_GRAPH).write_bytes(graph)
    with pytest.raises(BundleError, match=f"SHA-256 differs from {MANIFEST}"):
        open_bundle(path, share=0.5)
