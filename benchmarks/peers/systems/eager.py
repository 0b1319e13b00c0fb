"""The transformers library: PyTorch, eager, prompts of a batch padded on the left.

python -m benchmarks.peers.systems.eager FOLDER THREADS
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
from transformers import AutoModelForCausalLM, StoppingCriteria, StoppingCriteriaList

from benchmarks.peers.systems.answers import Generated, Peer, Watch, serve


class Clock(StoppingCriteria):
    """Asked at every step whether to stop, it notes the time and says no."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: object) -> torch.Tensor:
        self._watch.tick_all()
        return torch.zeros(len(input_ids), dtype=torch.bool)


class Eager(Peer):
    """A model of the library's, in float32."""

    def __init__(self, folder: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self._model.train(False)
        self._model.generation_config.eos_token_id = None

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Generated:
        watch = Watch(len(prompts))
        longest = max(map(len, prompts))
        tokens = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        made = self._model.generate(
            tokens,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=new_tokens,
            pad_token_id=0,
            stopping_criteria=StoppingCriteriaList([Clock(watch)]),
        )
        return Generated(watch.arrivals, made[:, longest:].tolist())

    @torch.inference_mode()
    def loss(self, windows: Sequence[Sequence[int]], first: int) -> float:
        total = 0.0
        for window in windows:
            logits = self._model(torch.tensor([window])).logits[0, first:-1].double()
            targets = torch.tensor(window[first + 1 :])
            total += float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
        return total


if __name__ == "__main__":
    serve(lambda: Eager(sys.argv[1], int(sys.argv[2])))
