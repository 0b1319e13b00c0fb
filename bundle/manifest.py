"""The manifest of a bundle: the strict schema of `bundle.json`, and nothing else.

Everything the server needs to know of a model is here: its vocabulary, its special tokens, the tensors of its state
and the calls its graph takes. Nothing here depends on the model's family; `family` is a word for people.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

FORMAT_VERSION = 1

StateKind = Literal["recurrent", "cache", "static"]
AttentionKind = Literal["encoder_self", "decoder_self", "cross"]
ViewKind = Literal[AttentionKind, "gate", "state"]
PrecisionName = Literal["fp32", "int8", "w8a8", "int4", "fp16"]
CacheName = Literal["float", "int8"]
StateDtype = Literal["float32", "float16", "int8", "int64", "int32"]
# What fits into the messages that tell of a model, and what no model has.
Number = Annotated[int, Field(ge=0, lt=1 << 32)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class StateSpec(Strict):
    """One named tensor of a row's state, `[batch, *shape]` in the graph: batch is always axis 0.

    kind: `recurrent` is replaced at every step; `cache` grows along `axis` and is written in place; `static` is
    written once by the start graph and only read afterwards.
    axis: for `cache` the axis of `shape` (batch not counted) along which tokens are appended; for `static` the axis
    along which the source lies, if any; `shape[axis]` is the capacity.
    counter: a `recurrent` number that grows by the tokens consumed and by nothing else.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    kind: StateKind
    dtype: StateDtype
    shape: Annotated[tuple[Annotated[int, Field(ge=1, lt=1 << 31)], ...], Field(max_length=8)]
    axis: int | None = None
    counter: bool = False

    @model_validator(mode="after")
    def _axis_is_declared(self) -> StateSpec:
        if self.kind == "cache" and self.axis is None:
            raise ValueError(f"state {self.name!r}: a cache needs the axis along which it grows")
        if self.axis is not None and not 0 <= self.axis < len(self.shape):
            raise ValueError(f"state {self.name!r}: axis {self.axis} is outside of shape {self.shape}")
        if self.counter and (self.kind, self.dtype, self.shape) != ("recurrent", "int64", ()):
            raise ValueError(f"state {self.name!r}: a counter is one recurrent int64 for each row")
        return self


class ViewSpec(Strict):
    """One thing that the inspection graph shows of a whole sequence.

    An attention (kinds `encoder_self`, `decoder_self`, `cross`) is float32 `[1, size, rows, columns]`: for each of
    `size` heads how much every place reads of every other; each row sums to 1, and no decoder place reads a later one.
    A `gate` (from 0 to 1) and a `state` (any number) are float32 `[1, times, size]`: `size` units behind each token.

    part, layer: where in the model; layers are counted from 0 within each part.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    kind: ViewKind
    part: Literal["encoder", "decoder"]
    layer: int = Field(ge=0, lt=1 << 16)
    size: int = Field(ge=1, lt=1 << 31)

    @property
    def output(self) -> str:
        """What the graph calls it."""
        return f"{self.part}_{self.layer}_{self.name}"

    @property
    def is_attention(self) -> bool:
        """Whether it has a weight for every pair of places, and not a value for every unit."""
        return self.kind not in ("gate", "state")

    @model_validator(mode="after")
    def _part_has_it(self) -> ViewSpec:
        if self.is_attention and (self.kind == "encoder_self") != (self.part == "encoder"):
            raise ValueError(f"view {self.name!r}: no attention of kind {self.kind!r} is in the {self.part}")
        return self


class Calls(Strict):
    """Which calls the step graph takes beside one token for every row.

    chunk: a piece of a prompt behind a past goes `batch` (several ragged rows at once) or `single` (one row alone,
    without padding).
    block: None, or how many tokens of a call a kernel takes at a time. A block of a single token would be summed in
    another order, so the width of a call of several tokens is never one more than a multiple of it.
    """

    chunk: Literal["batch", "single"] = "batch"
    block: Annotated[int, Field(ge=8)] | None = None

    def allow(self, width: int) -> bool:
        """Whether a call may be `width` tokens wide."""
        return width == 1 or self.block is None or width % self.block != 1


class SpecialTokens(Strict):
    """Ids in the target vocabulary. `bos` opens every sequence, `eos` ends one; `pad` fills and is never predicted."""

    pad: int = Field(ge=0)
    bos: int = Field(ge=0)
    eos: int = Field(ge=0)


class ParityCheck(Strict):
    """One check of the contract: what was compared, over which shapes, how far apart it may be and how far it was.

    precision, cache: of the graphs it was run on; what holds against the model is measured before they are rounded.
    """

    name: str
    precision: PrecisionName = "fp32"
    cache: CacheName = "float"
    shapes: tuple[str, ...]
    tolerance: float
    largest_error: float


class ParityReport(Strict):
    checks: tuple[ParityCheck, ...]
    greedy_tokens_compared: Number


class Training(Strict):
    """Where the weights came from: for people and for reproduction, not for the server."""

    parameters: int = Field(ge=0, lt=1 << 63)
    data: str
    data_sha256: str | None = None
    metrics: dict[str, float] = {}


class Loss(Strict):
    """What a precision costs, that of caches with it, on text that took no part in making it.

    metric: what `fp32` and `this` are, of the graphs before and after.
    text: where it is from.   tokens: how many were predicted.
    loss: growth of the perplexity, as a share of that of fp32; may be below 0 by chance.
    """

    metric: Literal["perplexity"] = "perplexity"
    text: str
    tokens: int = Field(ge=1)
    fp32: float
    this: float
    loss: float


class FileEntry(Strict):
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: int = Field(ge=0, lt=1 << 63)


class Manifest(Strict):
    """`bundle.json`.

    context_limit: most tokens a row may consume, prompt and generation together; None where the state never fills.
    source_limit: most source tokens the start graph takes; None where there is no start graph.
    opens_with_bos: whether a prompt given as text begins with `bos`.
    top_k: width of the graph's `top_values` and `top_indices`.
    precision: how the weights are kept, and how products of them are computed; `loss`: what that costs.
    views: what the inspection graph shows; empty where there is none.
    files: every file of the bundle but `bundle.json`, by name.
    """

    format_version: Literal[1] = 1
    name: Name
    version: int = Field(ge=1, lt=1 << 31)
    family: str
    vocabulary_size: int = Field(ge=2, le=1 << 24)
    source_vocabulary_size: int | None = Field(default=None, ge=2, le=1 << 24)
    special_tokens: SpecialTokens
    opens_with_bos: bool = True
    context_limit: int | None = Field(default=None, ge=2, lt=1 << 31)
    source_limit: int | None = Field(default=None, ge=1, lt=1 << 31)
    top_k: int = Field(ge=1)
    states: Annotated[tuple[StateSpec, ...], Field(max_length=4096)]
    calls: Calls
    views: Annotated[tuple[ViewSpec, ...], Field(max_length=4096)] = ()
    precision: PrecisionName = "fp32"
    loss: Loss | None = None
    opset: Number
    parity: ParityReport
    training: Training
    files: Annotated[dict[str, FileEntry], Field(max_length=64)]

    @property
    def has_start(self) -> bool:
        return self.source_limit is not None

    @property
    def cache(self) -> CacheName:
        """How attention keeps keys and values: as it computes them, or in 8 bits."""
        return "int8" if any(spec.kind == "cache" and spec.dtype == "int8" for spec in self.states) else "float"

    @property
    def rewinds(self) -> bool:
        """Whether a row can forget its last tokens: what caches hold behind its counters is never read."""
        return all(spec.kind != "recurrent" or spec.counter for spec in self.states)

    @model_validator(mode="after")
    def _is_consistent(self) -> Manifest:
        names = [spec.name for spec in self.states]
        if len(set(names)) != len(names):
            raise ValueError("states: every name may appear once")
        outputs = [view.output for view in self.views]
        if len(set(outputs)) != len(outputs):
            raise ValueError("views: every name may appear once in a layer")
        for word, token in self.special_tokens:
            if token >= self.vocabulary_size:
                raise ValueError(
                    f"special_tokens.{word}: {token} is outside of the vocabulary ({self.vocabulary_size})"
                )
        if self.top_k > self.vocabulary_size:
            raise ValueError(f"top_k: {self.top_k} is larger than the vocabulary ({self.vocabulary_size})")
        return self
