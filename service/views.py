"""What a client gets to see of a model: values only, whose meaning the comments of inspection.proto tell.

Knows nothing about gRPC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
AttentionKind = Literal["encoder_self", "decoder_self", "cross"]
ActivationKind = Literal["gate", "state"]
Part = Literal["encoder", "decoder"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A token, and the characters `[start, end)` of the joined texts that it stands for."""

    token_id: int
    text: str
    symbol: str
    start: int
    end: int
    special: bool

    @property
    def name(self) -> str:
        """A special token by its symbol, others by their text."""
        return self.symbol if self.special else self.text


@dataclass(frozen=True, slots=True)
class Sequences:
    """What was read: by the encoder, by the decoder, and what followed at each place of the decoder."""

    source: tuple[Piece, ...]
    read: tuple[Piece, ...]
    written: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class AttentionMap:
    """How much each of `rows` reads of each of `columns`: weights [rows, columns], every row's sum 1.

    head: None for the mean of several.
    """

    kind: AttentionKind
    layer: int
    head: int | None
    rows: tuple[Piece, ...]
    columns: tuple[Piece, ...]
    weights: Floats


@dataclass(frozen=True, slots=True)
class Attention:
    """The maps of one sequence, by kind, layer and head. model: as "name@version"."""

    model: str
    sequences: Sequences
    maps: tuple[AttentionMap, ...]


@dataclass(frozen=True, slots=True)
class Activation:
    """What some `units` of a layer were behind each of `times`: values [times, units]."""

    name: str
    kind: ActivationKind
    part: Part
    layer: int
    times: tuple[Piece, ...]
    units: tuple[int, ...]
    total_units: int
    values: Floats


@dataclass(frozen=True, slots=True)
class Activations:
    """The activations of one sequence, by part, layer and name. model: as "name@version"."""

    model: str
    sequences: Sequences
    activations: tuple[Activation, ...]
