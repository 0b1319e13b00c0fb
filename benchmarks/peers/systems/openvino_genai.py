"""OpenVINO GenAI: its continuous batching, with requests added together and one step after the other.

    python -m benchmarks.peers.systems.openvino_genai FOLDER THREADS f32|default

f32: products and cache in float32; default: what the library takes by itself on this machine (bfloat16 products where
the processor has them, a cache of 8 bits).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino
import openvino_genai

from benchmarks.peers.systems.answers import Generated, Peer, Watch, serve


class OpenVino(Peer):
    """A model as OpenVINO's intermediate representation."""

    def __init__(self, folder: str, threads: int, exact: bool) -> None:
        self._folder = folder
        self._properties: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads}
        if exact:
            self._properties |= {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.max_num_seqs = 32
        scheduler.cache_size = 2
        scheduler.enable_prefix_caching = False
        self._pipeline = openvino_genai.ContinuousBatchingPipeline(folder, scheduler, "CPU", self._properties)
        self._requests = 0

    def generate(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Generated:
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens, config.ignore_eos, config.do_sample = new_tokens, True, False
        watch = Watch(len(prompts))
        tokens: list[list[int]] = [[] for _ in prompts]
        handles = []
        for prompt in prompts:
            ids = openvino.Tensor(np.array([prompt], np.int64))
            handles.append(self._pipeline.add_request(self._requests, ids, config))
            self._requests += 1
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()
            for stream, handle in enumerate(handles):
                if handle.can_read():
                    for output in handle.read().values():
                        for token in output.generated_ids:
                            tokens[stream].append(token)
                            watch.tick(stream)
        return Generated(watch.arrivals, tokens)

    def loss(self, windows: Sequence[Sequence[int]], first: int) -> float:
        """By the same graph in a session of its own: the pipeline keeps its logits to itself."""
        graph = openvino.Core().compile_model(f"{self._folder}/openvino_model.xml", "CPU", self._properties)
        request = graph.create_infer_request()
        total = 0.0
        for window in windows:
            request.reset_state()
            inputs = {
                "input_ids": np.array([window], np.int64),
                "attention_mask": np.ones((1, len(window)), np.int64),
                "position_ids": np.arange(len(window), dtype=np.int64)[None],
                "beam_idx": np.zeros(1, np.int32),
            }
            rows = request.infer(inputs)["logits"][0, first:-1].astype(np.float64)
            rows -= rows.max(axis=1, keepdims=True)
            targets = np.array(window[first + 1 :])
            chosen = rows[np.arange(len(targets)), targets]
            total += float((np.log(np.exp(rows).sum(axis=1)) - chosen).sum())
        return total


if __name__ == "__main__":
    serve(lambda: OpenVino(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "f32"))
