"""`python -m deploy.ray.local`: the service on a private Ray cluster on this machine."""

import os
import signal
import sys
from contextlib import suppress

from app.settings import read_settings
from app.start import KEEP_ALIVE_SECONDS, listen
from deploy.ray import private_cluster

SERVE_ENVIRONMENT = {
    # Requests pass through the HAProxy of Ray's package instead of a proxy in Python, which answers a tenth of the
    # requests per second (docs/decisions/0016-ray-serve-behind-haproxy.md).
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    # Replicas answer in the thread of their event loop, and Serve logs only to files.
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # Seconds during which a stopping replica still answers, until HAProxy uses only the others. Ray's default is 30.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",
    # HAProxy repeats requests that a lost replica did not answer, if it held them whole (at most 16 KB) before it
    # forwarded them. A repeated prediction is harmless.
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
    # On a busy machine a proxy takes longer than Ray's default of 5 s to start, and Serve would give up.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",
    # Ray starts another HAProxy after three failed checks. Its default of 10 s makes this an outage of half a minute.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "2",
}
"""Variables that Serve reads on every node of a cluster. The image `digits-scale` sets them too."""

_OBJECT_STORE_BYTES = 100_000_000
"""Size of Ray's object store, which requests do not use. By default Ray reserves a third of the memory."""


def private_environment() -> dict[str, str]:
    """Return the variables of a private cluster whose ports do not collide with those of another."""
    ports = ("RAY_SERVE_HAPROXY_METRICS_PORT", "RAY_SERVE_HAPROXY_STATS_PORT", "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT")
    return private_cluster.environment() | {name: str(private_cluster.free_port()) for name in ports}


def main() -> None:
    """Serve until a signal arrives. A second signal ends the process immediately.

    Raises SystemExit after a bad setting, if the address cannot be listened on, if Serve cannot start the application,
    or if Ray is missing. The message is one line.
    """
    settings = read_settings()
    port = settings.port or private_cluster.free_port()
    for listener in listen(settings.host, port):  # An address in use is reported before Ray takes ten seconds to start.
        listener.close()
    for name, value in (SERVE_ENVIRONMENT | private_environment()).items():
        os.environ.setdefault(name, value)
    with suppress(KeyboardInterrupt):
        try:
            _serve(settings.host, port)
        except ImportError as exc:
            raise SystemExit(f"digits: Ray Serve is not installed. Run: make .venv/.scale ({exc})") from exc
        except RuntimeError as exc:
            raise SystemExit(f"digits: Ray Serve did not start: {private_cluster.last_line(exc)}") from None
        while True:
            signal.pause()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    import ray  # noqa: PLC0415 - see `_serve`
    from ray import serve  # noqa: PLC0415

    if ray.is_initialized():  # Otherwise Serve would look for another cluster, and stop what runs there.
        serve.shutdown()
        ray.shutdown()


def _serve(host: str, port: int) -> None:
    """Start Ray and the application, with as many replicas at most as the cores hold. Raises RuntimeError."""
    import ray  # noqa: PLC0415 - Ray reads the environment during the import.
    from ray import serve  # noqa: PLC0415

    from deploy.ray.application import AUTOSCALING, REPLICA_CPUS, Digits  # noqa: PLC0415

    cores = os.cpu_count() or 1
    autoscaling = AUTOSCALING | {"max_replicas": max(1, int(cores / REPLICA_CPUS))}
    try:
        ray.init(address="local", num_cpus=cores, include_dashboard=False, object_store_memory=_OBJECT_STORE_BYTES)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM ends the wait like Ctrl-C. Ray replaced it.
        serve.start(http_options={"host": host, "port": port, "keep_alive_timeout_s": KEEP_ALIVE_SECONDS})
    except Exception as exc:  # Ray raises a plain Exception if a node does not start in time.
        raise RuntimeError(str(exc)) from exc
    try:
        serve.run(Digits.options(autoscaling_config=autoscaling).bind())  # type: ignore[attr-defined]
    except RuntimeError:  # The message of this error only refers to Serve's status.
        (application,) = serve.status().applications.values()
        raise RuntimeError(application.deployments["digits"].message) from None
    print(f"digits: http://{host}:{port}, on Ray Serve", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
