"""Real balancers: streams of two servers come through each of them, token by token."""

import asyncio
from collections.abc import Iterator

import pytest
import yaml

from benchmarks import balancers
from benchmarks.balancers import BALANCERS, BalancerError
from benchmarks.load import request, run_streams
from benchmarks.server import ServerProcess, serving
from tests.exported import Bundles


@pytest.fixture(scope="module")
def servers(bundles: Bundles) -> Iterator[list[ServerProcess]]:
    bundles.path("gru")
    with serving(bundles.models, "--threads", "1") as first, serving(bundles.models, "--threads", "1") as second:
        yield [first, second]


@pytest.mark.parametrize("name", [name for name in BALANCERS if name != "round_robin"])
def test_streams_come_token_by_token_through(name: str, servers: list[ServerProcess]):
    try:
        balancer = BALANCERS[name]([server.address for server in servers])
        with balancer as standing:
            message = request("gru", "", 50)
            message.output.max_tokens_per_message = 1
            record = asyncio.run(run_streams(standing.address, message, 8))
    except BalancerError as error:
        if "is not installed" in str(error):
            pytest.skip(str(error))
        raise
    assert [stream.tokens for stream in record.streams] == [50] * 8
    assert record.messages == 400


def test_the_deployed_configuration_of_envoy_gets_other_servers_and_ports_and_is_the_same_else():
    deployed = yaml.safe_load(balancers.ENVOY_CONFIGURATION.read_text(encoding="utf-8"))
    configuration = balancers.envoy_configuration(deployed, ["127.0.0.1:7001", "127.0.0.1:7002"], 7000)
    text = yaml.safe_dump(configuration)
    assert [text.count(f"port_value: {port}\n") for port in (7000, 7001, 7002)] == [1, 1, 1]
    assert "0.0.0.0" not in text
    for cluster, was in zip(*(one["static_resources"]["clusters"] for one in (configuration, deployed)), strict=True):
        changed = {key for key in cluster if cluster[key] != was[key]}
        assert changed == {"type", "load_assignment"}


def test_nothing_behind_a_balancer_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(balancers, "_START_SECONDS", 1.0)
    with pytest.raises(BalancerError, match="no server answers through"), _haproxy_in_front_of_nothing():
        pass


def _haproxy_in_front_of_nothing():
    try:
        balancers.find("haproxy")
    except BalancerError as error:
        pytest.skip(str(error))
    return balancers.haproxy([f"127.0.0.1:{balancers.free_port()}"])


def test_a_binary_that_is_not_there_is_named():
    with pytest.raises(BalancerError, match="no-such-balancer is not installed"):
        balancers.find("no-such-balancer")
