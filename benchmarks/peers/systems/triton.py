"""The same recurrent language models behind PyTriton (Triton's Python backend), decoupled, batched by Triton.

    python -m benchmarks.peers.systems.triton lstm|gru THREADS

Triton gathers requests that wait into a batch, which then decodes in step until all its streams are done. The client
is a process of its own, `triton client PORT NEW_TOKENS`, with a thread and a connection for every stream.
"""

from __future__ import annotations

import json
import queue
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import tritonclient.grpc
from numpy.typing import NDArray
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from benchmarks.peers.systems.answers import Generated, Peer, serve
from benchmarks.peers.systems.torch_grpc import LanguageModel

LARGEST_BATCH = 32


class Server(Peer):
    """A model behind PyTriton, in this process and those that Triton starts."""

    def __init__(self, kind: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self._model = LanguageModel(kind).eval()
        self._port, http, metrics = (_free_port() for _ in range(3))
        config = TritonConfig(grpc_port=self._port, http_port=http, metrics_port=metrics, log_verbose=0)
        self._triton = Triton(config=config)
        self._triton.bind(
            model_name="model",
            infer_func=self._generate,
            inputs=[_tensor("prompt", -1), _tensor("count", 1)],
            outputs=[_tensor("token", 1)],
            config=ModelConfig(
                max_batch_size=LARGEST_BATCH,
                batcher=DynamicBatcher(max_queue_delay_microseconds=1000),
                decoupled=True,
            ),
        )
        self._triton.run()

    @batch  # type: ignore[untyped-decorator]
    def _generate(self, prompt: NDArray[np.int64], count: NDArray[np.int64]) -> Iterator[dict[str, NDArray[np.int64]]]:
        tokens, state = torch.from_numpy(prompt.copy()), None
        for _ in range(int(count.max())):
            with torch.inference_mode():
                logits, state = self._model(tokens, state)
                tokens = logits.argmax(dim=-1, keepdim=True)
            yield {"token": tokens.numpy()}

    def generate(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Generated:
        command = [sys.executable, "-m", "benchmarks.peers.systems.triton", "client", str(self._port), str(new_tokens)]
        asked = json.dumps([list(prompt) for prompt in prompts])
        done = subprocess.run(command, input=asked, capture_output=True, text=True, check=False, timeout=140)
        if done.returncode:
            raise RuntimeError((done.stderr.strip().splitlines() or ["the client failed"])[-1])
        return Generated(json.loads(done.stdout))

    def close(self) -> None:
        """End Triton."""
        self._triton.stop()


def client(port: int, new_tokens: int, prompts: list[list[int]]) -> list[list[float]]:
    """Return when the tokens of every prompt came; a connection and a thread each, all up before the first is sent."""
    clients = [tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{port}") for _ in prompts]
    answers: list[queue.Queue[object]] = [queue.Queue() for _ in prompts]
    arrivals: list[list[float]] = [[] for _ in prompts]
    began = time.perf_counter()

    def run(number: int) -> None:
        def arrived(result: object, error: object) -> None:
            arrivals[number].append(time.perf_counter() - began)
            if error is not None or len(arrivals[number]) == new_tokens:
                answers[number].put(error)

        inputs = []
        for name, values in (("prompt", [prompts[number]]), ("count", [[new_tokens]])):
            array = np.array(values, np.int64)
            inputs.append(tritonclient.grpc.InferInput(name, array.shape, "INT64"))
            inputs[-1].set_data_from_numpy(array)
        clients[number].start_stream(callback=arrived)
        clients[number].async_stream_infer("model", inputs, request_id=str(number + 1))
        error = answers[number].get(timeout=130)
        clients[number].stop_stream()
        if error is not None:
            raise RuntimeError(str(error))

    with ThreadPoolExecutor(len(prompts)) as pool:
        list(pool.map(run, range(len(prompts))))
    return arrivals


def _tensor(name: str, size: int) -> Tensor:
    return Tensor(name=name, dtype=np.int64, shape=(size,))


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def main(arguments: list[str]) -> None:
    """Serve, or be the client."""
    if arguments[0] == "client":
        print(json.dumps(client(int(arguments[1]), int(arguments[2]), json.load(sys.stdin))))
        return
    serve(lambda: Server(arguments[0], int(arguments[1])))


if __name__ == "__main__":
    main(sys.argv[1:])
