"""How long tokens take to become text: a decoder that is timed, for calls that are traced."""

from __future__ import annotations

import time

from bundle.tokenizer import Decoder


class TimedDecoder:
    """Does what `decoder` does. seconds: that it took until now."""

    def __init__(self, decoder: Decoder) -> None:
        self.seconds = 0.0
        self._decoder = decoder

    def push(self, token_id: int) -> str:
        """Return the text that is now certain and was not before."""
        began = time.perf_counter()
        text = self._decoder.push(token_id)
        self.seconds += time.perf_counter() - began
        return text

    def flush(self) -> str:
        """Return what is left."""
        began = time.perf_counter()
        text = self._decoder.flush()
        self.seconds += time.perf_counter() - began
        return text
