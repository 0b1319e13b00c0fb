"""The contract every model of this project keeps: a sequence model is a step over declared state.

    step(tokens[B, T], lengths[B], state) -> (features[B, T, F], state')        logits(features) -> [..., V]

The same function is trained (logits at every position), exported and served: prefill (T > 1) and decode (T = 1)
alike. Subclass `StepModel`, declare the state, write the step; training, export, the parity gate and the server need
nothing else. Knows nothing about ONNX, files or training.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from bundle.manifest import StateSpec, ViewSpec

State = dict[str, Tensor]
Views = dict[str, Tensor]


class StepModel(nn.Module, ABC):
    """An autoregressive sequence model as one step.

    What a subclass must hold, and what the parity gate checks at every export:

    - Any chunking of a sequence gives the same logits as the whole sequence.
    - `lengths[b]` >= 1 tokens of row b are real, the rest is padding: it changes neither logits of real positions
      nor state (logits at padded positions are arbitrary).
    - A row in a batch equals the row alone.
    - `state'` has the names, shapes and dtypes of the declared states that are not `static`.

    Attributes:
        vocabulary_size: width V of the logits.
        context_limit: most tokens a row may consume, or None if the state never fills.
        chunk: whether pieces of several prompts behind a past may share a call ("batch") or not ("single").
    """

    vocabulary_size: int
    context_limit: int | None = None
    chunk: Literal["batch", "single"] = "batch"

    @property
    @abstractmethod
    def states(self) -> tuple[StateSpec, ...]:
        """The declared state, batch not counted. All zeros at the start unless the model is a `SourceStepModel`."""

    @abstractmethod
    def step(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """Consume `tokens` [B, T] int64, of which `lengths` [B] int64 are real, behind `state`.

        Returns features [B, T, F] float32 at every position, and the next state.
        """

    @property
    def shard_units(self) -> tuple[nn.Module, ...]:
        """Modules whose weights are read by their own `forward` alone, on tensors.

        Training in shards (FSDP) gathers them one at a time, and whatever is in none of them for the whole step.
        """
        return ()

    def logits(self, features: Tensor) -> Tensor:
        """Map features [..., F] to unnormalised log-probabilities [..., V] float32 of the next token."""
        return features

    def forward(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """Teacher forcing: logits [B, T, V] at every position, and the next state."""
        features, state = self.step(tokens, lengths, state)
        return self.logits(features), state

    def freeze(self) -> None:
        """Prepare the weights for export, once, before the graph is traced; the eager model works on as before.

        The default does nothing. A model whose operators want their weights in another layout makes it here, as
        non-persistent buffers, so that the graph holds the result and not the way to it. Called again after the
        weights have changed, it makes them anew.
        """

    @property
    def views(self) -> tuple[ViewSpec, ...]:
        """What can be seen of the model while it reads: attention, gates, states over time. The default is nothing."""
        return ()

    def look(self, tokens: Tensor, state: State) -> tuple[Tensor, Views]:
        """Read a whole sequence `tokens` [1, T] int64 from the initial `state`, with caches of capacity 0, and watch.

        Returns what `step` does first, features [1, T, F] float32 at every position, and every declared view of the
        decoder by `ViewSpec.output`, float32: attention [1, heads, T, columns], all else [1, T, units]. Exported
        beside the step; the gate holds that both give the same logits.
        """
        raise NotImplementedError(f"{type(self).__name__} declares views and has no look()")

    @property
    def parameter_count(self) -> int:
        """How many numbers the model has learned: everything in its state dict, tied weights once."""
        return sum(tensor.numel() for tensor in self.state_dict().values())

    def initial_state(self, batch: int, capacity: int | None = None) -> State:
        """Zeros for `batch` rows.

        `capacity` shrinks the growing axis of caches. Capacity 0 keeps no past at all: the call sees its own tokens
        only. That is the fast way to train, where one call consumes the whole sequence.
        """
        device = next((p.device for p in (*self.parameters(), *self.buffers())), torch.device("cpu"))
        state = {}
        for spec in self.states:
            shape = list(spec.shape)
            if spec.kind == "cache" and capacity is not None and spec.axis is not None:
                shape[spec.axis] = min(capacity, shape[spec.axis])
            state[spec.name] = torch.zeros(batch, *shape, dtype=getattr(torch, spec.dtype), device=device)
        return state


class SourceStepModel(StepModel):
    """A step model whose initial state is made from a source sequence by an encoder (the *start graph*).

    Attributes:
        source_vocabulary_size: number of source token ids.
        source_limit: most source tokens `start` takes.
    """

    source_vocabulary_size: int
    source_limit: int

    @abstractmethod
    def start(self, source: Tensor, lengths: Tensor) -> State:
        """Encode `source` [B, S] int64 (`lengths` [B] int64 real tokens a row) into the initial state.

        Returns every declared state but caches (they are zeros). A `static` state with an `axis` comes with S in
        place of its capacity there: whoever needs the capacity pads.
        """

    def look_at_source(self, source: Tensor) -> tuple[State, Views]:
        """Encode a whole source [1, S] int64, as `start` does, and watch.

        Returns the initial state, and every declared view of the encoder. The default shows nothing of it.
        """
        return self.start(source, torch.full((1,), source.shape[1], device=source.device)), {}
