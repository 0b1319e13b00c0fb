"""CTranslate2: its own batches, prompts fed up to the shortest at once and the rest step by step, as it does.

python -m benchmarks.peers.systems.ctranslate FOLDER THREADS
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import ctranslate2
import numpy as np
from tokenizers import Tokenizer

from benchmarks.peers.systems.answers import Generated, Peer, Watch, serve

# Named as the end, since it never comes: so the true end token is taken as any other.
NO_END = "<|endoftext|>"


class CTranslate(Peer):
    """A converted model."""

    def __init__(self, folder: str, threads: int) -> None:
        self._generator = ctranslate2.Generator(folder, intra_threads=threads, inter_threads=1)
        self._tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))

    def generate(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Generated:
        watch = Watch(len(prompts))

        def arrived(step: ctranslate2.GenerationStepResult) -> bool:
            watch.tick(step.batch_id)
            return False

        results = self._generator.generate_batch(
            [[self._tokenizer.id_to_token(token) for token in prompt] for prompt in prompts],
            beam_size=1,
            min_length=new_tokens,
            max_length=new_tokens,
            end_token=NO_END,
            include_prompt_in_result=False,
            callback=arrived,
        )
        return Generated(watch.arrivals, [list(result.sequences_ids[0]) for result in results])

    def loss(self, windows: Sequence[Sequence[int]], first: int) -> float:
        total = 0.0
        for window in windows:
            scores = self._generator.forward_batch([list(window)], return_log_probs=True)
            rows = np.array(scores)[0].astype(np.float64)
            places = np.arange(first, len(window) - 1)
            total -= float(rows[places, np.array(window)[places + 1]].sum())
        return total


if __name__ == "__main__":
    serve(lambda: CTranslate(sys.argv[1], int(sys.argv[2])))
