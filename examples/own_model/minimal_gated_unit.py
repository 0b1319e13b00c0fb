"""A model of your own: a recurrent cell that seqstream does not have (the minimal gated unit of Zhou et al. 2016)."""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from bundle.manifest import StateSpec
from training.models.step_model import State, StepModel
from training.models.unroll import unroll
from training.tokenization import train_tokenizer


class MinimalGatedUnit(StepModel):
    vocabulary_size, width = 320, 64

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(self.vocabulary_size, self.width)
        self.gate, self.update = (nn.Linear(2 * self.width, self.width) for _ in range(2))
        self.head = nn.Linear(self.width, self.vocabulary_size)

    @property
    def states(self) -> tuple[StateSpec, ...]:  # what a row remembers: zeros at the start, one tensor here
        return (StateSpec(name="hidden", kind="recurrent", dtype="float32", shape=(self.width,)),)

    def cell(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        hidden = state["hidden"]
        forget = torch.sigmoid(self.gate(torch.cat((x, hidden), dim=-1)))
        new = torch.tanh(self.update(torch.cat((x, forget * hidden), dim=-1)))
        hidden = (1 - forget) * hidden + forget * new
        return hidden, {"hidden": hidden}

    def step(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        return unroll(self.cell, self.embedding(tokens), lengths, state)

    def logits(self, features: Tensor) -> Tensor:
        return self.head(features)


def build() -> StepModel:
    return MinimalGatedUnit()


if __name__ == "__main__":  # python minimal_gated_unit.py TEXT: writes tokenizer.json and weights.pt
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    tokenizer = train_tokenizer("bpe", [text], MinimalGatedUnit.vocabulary_size)
    ids, model = torch.tensor([tokenizer.encode(text).ids[:4096]]), build()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(100):
        at = torch.randint(max(1, ids.shape[1] - 33), (8,))
        window = torch.stack([ids[0, start : start + 33] for start in at.tolist()])
        length = torch.full((8,), window.shape[1] - 1)
        logits, _ = model(window[:, :-1], length, model.initial_state(8))
        loss = nn.functional.cross_entropy(logits.transpose(1, 2), window[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"loss {loss.item():.2f} nats per token")
    torch.save(model.state_dict(), "weights.pt")
    tokenizer.save("tokenizer.json")
