"""Where things lie: the folder of models and results, the peers' interpreters, llama.cpp's programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """What every part of a run must know.

    Attributes:
        folder: for models, texts and results.
        python: interpreter of the peers' environment.
        openvino_python: of the environment in which checkpoints become OpenVINO's.
        triton_python: of the environment in which PyTriton runs.
        llama: folder of llama-server, llama-quantize and llama-perplexity.
        threads: that compute, in every system.
        quick: only try whether everything runs: one round of few tokens; the figures mean nothing.
    """

    folder: Path
    python: Path
    openvino_python: Path
    triton_python: Path
    llama: Path
    threads: int = 2
    quick: bool = False

    def model(self, name: str) -> Path:
        """Return where the model of that name lies, ours and the peers'."""
        return self.folder / "models" / name

    @property
    def results(self) -> Path:
        return self.folder / ("results-quick" if self.quick else "results")
