"""Models that break the contract, each in one way, and one that keeps it. Built by name, as a user's own would be."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bundle.manifest import StateSpec, ViewSpec
from training.models.recurrent import GruConfig, Recurrent
from training.models.step_model import State, StepModel, Views
from training.models.unroll import unroll

VOCABULARY_SIZE, WIDTH, LIMIT = 11, 4, 40


class Sum(StepModel):
    """Adds up embeddings: the least that has a state and keeps the contract."""

    vocabulary_size = VOCABULARY_SIZE

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.embedding = nn.Embedding(VOCABULARY_SIZE, WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY_SIZE)

    @property
    def states(self) -> tuple[StateSpec, ...]:
        return (StateSpec(name="total", kind="recurrent", dtype="float32", shape=(WIDTH,)),)

    def embedded(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        real = torch.arange(tokens.shape[1]) < lengths[:, None]
        return self.embedding(tokens) * real[..., None]

    def step(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        parts = torch.cat((state["total"][:, None], self.embedded(tokens, lengths)), dim=1)
        totals = parts.cumsum(dim=1)[:, 1:]
        return torch.tanh(totals), {"total": totals[:, -1]}

    def logits(self, features: Tensor) -> Tensor:
        return self.head(features)


class ForgetsLengths(Sum):
    """The graph adds up padding too."""

    def embedded(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        if torch.compiler.is_exporting():
            return self.embedding(tokens) + 0 * lengths[:, None, None]
        return super().embedded(tokens, lengths)


class FreezesTime(Sum):
    """The graph takes as many tokens as the tracer showed it, and no others."""

    def step(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        return super().step(tokens[:, : int(tokens.shape[1])].reshape(-1, 7), lengths, state)


class AveragesRows(Sum):
    """Its loop over time holds what the converter has no word for: a mean over as many rows as there are."""

    def step(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        def cell(x: Tensor, state: State) -> tuple[Tensor, State]:
            total = state["total"] + x
            return total - total.mean(0), {"total": total}

        return unroll(cell, self.embedding(tokens), lengths, state)


class SeesPadding(Sum):
    """What comes out depends on how wide the call is."""

    def step(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        features, state = super().step(tokens, lengths, state)
        return features + 1e-6 * tokens.shape[1], state


class CountsCalls(Sum):
    """What comes out depends on how many calls a sequence was cut into."""

    def step(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        features, state = super().step(tokens, lengths, state)
        return features, {"total": state["total"] + 1e-5}


class MixesRows(Sum):
    """What comes out depends on who else is there."""

    def step(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        features, state = super().step(tokens, lengths, state)
        return features + 1e-6 * tokens.shape[0], state


class Scribbles(Sum):
    """Every call writes into an entry of a cache that is not its own."""

    context_limit = LIMIT

    @property
    def states(self) -> tuple[StateSpec, ...]:
        cache = StateSpec(name="cache", kind="cache", dtype="float32", shape=(LIMIT + 1,), axis=0)
        return (*super().states, cache)

    def step(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        features, after = super().step(tokens, lengths, state)
        last = torch.arange(state["cache"].shape[1]) == LIMIT
        return features, {**after, "cache": torch.where(last, features[:, 0, :1], state["cache"])}


class Remembers(Sum):
    """What it calls a counter of tokens grows by other things as well, and so does not forget them."""

    context_limit = LIMIT

    @property
    def states(self) -> tuple[StateSpec, ...]:
        return (StateSpec(name="total", kind="recurrent", dtype="int64", shape=(), counter=True),)

    def step(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        real = torch.arange(tokens.shape[1]) < lengths[:, None]
        totals = state["total"][:, None] + ((tokens + 1) * real).cumsum(dim=1)
        return self.embedding(totals % VOCABULARY_SIZE), {"total": totals[:, -1]}


class SwapsGates(Recurrent):
    """The graph's gates lie in another order than its operator's."""

    def __init__(self) -> None:
        super().__init__(GruConfig(vocabulary_size=VOCABULARY_SIZE, width=WIDTH))

    def freeze(self) -> None:
        super().freeze()
        for layer in self.recurrence.layers:
            layer.recurrent_weight = layer.recurrent_weight.roll(WIDTH, dims=1)


class Shows(Sum):
    """Shows attention, the same to all the past, and its total behind each token."""

    @property
    def views(self) -> tuple[ViewSpec, ...]:
        return (
            ViewSpec(name="uniform", kind="decoder_self", part="decoder", layer=0, size=1),
            ViewSpec(name="total", kind="state", part="decoder", layer=0, size=WIDTH),
        )

    def look(self, tokens: Tensor, state: State) -> tuple[Tensor, Views]:
        totals = self.embedding(tokens).cumsum(dim=1)
        return torch.tanh(totals), {"decoder_0_uniform": self.weights(tokens), "decoder_0_total": totals}

    def weights(self, tokens: Tensor) -> Tensor:
        seen = torch.ones(tokens.shape[1], tokens.shape[1]).tril()
        return (seen / seen.sum(dim=-1, keepdim=True))[None, None]


class ShowsNothing(Shows):
    """Declares views and has none."""

    def look(self, tokens: Tensor, state: State) -> tuple[Tensor, Views]:
        return StepModel.look(self, tokens, state)


class ShowsOther(Shows):
    """Computes something else when it is looked at."""

    def look(self, tokens: Tensor, state: State) -> tuple[Tensor, Views]:
        features, views = super().look(tokens, state)
        return 0.9 * features, views


class ShowsAhead(Shows):
    """Reads what comes later."""

    def weights(self, tokens: Tensor) -> Tensor:
        return torch.ones(1, 1, tokens.shape[1], tokens.shape[1]) / tokens.shape[1]


class ShowsTooMuch(Shows):
    """Its weights are no shares of anything."""

    def weights(self, tokens: Tensor) -> Tensor:
        return 0.5 * super().weights(tokens)


def not_a_model() -> int:
    return 3
