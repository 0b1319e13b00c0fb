"""How many prompt tokens a step may hold: as many as let running samples have their next token in the time asked for.

What a step takes is measured as it runs. Knows seconds and counts, no prompts and no rows.
"""

from __future__ import annotations

LEAST = 3  # what always goes ahead, however slow the model is: pieces of less cannot all be longer than one token
_KEPT = 0.9  # how much of its weight a measurement keeps with every further one


class Budget:
    """The budget of prompt tokens beside running samples.

    A step over prompts is taken to last `fixed + tokens * each`: least squares, in which older steps weigh less.
    """

    def __init__(self, most: int, seconds: float = 0.0) -> None:
        """Allow `most` tokens, or as many as fit when the next token shall come within `seconds`; 0: always `most`."""
        self._most = most
        self._seconds = seconds
        self._decode = 0.0
        # Weighted sums over steps: of one, of tokens, of seconds, of tokens squared, of tokens times seconds.
        self._sums = (0.0, 0.0, 0.0, 0.0, 0.0)

    def tokens(self, running: int) -> int:
        """Return how many prompt tokens, padding counted, the next step may hold while `running` rows decode."""
        if not (self._seconds and running and self._sums[1]):
            return self._most
        fixed, each = self._fit()
        left = self._seconds - self._decode - fixed
        fitting = int(left / each) if each > 0 else self._most
        return max(LEAST, min(fitting, self._most))

    def decoded(self, seconds: float) -> None:
        """Note how long a token of every running row took."""
        self._decode = seconds if not self._decode else _KEPT * self._decode + (1 - _KEPT) * seconds

    def consumed(self, tokens: int, seconds: float) -> None:
        """Note how long a step over this many prompt tokens took."""
        now = (1.0, tokens, seconds, tokens * tokens, tokens * seconds)
        self._sums = tuple(_KEPT * old + new for old, new in zip(self._sums, now, strict=True))  # type: ignore[assignment]

    def _fit(self) -> tuple[float, float]:
        """Return what a step takes whatever it holds, and what a token adds."""
        count, tokens, seconds, squares, products = self._sums
        spread = count * squares - tokens * tokens
        if spread > 1e-3 * tokens * tokens:
            each = (count * products - tokens * seconds) / spread
            fixed = (seconds - each * tokens) / count
            if each > 0 and fixed > 0:
                return fixed, each
        # All of one size, or noise: nothing tells what is fixed.
        return 0.0, seconds / tokens
