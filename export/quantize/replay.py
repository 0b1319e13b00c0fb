"""Running graphs over rows of text, one at a time from the initial state, and looking at values inside them.

Unlike a bundle's runner it takes graphs that are not on disk, with outputs and inputs beside those that are declared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from bundle.device import open_session, session_options
from bundle.folder import START_GRAPH, STEP_GRAPH
from bundle.manifest import Manifest
from export.quantize.constants import Floats
from export.quantize.text import Row
from export.weights import write_graph

# A value of a graph: the graph's file, the value's name.
Place = tuple[str, str]
Array = NDArray[np.generic]


class Replay:
    """Sessions of a step graph and, if there is one, a start graph."""

    def __init__(
        self,
        graphs: Iterable[tuple[str, ModelProto]],
        manifest: Manifest,
        watched: Sequence[Place] = (),
        threads: int = 0,
    ) -> None:
        """Open `graphs`, by the names of their files. watched: float values whose contents every run returns."""
        self._watched = {
            name: [value for graph, value in watched if graph == name] for name in (STEP_GRAPH, START_GRAPH)
        }
        with tempfile.TemporaryDirectory() as folder:
            # Weights go through files: ONNX Runtime maps them, and no second graph lies in memory while it opens one.
            paths = {name: _write(model, self._watched[name], Path(folder) / name) for name, model in graphs}
            self._sessions = {name: _open(path, threads) for name, path in paths.items()}
        self._zeros = {spec.name: np.zeros((1, *spec.shape), spec.dtype) for spec in manifest.states}

    def run(
        self, row: Row, more: Mapping[str, Mapping[str, Array]] | None = None
    ) -> tuple[Floats, dict[Place, Floats]]:
        """Feed `row`; return the logits [T, V] at every position, and the watched values.

        more: further inputs of each graph, by name.
        """
        more = more or {}
        state: dict[str, Array] = dict(self._zeros)
        seen: dict[Place, Floats] = {}
        if row.source is not None:
            fed = {"source": row.source[None], "lengths": np.array([len(row.source)])}
            made = self._run(START_GRAPH, {**fed, **more.get(START_GRAPH, {})})
            seen |= {(START_GRAPH, name): made.pop(name) for name in self._watched[START_GRAPH]}
            state |= made
        tokens = row.tokens[:-1]
        count = len(tokens)
        fed = {"tokens": tokens[None], "lengths": np.array([count]), "logits_indices": np.arange(count)}
        made = self._run(STEP_GRAPH, {**fed, **state, **more.get(STEP_GRAPH, {})}, ["logits"])
        seen |= {(STEP_GRAPH, name): made[name] for name in self._watched[STEP_GRAPH]}
        return made["logits"], seen

    def _run(self, name: str, inputs: Mapping[str, Array], outputs: Sequence[str] = ()) -> dict[str, Floats]:
        session = self._sessions[name]
        declared = {value.name for value in session.get_inputs()}
        wanted = [*outputs, *self._watched[name]] if outputs else [value.name for value in session.get_outputs()]
        values = session.run(wanted, {key: value for key, value in inputs.items() if key in declared})
        return dict(zip(wanted, values, strict=True))


def _write(model: ModelProto, watched: Sequence[str], path: Path) -> Path:
    """Write a copy of `model` with further outputs, those that it does not have."""
    copy = ModelProto()
    copy.CopyFrom(model)
    given = {value.name for value in model.graph.output}
    more = [name for name in watched if name not in given]
    copy.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in more)
    write_graph(copy, path, path.with_suffix(".data"))
    return path


def _open(path: Path, threads: int) -> onnxruntime.InferenceSession:
    return open_session(str(path), session_options(threads), "cpu")
