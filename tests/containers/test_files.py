"""What can be said of the images and the stack without running them. These run with every test."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
OVERRIDES = sorted((ROOT / "deploy" / "compose").glob("*.yml"))


def locked(name: str) -> dict[str, str]:
    """Return the versions that a lock file pins, by package."""
    text = (ROOT / name).read_text(encoding="utf-8")
    pins = re.findall(r"^([A-Za-z0-9._-]+)==(\S+) \\\n    --hash=sha256:", text, re.MULTILINE)
    assert len(pins) == len(re.findall(r"^[a-z]", text, re.MULTILINE)), f"{name}: a line is not a pin with a hash"
    return {canonicalize_name(package): version for package, version in pins}


@pytest.mark.parametrize(
    ("name", "extras"),
    [
        ("service/requirements-cpu.txt", ["cpu", "traces"]),
        ("service/requirements-gpu.txt", ["gpu", "traces"]),
        ("training/requirements.txt", ["cpu", "train", "export"]),
    ],
)
def test_lock_files_hold_what_the_project_asks_for(name: str, extras: list[str]):
    pins = locked(name)
    wanted = [*PROJECT["dependencies"], *(each for extra in extras for each in PROJECT["optional-dependencies"][extra])]
    for requirement in map(Requirement, wanted):
        package = canonicalize_name(requirement.name)
        if package == "torch":  # its build is chosen when the image is built, its version in the Dockerfile
            dockerfile = (ROOT / "training" / "Dockerfile").read_text(encoding="utf-8")
            assert requirement.specifier.contains(re.findall(r"TORCH_VERSION=(\S+)", dockerfile)[0])
        else:
            assert requirement.specifier.contains(pins[package]), f"{name}: {requirement}, run make lock"


def test_images_agree_on_every_version():
    versions = [locked(f"service/requirements-{name}.txt") for name in ("cpu", "gpu", "build")]
    versions.append(locked("training/requirements.txt"))
    for package in set.union(*(set(pins) for pins in versions)):
        assert len({pins[package] for pins in versions if package in pins}) == 1, package


@pytest.mark.parametrize("name", list(COMPOSE["services"]))
def test_every_service_is_hardened_and_limited(name: str):
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "memory" in service["deploy"]["resources"]["limits"]
    assert "restart" in service
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "userns_mode"} & service.keys()


def test_ports_are_published_on_the_loopback_address_alone():
    services = [COMPOSE["services"], *(yaml.safe_load(path.read_text())["services"] for path in OVERRIDES)]
    published = [port for each in services for service in each.values() for port in service.get("ports", ())]
    assert len(published) == 7
    assert all(re.match(r"\$\{\w+:-127\.0\.0\.1\}:", port) for port in published)


def test_a_server_may_drain_before_it_is_killed():
    server = COMPOSE["services"]["server"]
    asked = sum(float(server["environment"][f"SEQSTREAM_{name}_SECONDS"]) for name in ("LAME_DUCK", "DRAIN"))
    assert float(server["stop_grace_period"].removesuffix("s")) >= asked + 5


def test_envoy_has_one_cluster_of_servers_and_no_limit_on_the_length_of_a_stream():
    envoy = yaml.safe_load((ROOT / "deploy" / "envoy" / "envoy.yaml").read_text(encoding="utf-8"))["static_resources"]
    servers, page = envoy["clusters"]
    assert (servers["name"], servers["lb_policy"], page["name"]) == ("seqstream", "LEAST_REQUEST", "page")
    for listener in envoy["listeners"]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        assert manager["stream_idle_timeout"] == "0s"
        routes = manager["route_config"]["virtual_hosts"][0]["routes"]
        to_servers = [each["route"] for each in routes if each.get("route", {}).get("cluster") == "seqstream"]
        assert to_servers
        assert {route["timeout"] for route in to_servers} == {"0s"}
        to_page = {"/"} if listener["name"] == "web" else set()
        others = {each["match"]["prefix"] for each in routes if each.get("route", {}).get("cluster") == "page"}
        assert others == to_page
