"""ONNX Runtime GenAI: its Generator over a batch, padded on the right as its tokenizer does.

python -m benchmarks.peers.systems.onnx_genai FOLDER THREADS

Its Engine, which batches continuously, takes CUDA models only.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import numpy as np
import onnxruntime_genai
from numpy.typing import NDArray

from benchmarks.peers.systems.answers import Generated, Peer, Watch, serve

PAD = 0  # <|endoftext|>, in no prompt


class OnnxGenai(Peer):
    """A model of its own builder's."""

    def __init__(self, folder: str, threads: int) -> None:
        config = onnxruntime_genai.Config(folder)
        # No end token of the model's ends a stream, and padding is known from prompts.
        options = {"intra_op_num_threads": threads, "inter_op_num_threads": 1}
        model = {"eos_token_id": PAD, "pad_token_id": PAD, "decoder": {"session_options": options}}
        config.overlay(json.dumps({"model": model}))
        self._model = onnxruntime_genai.Model(config)

    def generate(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Generated:
        watch = Watch(len(prompts))
        longest = max(map(len, prompts))
        generator = self._generator(len(prompts), longest + new_tokens)
        padded = [list(prompt) + [PAD] * (longest - len(prompt)) for prompt in prompts]
        generator.append_tokens(np.array(padded, np.int32))
        for _ in range(new_tokens):
            generator.generate_next_token()
            watch.tick_all()
        made = [generator.get_sequence(row)[longest:].tolist() for row in range(len(prompts))]
        return Generated(watch.arrivals, made)

    def loss(self, windows: Sequence[Sequence[int]], first: int) -> float:
        total = 0.0
        for window in windows:
            generator = self._generator(1, len(window) + 1)
            generator.append_tokens(np.array([window[: first + 1]], np.int32))
            for token in window[first + 1 :]:
                total -= _log_probability(generator.get_logits().reshape(-1), token)
                generator.append_tokens(np.array([[token]], np.int32))
        return total

    def _generator(self, streams: int, length: int) -> onnxruntime_genai.Generator:
        parameters = onnxruntime_genai.GeneratorParams(self._model)
        parameters.set_search_options(do_sample=False, batch_size=streams, min_length=length, max_length=length)
        return onnxruntime_genai.Generator(self._model, parameters)


def _log_probability(logits: NDArray[np.float32], token: int) -> float:
    wide = logits.astype(np.float64)
    return float(wide[token] - wide.max() - np.log(np.exp(wide - wide.max()).sum()))


if __name__ == "__main__":
    serve(lambda: OnnxGenai(sys.argv[1], int(sys.argv[2])))
