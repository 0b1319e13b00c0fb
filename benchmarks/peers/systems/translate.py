"""Encoder-decoders: CTranslate2 by batches of its own or request by request, and the transformers library by batches.

    python -m benchmarks.peers.systems.translate ctranslate2|ctranslate2-alone|transformers FOLDER THREADS

ctranslate2-alone: requests that arrive one by one, as many workers as threads, one thread each.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import ctranslate2
import torch
from transformers import MarianMTModel, StoppingCriteriaList

from benchmarks.peers.systems.answers import Generated, Peer, Watch, serve
from benchmarks.peers.systems.eager import Clock
from benchmarks.peers.systems.marian import PAD, vocabulary


class Translator(Peer):
    """A converted model of CTranslate2's."""

    def __init__(self, folder: str, threads: int, alone: bool) -> None:
        workers = threads if alone else 1
        self._translator = ctranslate2.Translator(folder, inter_threads=workers, intra_threads=threads // workers)
        self._alone = alone
        self._names = list(vocabulary())

    def generate(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Generated:
        sources = [[self._names[token] for token in prompt] for prompt in prompts]
        watch = Watch(len(prompts))
        groups = [[number] for number in range(len(sources))] if self._alone else [list(range(len(sources)))]
        asked = [self._ask(sources, group, new_tokens, watch) for group in groups]
        for results in asked:
            for one in results:
                one.result()
        return Generated(watch.arrivals)

    def _ask(
        self, sources: list[list[str]], group: list[int], new_tokens: int, watch: Watch
    ) -> list[ctranslate2.AsyncTranslationResult]:
        def arrived(step: ctranslate2.GenerationStepResult) -> bool:
            watch.tick(group[step.batch_id])
            return False

        results: list[ctranslate2.AsyncTranslationResult] = self._translator.translate_batch(
            [sources[number] for number in group],
            beam_size=1,
            min_decoding_length=new_tokens,
            max_decoding_length=new_tokens,
            asynchronous=True,
            callback=arrived,
        )
        return results


class Eager(Peer):
    """The transformers library."""

    def __init__(self, folder: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self._model = MarianMTModel.from_pretrained(folder)
        self._model.train(False)

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Generated:
        watch = Watch(len(prompts))
        longest = max(map(len, prompts))
        sources = torch.tensor([list(prompt) + [PAD] * (longest - len(prompt)) for prompt in prompts])
        self._model.generate(
            sources,
            attention_mask=(sources != PAD).long(),
            do_sample=False,
            num_beams=1,
            min_new_tokens=new_tokens,
            max_new_tokens=new_tokens,
            stopping_criteria=StoppingCriteriaList([Clock(watch)]),
        )
        return Generated(watch.arrivals)


def main(kind: str, folder: str, threads: int) -> None:
    """Serve one of the three."""
    serve(lambda: Eager(folder, threads) if kind == "transformers" else Translator(folder, threads, "alone" in kind))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
