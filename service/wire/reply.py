"""The messages of one sample, as bytes, made of what the engine hands out: as few as the limit of tokens allows.

Knows nothing about calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bundle.tokenizer import Tokenizer
from protos.seqstream.v1 import generation_pb2 as pb
from service.chunk import Chunk, ScoredToken, Timings
from service.wire import convert
from service.wire.convert import Ending
from service.wire.deltas import delta, delta_of_one
from service.wire.sample_reply import SampleReply

MOST_SCORES_PER_MESSAGE = 1024


class Reply(SampleReply):
    """One sample as messages of GenerationService."""

    def __init__(self, sample: int, tokenizer: Tokenizer, request: pb.GenerateRequest, *, timed: bool = False) -> None:
        """sample: its index.    The rest as for any."""
        super().__init__(tokenizer, request, timed=timed)
        self._sample = sample
        self._tokenizer = tokenizer

    def deltas(self, chunk: Chunk) -> Iterator[bytes]:
        """Yield the scores of the prompt, the new tokens and their text, up to the end of a stop string."""
        if chunk.prompt_scores is not None:
            yield from _prompt_scores(chunk.prompt_scores, self._tokenizer)
        if chunk.logprobs is None and (self._most == 1 or len(chunk.token_ids) == 1):  # which most are
            for token_id in chunk.token_ids:
                position = self.position
                yield delta_of_one(self._sample, position, token_id, self._push_one(token_id))
                if self.matched is not None:
                    return
            return
        done = 0
        for position, token_ids, text in self._pieces(chunk.token_ids):
            if chunk.logprobs is None:
                yield delta(self._sample, position, token_ids, text)
            else:
                scores = chunk.logprobs[done : done + len(token_ids)]
                yield self._scored(position, token_ids, text, scores)
            done += len(token_ids)

    def end(
        self, ending: Ending, spent: Timings, prompt_tokens: int, drafts: tuple[int, int] = (0, 0)
    ) -> Iterator[bytes]:
        """Yield the text that was held back, if any, and the end."""
        text, ending = self._finish(ending)
        if text:
            yield delta(self._sample, self.position, (), text)
        usage = pb.Usage(prompt_tokens=prompt_tokens, generated_tokens=self.position, resumed_tokens=self.resumed)
        usage.drafted_tokens, usage.accepted_tokens = drafts
        finished = pb.Finished(sample=self._sample, usage=usage, timings=convert.timings(spent), **ending)
        yield pb.GenerateResponse(finished=finished).SerializeToString()

    def _scored(self, position: int, token_ids: Sequence[int], text: str, scores: Sequence[ScoredToken]) -> bytes:
        message = pb.TokenDelta(sample=self._sample, position=position, token_ids=token_ids, text=text)
        message.logprobs.extend(convert.token_logprobs(scores, self._tokenizer))
        return pb.GenerateResponse(delta=message).SerializeToString()


def _prompt_scores(scores: Iterable[ScoredToken], tokenizer: Tokenizer) -> Iterator[bytes]:
    messages = convert.token_logprobs(scores, tokenizer)
    for start in range(0, len(messages), MOST_SCORES_PER_MESSAGE):
        part = messages[start : start + MOST_SCORES_PER_MESSAGE]
        yield pb.GenerateResponse(prompt_scores=pb.PromptScores(logprobs=part)).SerializeToString()
