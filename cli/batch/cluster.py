"""The executor of a Ray cluster: a task for each chunk. Ray repeats a task whose process or node was lost."""

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from cli.batch.executor import Executor
from cli.batch.tasks import Task
from cli.batch.worker import LoadedModel, RunFailed, score
from cli.extras import needs
from deploy.ray import private_cluster

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Without this, `uv run` makes every process install its own environment.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Variables that Ray reads. The user's own values take precedence."""

_HOST_AND_PORT = re.compile(r"[^:/]+:\d{1,5}|\[.*\]:\d{1,5}")


@contextmanager
def cluster(address: str, model: LoadedModel, task: Task) -> Iterator[Executor]:
    """Connect to a cluster. Its nodes must have this code, the model and the pictures under the same paths.

    The address "" means RAY_ADDRESS, else a cluster on this machine that ends with the run. Raises RunFailed if Ray
    is not installed, there is no cluster at the address, or a chunk cannot be scored there.
    """
    if find_spec("ray") is None:
        raise RunFailed(needs("--ray", "Ray", "scale"))
    os.environ.update(_ENVIRONMENT | os.environ)
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    is_local = address == "local"
    if is_local:
        os.environ.update(private_cluster.environment())
    # Ray takes a second to import, and reads the environment during the import.
    import ray  # noqa: PLC0415

    try:
        if _HOST_AND_PORT.fullmatch(address):
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()  # Ray tries for minutes
        ray.init(
            address, include_dashboard=False if is_local else None, logging_level=logging.ERROR, log_to_driver=False
        )
    except Exception as exc:  # Ray raises a plain Exception if a node does not start in time.
        raise RunFailed(f"expected a Ray cluster at {address}: {private_cluster.last_line(exc)}") from exc
    cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
    remote = ray.remote(num_cpus=1)(score).remote
    here = (model, task, Path.cwd())
    try:
        yield Executor(lambda chunk: remote(*here, chunk).future().result, cores)
    except ray.exceptions.RayTaskError as exc:
        cause = exc.cause if isinstance(exc.cause, Exception) else exc
        raise RunFailed(f"on a node of the cluster: {private_cluster.last_line(cause)}") from exc
    except ray.exceptions.RayError as exc:
        raise RunFailed(f"the cluster: {private_cluster.last_line(exc)}") from exc
    finally:
        ray.shutdown()
