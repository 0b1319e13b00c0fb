"""`deploy.ray.application:build`: what `serve run` and the configuration of Serve name as import path."""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.serve import Application

from deploy.ray.arguments import read_arguments
from deploy.ray.replica import Replica

# Calls that take no row and wait in no queue: they must not be what keeps a stream from being refused by the engine,
# which says in its status when to come back. Serve would let it wait in the proxy, without a limit.
_OTHER_CALLS = 1000


def build(arguments: dict[str, Any]) -> Application:
    """Return the application that serves a folder of bundles, or one model of it (deploy/ray/arguments.py).

    Autoscaling is Serve's, on ongoing calls: another replica is started before rows run out. The configuration of
    Serve, under `deployments`, wins over what is said here.

    Raises:
        SettingsError: an argument is missing, unknown or outside of its limits.
    """
    read = read_arguments(arguments)
    deployment = serve.deployment(
        Replica,
        name="Replica",
        max_ongoing_requests=read.rows + read.queue_limit + _OTHER_CALLS,
        autoscaling_config={"min_replicas": 1, "max_replicas": 4, "target_ongoing_requests": 0.75 * read.rows},
        ray_actor_options={"num_cpus": read.threads, "num_gpus": 0 if read.device == "cpu" else 1},
        health_check_period_s=5,
    )
    return deployment.bind(read)
