"""Prometheus itself, as Debian has it, asks a live server: its rules load, and every query finds something to ask."""

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from socket import create_server
from typing import Any

import grpc
import pytest
import yaml

from deploy.grafana.__main__ import FILE as DASHBOARD
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub
from service.metrics.catalogue import ALL
from tests.service.wire.asking import ask
from tests.service.wire.running import PATIENCE, ROOT, Process, start_process
from tests.service.wire.test_metrics import url_of

FOLDER = ROOT / "deploy" / "prometheus"
# What a name in a query means that is neither a function's nor a label's.
NAMES = re.compile(r"\b(?:seqstream|process)_\w+|\bup\b")
# Those that Prometheus makes itself.
ITS_OWN = {"up"}

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None, reason="there is no Prometheus here"
)


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return group["rules"]


def drawn() -> list[str]:
    """Every expression of the dashboard, its variables filled in."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [re.sub(r"\$(instance|model_name)", ".*", one).replace("$__rate_interval", "5s") for one in found]


class Prometheus:
    """A Prometheus with the project's configuration, which asks one server twice a second."""

    def __init__(self, folder: Path, server: Process) -> None:
        config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
        (job,) = config["scrape_configs"]
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": [urllib.parse.urlsplit(url_of(server)).netloc]}]
        config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        shutil.copy(FOLDER / "alerts.yml", folder)
        with create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen([*command, f"--web.listen-address={self.address}"], stderr=self.log)

    def ask(self, path: str, **parameters: str) -> Any:
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as response:
            return json.loads(response.read())["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        return self.ask("query", query=expression)["result"]

    def wait_for(self, expression: str) -> None:
        """Return once a query finds something."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                if self.query(expression):
                    return
            except OSError:  # it does not listen yet
                pass
            time.sleep(0.1)
        self.log.seek(0)
        raise AssertionError(f"{expression} finds nothing: {self.log.read()}")

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)
        self.log.close()


@pytest.fixture(scope="module")
def prometheus(models_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that has seen a server answer calls, well and not."""
    server = start_process(models_folder, 0, ("--metrics-port", "0"))
    found = Prometheus(tmp_path_factory.mktemp("prometheus"), server)
    try:
        found.wait_for("seqstream_rows")
        with grpc.insecure_channel(server.address) as channel:
            stub = GenerationServiceStub(channel)
            for _ in range(3):
                assert len(list(stub.Generate(ask(), timeout=PATIENCE))) > 2
            with pytest.raises(grpc.RpcError):
                list(stub.Generate(ask(model="nope"), timeout=PATIENCE))
        found.wait_for('rate(seqstream_requests_total{code="OK"}[5s]) > 0 or seqstream_requests_total{code="OK"} == 3')
        yield found
    finally:
        found.end()
        server.kill()


def test_the_rules_of_alerts_are_sound_and_fire_when_they_should():
    for arguments in (("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")):
        done = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_and_tells_what_is_the_matter():
    tests = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
    fired = {one["alertname"] for each in tests for one in each["alert_rule_test"] if one.get("exp_alerts")}
    silent = {one["alertname"] for each in tests for one in each["alert_rule_test"] if not one.get("exp_alerts")}
    names = {rule["alert"] for rule in rules()}
    assert fired == silent == names
    assert all(rule["annotations"]["summary"] for rule in rules())


def test_the_compose_file_gives_prometheus_the_rules_beside_its_configuration():
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["prometheus"]
    mounted = {volume.split(":")[1] for volume in service["volumes"]}
    loaded = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["rule_files"]
    assert {f"/etc/prometheus/{name}" for name in loaded} <= mounted


def test_prometheus_has_loaded_every_rule(prometheus: Prometheus):
    (group,) = prometheus.ask("rules")["groups"]
    assert [rule["name"] for rule in group["rules"]] == [rule["alert"] for rule in rules()]
    prometheus.wait_for("up == 1")
    assert {rule["health"] for rule in prometheus.ask("rules")["groups"][0]["rules"]} <= {"ok", "unknown"}
    assert [alert for alert in prometheus.ask("alerts")["alerts"] if alert["state"] == "firing"] == []


def test_every_metric_answers(prometheus: Prometheus):
    silent = [metric.series for metric in ALL if not prometheus.query(metric.series)]
    assert silent == []
    assert {sample["metric"]["job"] for sample in prometheus.query("seqstream_rows")} == {"seqstream"}


def test_prometheus_knows_every_name_that_alerts_and_the_dashboard_ask_for(prometheus: Prometheus):
    known = {*prometheus.ask("label/__name__/values"), *ITS_OWN}
    for expression in [*drawn(), *(rule["expr"] for rule in rules())]:
        asked = set(NAMES.findall(expression))
        assert asked, expression
        assert asked <= known, expression


def test_every_query_of_the_dashboard_and_the_alerts_is_understood(prometheus: Prometheus):
    prometheus.wait_for("rate(seqstream_event_loop_lag_seconds_count[5s]) > 0")
    expressions = drawn()
    assert len(expressions) >= len(ALL)
    for expression in [*expressions, *(rule["expr"] for rule in rules())]:
        prometheus.query(expression)  # raises where it is not
