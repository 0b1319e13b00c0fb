"""A complete client in Python, made from the .proto file alone: streams text, tells errors, survives its server.
The code is made by

    pip install grpcio-tools grpcio-status
    python -m grpc_tools.protoc -I . --python_out . --grpc_python_out . protos/seqstream/v1/generation.proto
    PYTHONPATH=. python examples/python/sync.py localhost:50051 gru "class Queue:"
"""

import sys
import time

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from protos.seqstream.v1 import generation_pb2 as pb
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub


def stream(service: GenerationServiceStub, request: pb.GenerateRequest) -> int:
    """Print what comes, and return 0 at the end; keep in `request` what another call needs to go on from there."""
    rest = ""  # text behind the last token: it would come again, too
    for response in service.Generate(request, timeout=60):
        started, delta, finished = response.started, response.delta, response.finished
        if response.HasField("started"):
            request.model, request.seed = started.model, started.seed
        elif delta.token_ids:
            print(delta.text, end="", flush=True)
            request.resume_token_ids.extend(delta.token_ids)
        elif response.HasField("delta"):
            rest = delta.text
        elif response.HasField("finished"):
            print(rest, flush=True)
            count, reason = finished.usage.generated_tokens, pb.FinishReason.Name(finished.reason)
            print(f"{count} tokens, {reason}, seed {request.seed}", file=sys.stderr)
    return 0


def main(address: str, model: str, text: str, most: str = "100") -> int:
    """Generate. Returns the exit code."""
    sampling, stop, attempts = pb.SamplingParameters(temperature=0.8), pb.StopConditions(max_new_tokens=int(most)), 0
    request = pb.GenerateRequest(model=model, text=text, sampling=sampling, stop=stop)
    with grpc.insecure_channel(address) as channel:
        while True:
            try:
                had = len(request.resume_token_ids)
                return stream(GenerationServiceStub(channel), request)
            except grpc.RpcError as error:
                attempts = attempts + 1 if len(request.resume_token_ids) == had else 0
                if error.code() is not grpc.StatusCode.UNAVAILABLE or attempts > 5:
                    print(f"{error.code().name}: {error.details()}", file=sys.stderr)
                    for packed in getattr(rpc_status.from_call(error), "details", ()):
                        packed.Unpack(bad := error_details_pb2.BadRequest())
                        print(*(f"  {one.field} {one.description}" for one in bad.field_violations), file=sys.stderr)
                    return 1
                time.sleep(0.1 * 2**attempts)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
