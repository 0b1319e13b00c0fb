"""Whether a graph has the inputs and outputs that its manifest declares. Reads shapes and types, runs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from bundle.folder import INSPECT_GRAPH, START_GRAPH, STEP_GRAPH, Bundle, BundleError
from bundle.manifest import StateSpec

ONNX_TYPES = {
    "float32": "tensor(float)",
    "float16": "tensor(float16)",
    "int8": "tensor(int8)",
    "int64": "tensor(int64)",
    "int32": "tensor(int32)",
}

Axis = int | str | None


class Value(Protocol):
    """An input or output of a session: its name, element type and shape, symbolic axes as text or None."""

    name: str
    type: str
    shape: Sequence[Axis]


class Graph(Protocol):
    def get_inputs(self) -> Sequence[Value]: ...

    def get_outputs(self) -> Sequence[Value]: ...


def check_step(bundle: Bundle, graph: Graph) -> None:
    """Check the step graph. A dynamic axis is written "". Raises BundleError at the first difference."""
    manifest = bundle.manifest
    ids, floats = "tensor(int64)", "tensor(float)"
    inputs: dict[str, tuple[str, tuple[Axis, ...]]] = {
        "tokens": (ids, ("", "")), "lengths": (ids, ("",)), "logits_indices": (ids, ("",)),
        **{spec.name: _expected(spec) for spec in manifest.states},
    }  # fmt: skip
    outputs: dict[str, tuple[str, tuple[Axis, ...]]] = {
        "logits": (floats, ("", manifest.vocabulary_size)),
        "top_values": (floats, ("", manifest.top_k)), "top_indices": (ids, ("", manifest.top_k)),
        **{f"{spec.name}_next": _expected(spec) for spec in manifest.states if spec.kind != "static"},
    }  # fmt: skip
    where = str(bundle.path / STEP_GRAPH)
    _compare(where, "input", inputs, graph.get_inputs())
    _compare(where, "output", outputs, graph.get_outputs())


def check_start(bundle: Bundle, graph: Graph) -> None:
    """Check the start graph: its outputs are some of the declared states, none a cache. Raises BundleError."""
    where = str(bundle.path / START_GRAPH)
    ids = "tensor(int64)"
    _compare(where, "input", {"source": (ids, ("", "")), "lengths": (ids, ("",))}, graph.get_inputs())
    made = {output.name for output in graph.get_outputs()}
    expected = {spec.name: _expected(spec) for spec in bundle.manifest.states if spec.kind != "cache"}
    static = {spec.name for spec in bundle.manifest.states if spec.kind == "static"}
    wanted = {name: value for name, value in expected.items() if name in made | static}
    _compare(where, "output", wanted, graph.get_outputs())


def check_inspection(bundle: Bundle, graph: Graph) -> None:
    """Check the inspection graph: whole sequences in, logits and every declared view out. Raises BundleError."""
    manifest, where = bundle.manifest, str(bundle.path / INSPECT_GRAPH)
    names = ("tokens", "source") if manifest.has_start else ("tokens",)
    inputs: dict[str, tuple[str, tuple[Axis, ...]]] = dict.fromkeys(names, ("tensor(int64)", (1, "")))
    outputs: dict[str, tuple[str, tuple[Axis, ...]]] = {
        "logits": ("tensor(float)", (1, "", manifest.vocabulary_size)),
        **{
            view.output: ("tensor(float)", (1, view.size, "", "") if view.is_attention else (1, "", view.size))
            for view in manifest.views
        },
    }
    _compare(where, "input", inputs, graph.get_inputs())
    _compare(where, "output", outputs, graph.get_outputs())


def _expected(spec: StateSpec) -> tuple[str, tuple[Axis, ...]]:
    return ONNX_TYPES[spec.dtype], ("", *spec.shape)


def _compare(where: str, role: str, wanted: dict[str, tuple[str, tuple[Axis, ...]]], found: Iterable[Value]) -> None:
    given = {value.name: value for value in found}
    for name in wanted.keys() - given.keys():
        raise BundleError(f"{where}: {role} {name!r} is missing")
    for name in given.keys() - wanted.keys():
        raise BundleError(f"{where}: {role} {name!r} is not in the manifest")
    for name, (element, shape) in wanted.items():
        value = given[name]
        actual = tuple(axis if isinstance(axis, int) else "" for axis in value.shape)
        if (value.type, actual) != (element, shape):
            raise BundleError(
                f"{where}: {role} {name!r} is {value.type}{_text(actual)}, the manifest says {element}{_text(shape)}"
            )


def _text(shape: tuple[Axis, ...]) -> str:
    return "[" + ", ".join(str(axis) if axis != "" else "dynamic" for axis in shape) + "]"
