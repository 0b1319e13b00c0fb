"""What of one sample has been written to its client: tokens, and the text that is certain by them.

Text is matched against stop strings here, because only here is there text. Knows nothing about messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bundle.tokenizer import Tokenizer
from protos.seqstream.v1 import generation_pb2 as pb
from service.text import SampleText


class Written:
    """One sample on its way to the client, behind the tokens of it that the client has already.

    Attributes:
        position: tokens of the sample so far, resumed ones included.
        resumed: tokens that the client had before.
    """

    def __init__(self, tokenizer: Tokenizer, request: pb.GenerateRequest) -> None:
        """`request` has its defaults filled in; text of its `resume_token_ids` is not sent again."""
        self.position = 0
        self._most = request.output.max_tokens_per_message
        self._text = None
        if not request.output.omit_text:
            stop = request.stop
            self._text = SampleText(tokenizer.decoder(), tuple(stop.stop_strings), stop.include_stop_string)
        self.resumed = len(request.resume_token_ids)
        self.push(request.resume_token_ids)

    @property
    def fresh(self) -> int:
        """Tokens of the sample that were not resumed."""
        return self.position - self.resumed

    @property
    def matched(self) -> str | None:
        """The stop string that ended the sample, or None."""
        return None if self._text is None else self._text.matched

    def pieces(self, token_ids: Sequence[int]) -> Iterator[tuple[int, Sequence[int], str]]:
        """Append tokens, up to the one that completes a stop string, as many at a time as a message may hold.

        Yields the position of the first, the tokens, and the text certain by them.
        """
        for start in range(0, len(token_ids), self._most):
            position = self.position
            yield position, *self.push(token_ids[start : start + self._most])
            if self.matched is not None:
                return

    def push(self, token_ids: Sequence[int]) -> tuple[Sequence[int], str]:
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

    def finish(self) -> str:
        """Return the text that was held back, at the end of the sample. A stop string in it may still match."""
        return "" if self._text is None else self._text.finish()
