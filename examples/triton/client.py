"""Triton's own client, unchanged:

    pip install "tritonclient[grpc]"
    python examples/triton/client.py localhost:50051 gru "class Queue:"

It streams text and tells errors. docs/open-inference.md tells of all tensors and parameters.
"""

import queue
import sys

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import InferenceServerException

Answer = tuple[InferResult | None, InferenceServerException | None]


def stream(client: InferenceServerClient, model: str, text: str, most: int) -> InferResult:
    """Print text as it comes, and return the last response. Raises InferenceServerException."""
    answers: queue.Queue[Answer] = queue.Queue()
    prompt = InferInput("text_input", [1], "BYTES")
    prompt.set_data_from_numpy(np.array([text], object))
    client.start_stream(lambda result, error: answers.put((result, error)))
    client.async_stream_infer(
        model,
        [prompt],
        outputs=[InferRequestedOutput(name) for name in ("text_output", "num_output_tokens")],
        parameters={"temperature": 0.8, "max_tokens": most},
    )
    while True:
        result, error = answers.get(timeout=60)
        if error is not None:
            raise error
        print(result.as_numpy("text_output")[0].decode(), end="", flush=True)
        if result.get_response().parameters["triton_final_response"].bool_param:
            client.stop_stream()
            return result


def main(address: str, model: str, text: str, most: str = "100") -> int:
    """Generate. Returns the exit code."""
    with InferenceServerClient(address) as client:
        try:
            last = stream(client, model, text, int(most))
        except InferenceServerException as error:
            print(error.message(), file=sys.stderr)
            client.stop_stream()
            return 1
    told = last.get_response().parameters
    count, reason, seed = last.as_numpy("num_output_tokens")[0], told["finish_reason"], told["seed"]
    print()
    print(f"{count} tokens, {reason.string_param}, seed {seed.uint64_param}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
