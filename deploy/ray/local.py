"""`python -m deploy.ray.local`: the service on a Ray cluster of this machine alone."""

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress

from app.server.listener import listen
from app.server.server import KEEP_ALIVE_SECONDS
from app.settings import read_settings
from deploy.ray import private_cluster

SERVE = {
    # HAProxy, which Ray brings, not a proxy in Python: a dozen times the requests (`python -m benchmarks.scaling`).
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    # Replicas answer in the thread of their event loop, and Serve logs to files alone.
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # How long a replica that is to go still answers, in which HAProxy looks elsewhere; 30 by default.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",
    # What a replica that was killed had in hand, of at most 16 KB, is asked of another: to predict twice is harmless.
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
}
"""What Serve reads on every node of a cluster; the image `digits-scale` has it too."""

_OBJECT_STORE_BYTES = 100_000_000
"""For a request's bytes it needs none; it would set a third of the memory aside."""


def of_its_own() -> dict[str, str]:
    """What Ray and Serve read for a cluster that nobody else is to reach, and that is in nobody's way."""
    return {
        **private_cluster.environment(),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(private_cluster.free_port()),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(private_cluster.free_port()),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(private_cluster.free_port()),
    }


def main(scaling: Mapping[str, int] | None = None) -> None:
    """Serve until a signal ends it; a second one ends it now.

    Args:
        scaling: of Ray Serve's autoscaling what is to be otherwise than one replica to as many as there are cores for.

    Raises:
        SystemExit: a bad setting, an address that cannot be listened on, an application that Serve cannot start, or no
            Ray; one line says which.
    """
    settings = read_settings()
    port = settings.port or private_cluster.free_port()
    listen(settings.host, port).close()
    for name, value in (SERVE | of_its_own()).items():
        os.environ.setdefault(name, value)
    with suppress(KeyboardInterrupt):
        try:
            _serve(settings.host, port, scaling or {})
        except ImportError as exc:
            raise SystemExit(f"digits: Ray Serve needs the extra `scale` (uv sync --extra scale): {exc}") from exc
        except (RuntimeError, ValueError, ConnectionError) as exc:
            raise SystemExit(f"digits: Ray Serve did not start: {private_cluster.last_line(exc)}") from None
        while True:
            signal.pause()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    _end()


def _serve(host: str, port: int, scaling: Mapping[str, int]) -> None:
    import ray  # noqa: PLC0415 - which reads the environment
    from ray import serve  # noqa: PLC0415

    from deploy.ray.application import AUTOSCALING, REPLICA_CPUS, Digits  # noqa: PLC0415

    cores = os.cpu_count() or 1
    autoscaling = AUTOSCALING | {"max_replicas": max(1, int(cores / REPLICA_CPUS))} | dict(scaling)
    ray.init(address="local", num_cpus=cores, include_dashboard=False, object_store_memory=_OBJECT_STORE_BYTES)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C; Ray has its own
    serve.start(http_options={"host": host, "port": port, "keep_alive_timeout_s": KEEP_ALIVE_SECONDS})
    try:
        serve.run(Digits.options(autoscaling_config=autoscaling).bind())  # type: ignore[attr-defined] # no class
    except RuntimeError:  # which says that there is something to read
        (application,) = serve.status().applications.values()
        raise RuntimeError(application.deployments["digits"].message) from None
    print(f"digits: http://{host}:{port}, on Ray Serve", file=sys.stderr, flush=True)


def _end() -> None:
    import ray  # noqa: PLC0415
    from ray import serve  # noqa: PLC0415

    if ray.is_initialized():  # else Serve would look for another cluster, and end what runs there
        serve.shutdown()  # type: ignore[no-untyped-call]
        ray.shutdown()


if __name__ == "__main__":
    main()
