"""llama.cpp: its own server, asked over HTTP by one thread a stream; perplexity by its own tool.

    python -m benchmarks.peers.systems.llama_cpp FILE.gguf THREADS BINARIES TEXT

BINARIES: folder with llama-server and llama-perplexity.   TEXT: file whose tokens the windows are.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.peers.systems.answers import Generated, Peer, Watch, serve

SLOTS, TOKENS_EACH = 32, 512


class LlamaServer(Peer):
    """A running llama-server."""

    def __init__(self, model: str, threads: int, binaries: str, text: str) -> None:
        self._model, self._threads, self._binaries, self._text = model, threads, Path(binaries), text
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        flags = ["-m", model, "-t", str(threads), "-tb", str(threads), "-c", str(SLOTS * TOKENS_EACH)]
        place = ["--parallel", str(SLOTS), "--host", "127.0.0.1", "--port", str(self._port)]
        self._server = subprocess.Popen([str(self._binaries / "llama-server"), *flags, *place], stdout=sys.stderr)
        self._wait()

    def generate(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Generated:
        watch = Watch(len(prompts))
        with ThreadPoolExecutor(len(prompts)) as pool:
            asked = [
                pool.submit(self._stream, watch, number, prompt, new_tokens) for number, prompt in enumerate(prompts)
            ]
            tokens = [one.result() for one in asked]
        return Generated(watch.arrivals, tokens)

    def loss(self, windows: Sequence[Sequence[int]], first: int) -> float:
        """Return what llama-perplexity says: it scores the second half of every window, as all others here do."""
        length = len(windows[0])
        assert first == length // 2, "llama-perplexity scores what lies behind the middle of a window"
        command = [str(self._binaries / "llama-perplexity"), "-m", self._model, "-f", self._text]
        options = ["-c", str(length), "-b", str(length), "-t", str(self._threads), "--chunks", str(len(windows))]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=True, timeout=300)
        found = re.search(r"Final estimate: PPL = ([\d.]+)", done.stdout + done.stderr)
        assert found is not None, "llama-perplexity told no perplexity"
        return math.log(float(found[1])) * len(windows) * (length - 1 - first)

    def processes(self) -> list[int]:
        return [self._server.pid]

    def close(self) -> None:
        """End the server."""
        self._server.terminate()
        self._server.wait(10)

    def _wait(self) -> None:
        for _ in range(600):
            if self._server.poll() is not None:
                raise RuntimeError("llama-server ended before it listened")
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
                connection.request("GET", "/health")
                if connection.getresponse().status == http.HTTPStatus.OK:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise RuntimeError("llama-server did not become healthy within a minute")

    def _stream(self, watch: Watch, number: int, prompt: Sequence[int], new_tokens: int) -> list[int]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=300)
        asked = {"prompt": list(prompt), "n_predict": new_tokens, "ignore_eos": True, "temperature": 0.0}
        form = {"stream": True, "return_tokens": True, "cache_prompt": False, "samplers": ["top_k"], "top_k": 1}
        connection.request("POST", "/completion", json.dumps(asked | form), {"Content-Type": "application/json"})
        answer, tokens = connection.getresponse(), list[int]()
        while line := answer.readline():
            if line.startswith(b"data: {"):
                for token in json.loads(line[6:]).get("tokens", []):
                    tokens.append(token)
                    watch.tick(number)
        return tokens


if __name__ == "__main__":
    os.environ.setdefault("LLAMA_ARG_CACHE_RAM", "0")
    serve(lambda: LlamaServer(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]))
