"""What docs/scaling.md says of sticking: a channel behind a balancer of connections, with and without an age."""

import asyncio
import time

import grpc
import pytest

from benchmarks import balancers
from benchmarks.balancers import BalancerError
from benchmarks.load import request, run_stream
from benchmarks.server import serving
from protos.seqstream.v1 import model_pb2
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub
from protos.seqstream.v1.model_pb2_grpc import ModelServiceStub
from tests.exported import Bundles

SECONDS, TOKENS = 5.0, 200


async def servers_reached(address: str, servers: list[str]) -> set[str]:
    """Run four streams at all times over one channel and return the servers that were seen running any."""
    end = time.monotonic() + SECONDS

    async def client(stub: GenerationServiceStub) -> None:
        while time.monotonic() < end:
            assert (await run_stream(stub, request("gru", "", TOKENS))).tokens == TOKENS

    async def look(server: str) -> bool:
        found = False
        async with grpc.aio.insecure_channel(server) as channel:
            stub = ModelServiceStub(channel)
            while time.monotonic() < end:
                found |= (await stub.GetModel(model_pb2.GetModelRequest(model="gru"))).model.load.running > 0
                await asyncio.sleep(0.02)
        return found

    async with grpc.aio.insecure_channel(address) as channel:
        stub = GenerationServiceStub(channel)
        found = await asyncio.gather(*map(look, servers), *(client(stub) for _ in range(4)))
    return {server for server, seen in zip(servers, found, strict=False) if seen}


@pytest.mark.parametrize(("age", "reached"), [("0", 1), ("1", 2)], ids=["no age", "an age of a second"])
def test_streams_of_a_channel_behind_layer_4_stay_on_one_server_until_its_connection_ages(
    age: str, reached: int, bundles: Bundles
):
    bundles.path("gru")
    flags = ("--threads", "1", "--max-connection-age-seconds", age)
    with serving(bundles.models, *flags) as first, serving(bundles.models, *flags) as second:
        servers = [first.address, second.address]
        try:
            balancer = balancers.tcp(servers)
            with balancer as standing:
                assert len(asyncio.run(servers_reached(standing.address, servers))) == reached
        except BalancerError as error:
            if "is not installed" in str(error):
                pytest.skip(str(error))
            raise
