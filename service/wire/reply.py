"""The messages of one sample, as bytes, made of what the engine hands out: as few as the limit of tokens allows.

Text is matched against stop strings here, because only here is there text. Knows nothing about calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bundle.tokenizer import Tokenizer
from protos.seqstream.v1 import generation_pb2 as pb
from service.chunk import Chunk, ScoredToken, Timings
from service.text import SampleText
from service.timed_decoder import TimedDecoder
from service.wire import convert
from service.wire.convert import Ending
from service.wire.deltas import delta

MOST_SCORES_PER_MESSAGE = 1024


class Reply:
    """One sample on its way to the client, behind the tokens of it that the client has already.

    Attributes:
        position: tokens of the sample so far, resumed ones included.
        matched: the stop string that ended it, or None.
        reason: of its end, once that has been told.
    """

    def __init__(self, sample: int, tokenizer: Tokenizer, request: pb.GenerateRequest, *, timed: bool = False) -> None:
        """`request` has its defaults filled in; text of its `resume_token_ids` is not sent again.

        timed: whether `text_seconds` is wanted.
        """
        self.position = 0
        self.reason: str | None = None
        self._sample = sample
        self._tokenizer = tokenizer
        self._most = request.output.max_tokens_per_message
        self._text = None
        self._timed: TimedDecoder | None = None
        if not request.output.omit_text:
            stop, decoder = request.stop, tokenizer.decoder()
            if timed:
                decoder = self._timed = TimedDecoder(decoder)
            self._text = SampleText(decoder, tuple(stop.stop_strings), stop.include_stop_string)
        self._resumed = len(request.resume_token_ids)
        self._advance(request.resume_token_ids)

    @property
    def text_seconds(self) -> float:
        """How long tokens took to become text, if that is timed."""
        return 0.0 if self._timed is None else self._timed.seconds

    @property
    def fresh(self) -> int:
        """Tokens of the sample that were not resumed."""
        return self.position - self._resumed

    @property
    def matched(self) -> str | None:
        return None if self._text is None else self._text.matched

    def deltas(self, chunk: Chunk) -> Iterator[bytes]:
        """Yield the new tokens and their text, up to the token that completes a stop string."""
        for start in range(0, len(chunk.token_ids), self._most):
            position = self.position
            token_ids, text = self._advance(chunk.token_ids[start : start + self._most])
            if chunk.logprobs is None:
                yield delta(self._sample, position, token_ids, text)
            else:
                scores = chunk.logprobs[start : start + len(token_ids)]
                yield self._scored(position, token_ids, text, scores)
            if self.matched is not None:
                return

    def end(
        self, ending: Ending, spent: Timings, prompt_tokens: int, drafts: tuple[int, int] = (0, 0)
    ) -> Iterator[bytes]:
        """Yield the text that was held back, if any, and the end. A stop string in the text goes before `ending`.

        drafts: tokens proposed, and taken.
        """
        if self._text is not None and (text := self._text.finish()):
            yield delta(self._sample, self.position, (), text)
        if self.matched is not None:
            ending = {"reason": "FINISH_REASON_STOP_STRING", "stop_string": self.matched}
        self.reason = convert.reason(ending)
        usage = pb.Usage(prompt_tokens=prompt_tokens, generated_tokens=self.position, resumed_tokens=self._resumed)
        usage.drafted_tokens, usage.accepted_tokens = drafts
        finished = pb.Finished(sample=self._sample, usage=usage, timings=convert.timings(spent), **ending)
        yield pb.GenerateResponse(finished=finished).SerializeToString()

    def _scored(self, position: int, token_ids: Sequence[int], text: str, scores: Sequence[ScoredToken]) -> bytes:
        message = pb.TokenDelta(sample=self._sample, position=position, token_ids=token_ids, text=text)
        message.logprobs.extend(convert.token_logprobs(scores, self._tokenizer))
        return pb.GenerateResponse(delta=message).SerializeToString()

    def _advance(self, token_ids: Sequence[int]) -> tuple[Sequence[int], str]:
        """Append tokens, up to the one that completes a stop string. Returns those, and the text certain by them."""
        if self._text is None:
            self.position += len(token_ids)
            return token_ids, ""
        if len(token_ids) == 1:
            self.position += 1
            return token_ids, self._text.push(token_ids[0])
        parts = []
        for count, token_id in enumerate(token_ids, 1):
            parts.append(self._text.push(token_id))
            if self._text.matched is not None:
                token_ids = token_ids[:count]
                break
        self.position += len(token_ids)
        return token_ids, "".join(parts)


def prompt_scores(scores: Iterable[ScoredToken], tokenizer: Tokenizer) -> Iterator[bytes]:
    """Yield the log-probabilities of a prompt."""
    messages = convert.token_logprobs(scores, tokenizer)
    for start in range(0, len(messages), MOST_SCORES_PER_MESSAGE):
        part = messages[start : start + MOST_SCORES_PER_MESSAGE]
        yield pb.GenerateResponse(prompt_scores=pb.PromptScores(logprobs=part)).SerializeToString()
