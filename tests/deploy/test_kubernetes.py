"""The manifests: valid for Kubernetes, and in agreement with themselves, with the server's settings and its metrics."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.metrics.calls import CallMetrics
from service.metrics.exposition import collect_all
from service.metrics.process import LoopLag
from service.models import Models
from service.settings import Settings, SettingsError, read_settings

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
SERVERS = ("cpu", "gpu", "access")

Manifest = dict[str, Any]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False)


def render(folder: Path) -> dict[tuple[str, str], Manifest]:
    """The objects of a folder, by kind and name."""
    done = run("kubectl", "kustomize", folder)
    assert done.returncode == 0, done.stderr
    objects = [one for one in yaml.safe_load_all(done.stdout) if one]
    found = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    assert len(found) == len(objects)
    return found


@pytest.fixture(scope="module", params=SERVERS)
def objects(request: pytest.FixtureRequest) -> dict[tuple[str, str], Manifest]:
    return render(KUBERNETES / "overlays" / request.param)


@pytest.fixture
def template(objects) -> Manifest:
    return objects["Deployment", "seqstream"]["spec"]["template"]


@pytest.fixture
def pod(template) -> Manifest:
    return template["spec"]


@pytest.fixture
def server(pod) -> Manifest:
    (server,) = pod["containers"]
    return server


@pytest.fixture
def settings(server, monkeypatch) -> Settings:
    """What the server makes of the environment that the manifests give it."""
    for name in [name for name in os.environ if name.startswith("SEQSTREAM_")]:
        monkeypatch.delenv(name)
    for variable in server["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    return read_settings([])


def exposed() -> set[str]:
    """The names of the gauges that a server exposes."""
    metrics = collect_all(Models(()), None, CallMetrics(), LoopLag()).collect()
    return {metric.name for metric in metrics if metric.type == "gauge"}


def port_of(server: Manifest, name: str) -> int:
    (port,) = [port["containerPort"] for port in server["ports"] if port["name"] == name]
    return port


def ports_of(server: Manifest) -> set[str]:
    return {port["name"] for port in server["ports"]}


def cores(quantity: str) -> int:
    assert re.fullmatch(r"\d+", quantity), "whole cores"
    return int(quantity)


def test_every_overlay_is_valid():
    done = run("bash", KUBERNETES / "check.sh")
    assert (done.returncode, done.stderr) == (0, "")
    assert {Path(line.partition(":")[0]).name for line in done.stdout.splitlines()} == {*SERVERS, "metrics"}


@pytest.mark.parametrize(
    ("given", "broken", "complaint"),
    [
        ("\nspec:\n", "\nspec:\n  replicas: two\n", "spec.replicas: 'two' is not of type 'integer'"),
        ("maxSurge: 1", "maxSurges: 1", "'maxSurges' was unexpected"),
    ],
)
def test_a_broken_manifest_is_refused(tmp_path, given, broken, complaint):
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    file = tmp_path / "kubernetes" / "base" / "deployment.yaml"
    assert given in file.read_text()
    file.write_text(file.read_text().replace(given, broken, 1))
    done = run("bash", tmp_path / "kubernetes" / "check.sh")
    assert done.returncode == 1
    assert complaint in done.stderr


def test_a_folder_that_cannot_be_rendered_is_refused(tmp_path):
    done = run("bash", KUBERNETES / "check.sh", tmp_path)
    assert done.returncode != 0
    assert "kustomization" in done.stderr


def test_the_environment_is_the_servers_settings(server, settings):
    names = [variable["name"] for variable in server["env"]]
    assert len(set(names)) == len(names)
    assert {name.removeprefix("SEQSTREAM_").lower() for name in names} <= set(Settings.model_fields)
    assert settings.host == "0.0.0.0"
    (models,) = [mount for mount in server["volumeMounts"] if mount["mountPath"] == str(settings.models)]
    assert models["readOnly"]


def test_variables_of_services_stay_away_because_the_server_would_not_start(pod, settings, monkeypatch):
    assert pod["enableServiceLinks"] is False
    monkeypatch.setenv("SEQSTREAM_PORT", "tcp://10.96.0.1:50051")  # what they would be
    with pytest.raises(SettingsError, match="--port"):
        read_settings([])


def test_the_device_is_the_one_whose_resources_are_asked_for(server, settings):
    gpus = int(server["resources"]["limits"].get("nvidia.com/gpu", 0))
    assert (settings.device, gpus) in {("cpu", 0), ("cuda", 1)}
    assert server["image"].endswith("-gpu") == (gpus == 1)


def test_threads_leave_one_core_of_the_limit_to_messages(server, settings):
    assert settings.threads == cores(server["resources"]["limits"]["cpu"]) - 1
    assert server["resources"]["requests"].items() <= server["resources"]["limits"].items()


def test_the_grace_period_is_longer_than_everything_that_a_server_does_before_it_ends(pod, server, settings):
    before = server["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= before + settings.lame_duck_seconds + settings.drain_seconds + 10


def test_liveness_has_more_patience_than_a_server_that_drains_needs(server, settings):
    probe = server["livenessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] > settings.lame_duck_seconds + settings.drain_seconds


def test_probes_ask_the_whole_server_at_the_port_that_speaks_no_tls(server, settings):
    assert (settings.tls_cert is None) == (settings.health_port is None)
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server[name]["grpc"] == {"port": settings.health_port or settings.port}
        assert server[name]["timeoutSeconds"] <= 5


def test_ports_and_annotations_are_those_of_the_settings(template, server, settings):
    assert (port_of(server, "grpc"), port_of(server, "metrics")) == (settings.port, settings.metrics_port)
    annotations = template["metadata"]["annotations"]
    assert annotations["prometheus.io/scrape"] == "true"
    assert annotations["prometheus.io/port"] == str(settings.metrics_port)


def test_every_selector_finds_the_pods(objects, template):
    labels = template["metadata"]["labels"].items()
    deployment = objects["Deployment", "seqstream"]["spec"]
    selectors = [
        deployment["selector"]["matchLabels"],
        objects["Service", "seqstream"]["spec"]["selector"],
        objects["Service", "seqstream-headless"]["spec"]["selector"],
        objects["PodDisruptionBudget", "seqstream"]["spec"]["selector"]["matchLabels"],
        objects["NetworkPolicy", "seqstream"]["spec"]["podSelector"]["matchLabels"],
        *[one["labelSelector"]["matchLabels"] for one in template["spec"]["topologySpreadConstraints"]],
    ]
    assert all(selector and selector.items() <= labels for selector in selectors)


def test_services_and_the_policy_name_ports_that_there_are(objects, server, settings):
    for name in ("seqstream", "seqstream-headless"):
        (port,) = objects["Service", name]["spec"]["ports"]
        assert (port["port"], port["targetPort"]) == (settings.port, "grpc")
    assert objects["Service", "seqstream-headless"]["spec"]["clusterIP"] == "None"
    rules = objects["NetworkPolicy", "seqstream"]["spec"]["ingress"]
    assert {port["port"] for rule in rules for port in rule["ports"]} == ports_of(server) == {"grpc", "metrics"}


def test_the_volume_is_the_claim_and_the_account_is_there(objects, pod):
    claims = [volume["persistentVolumeClaim"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
    assert [("PersistentVolumeClaim", claim["claimName"]) in objects for claim in claims] == [True]
    assert ("ServiceAccount", pod["serviceAccountName"]) in objects


def test_a_server_may_do_as_little_as_possible(pod, server):
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert server["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    writable = [mount["mountPath"] for mount in server["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["/tmp"]


def test_secrets_are_mounted_whole_where_the_settings_look_for_them(pod, server, settings):
    mounts = {mount["mountPath"]: mount for mount in server["volumeMounts"]}
    secrets = {volume["name"]: volume["secret"] for volume in pod["volumes"] if "secret" in volume}
    files = [file for file in (settings.tls_cert, settings.tls_key, settings.callers) if file is not None]
    assert len(files) in (0, 3)
    for mount in (mounts[str(file.parent)] for file in files):
        assert mount["readOnly"]
        assert "subPath" not in mount, "a file that is mounted alone is never replaced"
    assert {mounts[str(file.parent)]["name"] for file in files} == secrets.keys()
    assert all(secret["defaultMode"] == 0o440 for secret in secrets.values())


def test_updates_add_a_server_before_they_take_one(objects):
    strategy = objects["Deployment", "seqstream"]["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxUnavailable": 0, "maxSurge": 1}


def test_the_autoscaler_owns_the_replicas_and_reads_what_servers_expose(objects, settings):
    deployment, scaler = objects["Deployment", "seqstream"], objects["HorizontalPodAutoscaler", "seqstream"]["spec"]
    assert "replicas" not in deployment["spec"]
    target = scaler["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    assert scaler["minReplicas"] >= 2
    values = {one["pods"]["metric"]["name"]: int(one["pods"]["target"]["averageValue"]) for one in scaler["metrics"]}
    assert set(values) == {"seqstream_num_tokens_waiting", "seqstream_rows_running"}
    assert set(values) <= exposed()
    assert values["seqstream_rows_running"] == int(0.7 * settings.rows)


def test_servers_go_no_faster_than_they_drain(objects, settings):
    (policy,) = objects["HorizontalPodAutoscaler", "seqstream"]["spec"]["behavior"]["scaleDown"]["policies"]
    assert policy["value"] == 1
    assert policy["periodSeconds"] > settings.lame_duck_seconds + settings.drain_seconds


def test_the_adapter_has_a_rule_for_every_metric_that_is_scaled_on(objects):
    (config,) = render(KUBERNETES / "overlays" / "metrics").values()
    series = [
        re.match(r"\w+", rule["seriesQuery"])[0] for rule in yaml.safe_load(config["data"]["config.yaml"])["rules"]
    ]
    metrics = objects["HorizontalPodAutoscaler", "seqstream"]["spec"]["metrics"]
    assert series == [one["pods"]["metric"]["name"] for one in metrics]
    assert set(series) <= exposed()


def test_the_scrape_job_finds_the_port_by_its_name(server):
    (job,) = yaml.safe_load((KUBERNETES / "overlays" / "metrics" / "prometheus.yml").read_text())["scrape_configs"]
    rule = {one["source_labels"][0].removeprefix("__meta_kubernetes_"): one for one in job["relabel_configs"]}
    assert rule["pod_container_port_name"]["regex"] in ports_of(server)
    assert {one["target_label"] for one in rule.values() if "target_label" in one} >= {"namespace", "pod"}
