"""The client: generations as async iterators that outlive their server, and calls for the rest.

    async with Client("localhost:50051") as client:
        async for delta in client.generate("gru", "class Queue:", temperature=0.8):
            print(delta.text, end="")

A generation whose server goes away is continued on another, or on the same one come back, at the token where it broke:
no token and no text is lost, repeated or different. Errors are those of service/failures.py:

    ClientError
      InvalidArgument, Unauthenticated, PermissionDenied, NotFound, FailedPrecondition, Overloaded, Unavailable,
      DeadlineExceeded, Internal

`python -m service.client` is the command line: service/terminal.
"""

from __future__ import annotations

if __name__ == "__main__":  # before gRPC is imported: service/terminal/__init__.py tells why
    import sys

    from service.terminal.command_line import main

    sys.exit(main())

import ipaddress
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar, Unpack

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos.seqstream.v1 import generation_pb2 as pb
from protos.seqstream.v1 import inspection_pb2, model_pb2
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub
from protos.seqstream.v1.inspection_pb2_grpc import InspectionServiceStub
from protos.seqstream.v1.model_pb2_grpc import ModelServiceStub
from service.answers import Model, Score, TextToken
from service.retry import Attempts, Retry
from service.views import Activations, Attention
from service.wire import answers, inspected
from service.wire.continued import Call, Generation
from service.wire.failures import failure
from service.wire.inspected import Continuation, Maps, Units
from service.wire.options import Options, Prompt, generate_request, set_prompt
from service.wire.shown import Shown, Token, stays_here, token_in

__all__ = ["Client", "Credentials", "Token", "token_in", "trusting"]

Credentials = grpc.ChannelCredentials
_Response = TypeVar("_Response")

_VOCABULARIES = {None: pb.VOCABULARY_UNSPECIFIED, "source": pb.VOCABULARY_SOURCE, "target": pb.VOCABULARY_TARGET}
# Several servers behind one name share the calls, and those whose health says that they drain get none.
_SHARED = {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}
_OPTIONS = (
    ("grpc.max_receive_message_length", 64 << 20),
    # Every client has connections of its own; channels of the same address would share one.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A server that is gone without a word is noticed within half a minute.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


class Client:
    """A connection to one server, or to several: "host:port", or any target of gRPC's ("ipv4:1.2.3.4:1,1.2.3.5:1")."""

    def __init__(
        self,
        address: str = "localhost:50051",
        retry: Retry | None = None,
        credentials: Credentials | None = None,
        *,
        token: Token | None = None,
        tenant: str | None = None,
    ) -> None:
        """Remember the address; `async with` connects.

        credentials: for TLS, from `trusting` or gRPC's own; without them nothing is encrypted.
        token: shown with every call, itself or what returns it, such as `token_in(file)`.
        tenant: for whom the calls are, where the server asks nobody who calls, or the token is an admin's.

        Raises:
            ValueError: a token would leave this machine without TLS.
        """
        if token is not None and credentials is None and not stays_here(address):
            raise ValueError(f"a token goes to {address} over TLS only: give credentials")
        self._shown = Shown(token, tenant)
        self._address = address
        self._credentials = credentials
        self._retry = Retry() if retry is None else retry

    async def __aenter__(self) -> Self:
        # gRPC complains aloud where a proxy has no health to be watched, and of one address there is nothing to choose.
        shared = () if _is_single(self._address) else (("grpc.service_config", json.dumps(_SHARED)),)
        if self._credentials is None:
            self._channel = grpc.aio.insecure_channel(self._address, options=_OPTIONS + shared)
        else:
            self._channel = grpc.aio.secure_channel(self._address, self._credentials, options=_OPTIONS + shared)
        self._generation = GenerationServiceStub(self._channel)
        self._model = ModelServiceStub(self._channel)
        self._inspection = InspectionServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close(None)

    def generate(
        self, model: str, prompt: Prompt, *, timeout: float | None = None, **options: Unpack[Options]
    ) -> Generation:
        """Generate by "name" (its newest version) or "name@version", from text, token ids or a conversation's turns.

        timeout: seconds, over all attempts; what is there shortly before is delivered, with the reason "DEADLINE".
        options: fields of the request (service/wire/options.py).

        Raises:
            TypeError, ValueError: an option does not exist, or its value does not fit into the request.
        """
        request = generate_request(model, prompt, **options)
        return Generation(self._started, request, Attempts(self._retry, timeout))

    async def score(
        self,
        model: str,
        prompt: str | Sequence[int],
        continuation: str | Sequence[int],
        top_logprobs: int = 0,
    ) -> Score:
        """Return the log-probability of every token of a continuation, with as many alternatives."""
        request = pb.ScoreRequest(model=model, top_logprobs=top_logprobs)
        set_prompt(request, prompt)
        if isinstance(continuation, str):
            request.continuation_text = continuation
        else:
            request.continuation_token_ids.ids.extend(continuation)
        return answers.score(await self._ask(self._generation.Score, request))

    async def tokenize(
        self, model: str, text: str, vocabulary: Literal["source", "target"] | None = None
    ) -> list[TextToken]:
        """Return the tokens of a text, by default in the vocabulary of prompts."""
        request = pb.TokenizeRequest(model=model, text=text, vocabulary=_VOCABULARIES[vocabulary])
        return answers.text_tokens(await self._ask(self._generation.Tokenize, request))

    async def detokenize(
        self, model: str, token_ids: Sequence[int], vocabulary: Literal["source", "target"] | None = None
    ) -> str:
        """Return the text of tokens, by default of those that the model writes."""
        request = pb.DetokenizeRequest(model=model, token_ids=token_ids, vocabulary=_VOCABULARIES[vocabulary])
        response: pb.DetokenizeResponse = await self._ask(self._generation.Detokenize, request)
        return response.text

    async def attend(
        self, model: str, prompt: Prompt, continuation: Continuation = None, **options: Unpack[Maps]
    ) -> Attention:
        """Return attention maps over a prompt and its continuation, which a model with a source cannot do without.

        options: which maps (service/wire/inspected.py). Raises ValueError for a kind that there is not.
        """
        request = inspected.attend_request(model, prompt, continuation, **options)
        response: inspection_pb2.AttendResponse = await self._ask(self._inspection.Attend, request)
        return inspected.attention(response)

    async def inspect(
        self, model: str, prompt: Prompt, continuation: Continuation = None, **options: Unpack[Units]
    ) -> Activations:
        """Return activations over time, such as gates and states, over a prompt and its continuation.

        options: which activations (service/wire/inspected.py).
        """
        request = inspected.inspect_request(model, prompt, continuation, **options)
        response: inspection_pb2.InspectResponse = await self._ask(self._inspection.Inspect, request)
        return inspected.activations(response)

    async def models(self) -> list[Model]:
        """Return every version of every model, those too that come, go or could not be loaded: see their state."""
        response: model_pb2.ListModelsResponse = await self._ask(self._model.ListModels, model_pb2.ListModelsRequest())
        return [answers.model(model) for model in response.models]

    async def model(self, name: str) -> Model:
        """Return one model, by "name" or "name@version"."""
        response = await self._ask(self._model.GetModel, model_pb2.GetModelRequest(model=name))
        return answers.model(response.model)

    async def load(self, name: str) -> Model:
        """Serve "name@version", or the newest version of "name" in the server's folder, and return it. For admins."""
        response = await self._ask(self._model.LoadModel, model_pb2.LoadModelRequest(model=name))
        return answers.model(response.model)

    async def unload(self, name: str, drain: float | None = None) -> None:
        """Serve "name@version" no longer; return once its streams have ended and it is freed. For admins.

        drain: seconds after which streams are ended; None: never.
        """
        request = model_pb2.UnloadModelRequest(model=name)
        if drain is not None:
            request.drain.FromNanoseconds(int(drain * 1e9))
        await self._ask(self._model.UnloadModel, request)

    async def health(self, model: str = "") -> str:
        """Return the health of a model, or of the whole server: "SERVING", "NOT_SERVING", ... (grpc.health.v1)."""
        request = health_pb2.HealthCheckRequest(service=model)
        response = await self._ask(self._health.Check, request)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))

    def _started(self, request: pb.GenerateRequest, *, timeout: float | None) -> Call:
        call: Call = self._generation.Generate(request, timeout=timeout, metadata=self._shown.metadata())
        return call

    async def _ask(self, method: Callable[..., Awaitable[_Response]], request: Message) -> _Response:
        attempts = Attempts(self._retry, None)
        while True:
            try:
                return await method(request, metadata=self._shown.metadata())
            except grpc.aio.AioRpcError as error:
                await attempts.fail(failure(error))


def _is_single(address: str) -> bool:
    """Whether an address can only be one server: this machine, or a number."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def trusting(authority: Path, certificate: Path | None = None, key: Path | None = None) -> Credentials:
    """Return credentials for TLS with servers whose certificate is signed by that of `authority`. All are PEM files.

    certificate, key: of this client, for servers that ask for one. Raises OSError.
    """
    chain = None if certificate is None else certificate.read_bytes()
    return grpc.ssl_channel_credentials(authority.read_bytes(), None if key is None else key.read_bytes(), chain)
