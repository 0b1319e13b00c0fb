"""What clients may take of a server. Knows nothing about how it is kept."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of what a stream holds for its client. tokens: that may wait while it does not read, alternatives counted.

    seconds: after which a client that does not read is given up, whatever waits.
    """

    tokens: int = 4096
    seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may take. connections: that may be open at once.    calls: that each of them may have at once.
    bounds: of what waits for a client.    age: seconds, give or take a tenth, after which a client is told to open
    another connection; its calls end on the old one. 0: never.
    """

    connections: int = 4096
    calls: int = 256
    bounds: Bounds = field(default_factory=Bounds)
    age: float = 0.0
