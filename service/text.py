"""The text of one sample, as it grows token by token: whole characters, and stop strings held back until certain.

What has been shown after n tokens depends on these n tokens and the stop strings alone, never on when it was asked
for: a stream that broke is continued by pushing the tokens already delivered and dropping what that shows. Knows
nothing about gRPC or the engine.
"""

from __future__ import annotations

from bundle.tokenizer import Decoder


class SampleText:
    """Text of one sample, up to the first stop string.

    Attributes:
        matched: the stop string that ended the text, or None.
    """

    def __init__(self, decoder: Decoder, stop_strings: tuple[str, ...] = (), include_stop_string: bool = False) -> None:
        """Begin an empty text. The stop strings must not be empty."""
        self.matched: str | None = None
        self._decoder = decoder
        self._stop_strings = stop_strings
        self._include = include_stop_string
        self._longest_beginning = max(map(len, stop_strings), default=1) - 1
        self._held = ""

    def push(self, token_id: int) -> str:
        """Add a token and return the text that is certain now and was not before. Sets `matched` when it ends it.

        Of several stop strings that this token completes, the one that begins first counts, then the longest.
        """
        assert self.matched is None, "the text has ended"
        if not self._stop_strings:
            return self._decoder.push(token_id)
        self._held += self._decoder.push(token_id)
        return self._show(len(self._held) - self._beginning())

    def finish(self) -> str:
        """Return what was held back, at the end of the sample. May still set `matched`."""
        if self.matched is not None:
            return ""
        self._held += self._decoder.flush()
        return self._show(len(self._held))

    def _show(self, certain: int) -> str:
        for position, _, stop_string in sorted(self._matches()):
            self.matched = stop_string
            return self._held[: position + self._include * len(stop_string)]
        shown, self._held = self._held[:certain], self._held[certain:]
        return shown

    def _matches(self) -> list[tuple[int, int, str]]:
        """Return the first place of every stop string that is complete, as (position, -length, stop string)."""
        found = [(self._held.find(stop_string), -len(stop_string), stop_string) for stop_string in self._stop_strings]
        return [match for match in found if match[0] >= 0]

    def _beginning(self) -> int:
        """Return the length of the longest end of the held text with which a stop string begins."""
        for length in range(min(self._longest_beginning, len(self._held)), 0, -1):
            end = self._held[-length:]
            if any(stop_string.startswith(end) for stop_string in self._stop_strings):
                return length
        return 0
