"""What people write first: a PyTorch recurrent language model in an eager loop, a grpcio thread for every request.

    python -m benchmarks.peers.systems.torch_grpc lstm|gru threads|lock THREADS

threads: requests compute side by side, each with one thread.   lock: one step at a time, with all threads.
Prints `{"address": ...}` and serves until stdin ends. A request is JSON, a message of the stream one token as JSON.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import grpc
import torch
from torch import Tensor, nn

VOCABULARY, WIDTH, LAYERS = 8_000, 512, 2
METHOD = "/peer.Generation/Generate"
REQUESTS = 128


class LanguageModel(nn.Module):
    """Embedding, recurrent layers, head: the shape that ours has too, untrained."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        network = {"lstm": nn.LSTM, "gru": nn.GRU}[kind]
        self.network = network(WIDTH, WIDTH, num_layers=LAYERS, batch_first=True)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor, state: object | None) -> tuple[Tensor, object]:
        """Take `tokens` [B, T]; return the logits behind the last, [B, V], and the new state."""
        features, state = self.network(self.embedding(tokens), state)
        return self.head(features[:, -1]), state


class Servicer:
    """Generates greedily, one request a thread."""

    def __init__(self, model: LanguageModel, turn: AbstractContextManager[object]) -> None:
        self._model, self._turn = model, turn

    def generate(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        """Yield a token a message."""
        asked = json.loads(request)
        tokens, state = torch.tensor([asked["prompt"]]), None
        for _ in range(asked["new_tokens"]):
            with self._turn, torch.inference_mode():
                logits, state = self._model(tokens, state)
                tokens = logits.argmax(dim=-1, keepdim=True)
                chosen = int(tokens)
            yield json.dumps(chosen).encode()


def main(kind: str, sharing: str, threads: int) -> None:
    """Serve."""
    torch.manual_seed(0)
    torch.set_num_threads(threads if sharing == "lock" else 1)
    turn: AbstractContextManager[object] = threading.Lock() if sharing == "lock" else contextlib.nullcontext()
    servicer = Servicer(LanguageModel(kind).eval(), turn)
    server = grpc.server(ThreadPoolExecutor(REQUESTS))
    service, method = METHOD[1:].split("/")
    handler = grpc.unary_stream_rpc_method_handler(servicer.generate)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(json.dumps({"address": f"127.0.0.1:{port}"}), flush=True)
    sys.stdin.read()
    server.stop(0).wait()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
