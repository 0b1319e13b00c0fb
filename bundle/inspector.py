"""Looking into a model: its inspection graph reads whole sequences, apart from the rows that the step graph runs.

The graph is opened at the first look, so a server that nobody asks pays nothing for it. It runs on the CPU wherever the
model runs, in one thread, and gives its memory back. Knows nothing about requests or text.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from bundle.device import open_session, session_options
from bundle.folder import INSPECT_GRAPH, Bundle, BundleError
from bundle.manifest import Manifest
from bundle.signature import check_inspection

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]

LOGITS = "logits"


class Inspector:
    """The inspection graph of a bundle. Threads may use it at the same time."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        """Take a bundle that has views. threads: that compute inside a look."""
        assert bundle.manifest.views, "this bundle has no inspection graph"
        self.manifest: Manifest = bundle.manifest
        self._bundle = bundle
        self._threads = threads
        self._opening = Lock()
        self._session: onnxruntime.InferenceSession | None = None

    @property
    def is_open(self) -> bool:
        """Whether the graph has been opened."""
        return self._session is not None

    def open(self) -> onnxruntime.InferenceSession:
        """Return the session, opened now if it was not yet.

        Raises:
            BundleError: the graph does not load, or has not the inputs and outputs of the manifest.
        """
        with self._opening:
            if self._session is None:
                session = _open(self._bundle, self._threads)
                check_inspection(self._bundle, session)
                self._session = session
            return self._session

    def try_out(self) -> None:
        """Look at the shortest sequence, so that a graph which cannot run is found. Raises BundleError."""
        special = self.manifest.special_tokens
        source = np.array([special.eos], np.int64) if self.manifest.has_start else None
        self.look(np.array([special.bos], np.int64), source, [view.output for view in self.manifest.views])

    def look(self, tokens: Ids, source: Ids | None, outputs: Sequence[str]) -> dict[str, Floats]:
        """Read `tokens` [T], and `source` [S] where there is an encoder; return the `outputs` asked for.

        Each is the name of a view (`ViewSpec.output`), without the axis of the batch: attention [heads, rows, columns],
        all else [times, units]; or "logits" [T, V]. All are computed, whatever is asked for: ONNX Runtime runs whole
        graphs (`RunOptions.only_execute_path_to_fetches` changes nothing in its builds for inference).

        Raises BundleError as `open`, and where the graph does not run.
        """
        feeds = {"tokens": tokens[None]} | ({} if source is None else {"source": source[None]})
        session, options = self.open(), onnxruntime.RunOptions()
        options.log_severity_level = 4
        try:
            found = session.run(list(outputs), feeds, options)
        except Exception as error:  # noqa: BLE001 the errors of ONNX Runtime have no class in common
            where = self._bundle.path / INSPECT_GRAPH
            raise BundleError(f"{where}: does not run: {next(iter(str(error).splitlines()), '')}") from None
        return {name: array[0] for name, array in zip(outputs, found, strict=True)}


def _open(bundle: Bundle, threads: int) -> onnxruntime.InferenceSession:
    path = bundle.path / INSPECT_GRAPH
    options = session_options(threads)
    options.enable_cpu_mem_arena = False  # a look takes much memory for a moment
    try:
        return open_session(str(path), options, "cpu")
    except Exception as error:  # noqa: BLE001 the errors of ONNX Runtime have no class in common
        raise BundleError(f"{path}: ONNX Runtime does not load it: {str(error).splitlines()[0]}") from None
