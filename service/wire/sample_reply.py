"""One sample on its way to a client: the tokens of it that were written, and the text that is certain by them.

Text is matched against stop strings here, because only here is there text. Which messages it becomes, those know who
derive from it. Knows nothing about calls.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from bundle.tokenizer import Tokenizer
from protos.seqstream.v1 import generation_pb2 as pb
from service.chunk import Chunk, Timings
from service.text import SampleText
from service.timed_decoder import TimedDecoder
from service.wire import convert
from service.wire.convert import Ending


class SampleReply(ABC):
    """One sample on its way to the client, behind the tokens of it that the client has already.

    Attributes:
        position: tokens of the sample so far, resumed ones included.
        resumed: tokens that the client had before.
        reason: of its end, once that has been told.
    """

    def __init__(self, tokenizer: Tokenizer, request: pb.GenerateRequest, *, timed: bool = False) -> None:
        """`request` has its defaults filled in; text of its `resume_token_ids` is not sent again.

        timed: whether `text_seconds` is wanted.
        """
        self.position = 0
        self.reason: str | None = None
        self._most = request.output.max_tokens_per_message
        self._text = None
        self._timed: TimedDecoder | None = None
        if not request.output.omit_text:
            stop, decoder = request.stop, tokenizer.decoder()
            if timed:
                decoder = self._timed = TimedDecoder(decoder)
            self._text = SampleText(decoder, tuple(stop.stop_strings), stop.include_stop_string)
        self.resumed = len(request.resume_token_ids)
        self._push(request.resume_token_ids)

    @abstractmethod
    def deltas(self, chunk: Chunk) -> Iterator[bytes]:
        """Yield messages of what is new, up to the end of a stop string."""

    @abstractmethod
    def end(
        self, ending: Ending, spent: Timings, prompt_tokens: int, drafts: tuple[int, int] = (0, 0)
    ) -> Iterator[bytes]:
        """Yield messages of the text that was held back, if any, and of the end.

        A stop string in the text goes before `ending`.    drafts: tokens proposed, and taken.
        """

    @property
    def text_seconds(self) -> float:
        """How long tokens took to become text, if that is timed."""
        return 0.0 if self._timed is None else self._timed.seconds

    @property
    def fresh(self) -> int:
        """Tokens of the sample that were not resumed."""
        return self.position - self.resumed

    @property
    def matched(self) -> str | None:
        """The stop string that ended the sample, or None."""
        return None if self._text is None else self._text.matched

    def _pieces(self, token_ids: Sequence[int]) -> Iterator[tuple[int, Sequence[int], str]]:
        """Append tokens, up to the one that completes a stop string, as many at a time as a message may hold.

        Yields the position of the first, the tokens, and the text certain by them.
        """
        for start in range(0, len(token_ids), self._most):
            position = self.position
            yield position, *self._push(token_ids[start : start + self._most])
            if self.matched is not None:
                return

    def _push_one(self, token_id: int) -> str:
        """Append a token. Returns the text certain by it."""
        self.position += 1
        return "" if self._text is None else self._text.push(token_id)

    def _push(self, token_ids: Sequence[int]) -> tuple[Sequence[int], str]:
        """Append tokens, up to the one that completes a stop string. Returns those, and the text certain by them."""
        if self._text is None:
            self.position += len(token_ids)
            return token_ids, ""
        parts = []
        for count, token_id in enumerate(token_ids, 1):
            parts.append(self._text.push(token_id))
            if self._text.matched is not None:
                token_ids = token_ids[:count]
                break
        self.position += len(token_ids)
        return token_ids, "".join(parts)

    def _finish(self, ending: Ending) -> tuple[str, Ending]:
        """Return the text that was held back, and how the sample has ended: by a stop string, or else by `ending`."""
        text = "" if self._text is None else self._text.finish()
        if self.matched is not None:
            ending = {"reason": "FINISH_REASON_STOP_STRING", "stop_string": self.matched}
        self.reason = convert.reason(ending)
        return text, ending
