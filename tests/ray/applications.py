"""Two applications that suit a small machine: `gru` has two replicas, `lone` as many as its streams need, up to two."""

from pathlib import Path
from typing import Any

import yaml

from benchmarks.ray_cluster import CONFIGURATION

PORT = 50051
ADDRESS = f"127.0.0.1:{PORT}"
ROWS, QUEUE = 4, 1

FIXED = {"min_replicas": 2, "max_replicas": 2}
SCALED = {
    "min_replicas": 1, "max_replicas": 2, "target_ongoing_requests": 2, "upscale_delay_s": 1, "downscale_delay_s": 3,
    "metrics_interval_s": 1, "look_back_period_s": 2,
}  # fmt: skip


def serve_configuration(models: Path) -> dict[str, Any]:
    """Return the configuration that is deployed, with these applications for its one."""
    configuration = yaml.safe_load(CONFIGURATION.read_text())
    (deployed,) = configuration["applications"]
    arguments = {"models": str(models), "rows": ROWS, "queue_limit": QUEUE, "max_new_tokens_limit": 100_000}
    configuration["applications"] = [
        {
            **deployed,
            "name": name,
            "route_prefix": f"/{name}",
            "args": {**arguments, "model": name},
            "deployments": [
                {"name": "Replica", "ray_actor_options": {"num_cpus": 0.2}, "autoscaling_config": autoscaling}
            ],
        }
        for name, autoscaling in (("gru", FIXED), ("lone", SCALED))
    ]
    configuration["grpc_options"]["port"] = PORT
    return configuration
