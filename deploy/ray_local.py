"""`python -m deploy.ray_local`: the service on a Ray cluster of this machine alone."""

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress

from app.__main__ import listen
from app.server import KEEP_ALIVE_SECONDS
from app.settings import read_settings
from deploy import ray_alone

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
    with ExitStack() as taken:
        ports = [taken.enter_context(listen("127.0.0.1", 0)).getsockname()[1] for _ in range(3)]
    return {
        **ray_alone.environment(),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports[0]),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports[1]),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports[2]),
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
    with listen(settings.host, settings.port) as free:
        port = free.getsockname()[1]
    for name, value in (SERVE | of_its_own()).items():
        os.environ.setdefault(name, value)
    try:
        import ray  # noqa: PLC0415 - which reads the environment
        from ray import serve  # noqa: PLC0415

        from deploy.ray_serve import AUTOSCALING, REPLICA_CPUS, Digits  # noqa: PLC0415
    except ImportError as exc:
        raise SystemExit(f"digits: Ray Serve needs the extra `scale` (uv sync --extra scale): {exc}") from exc
    cores = os.cpu_count() or 1
    autoscaling = AUTOSCALING | {"max_replicas": int(cores / REPLICA_CPUS)} | dict(scaling or {})
    with suppress(KeyboardInterrupt):
        ray.init(address="local", num_cpus=cores, include_dashboard=False, object_store_memory=_OBJECT_STORE_BYTES)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C; Ray has its own
        serve.start(http_options={"host": settings.host, "port": port, "keep_alive_timeout_s": KEEP_ALIVE_SECONDS})
        try:
            serve.run(Digits.options(autoscaling_config=autoscaling).bind())  # type: ignore[attr-defined] # as there
        except RuntimeError as exc:
            raise SystemExit(f"digits: {exc}") from None
        print(f"digits: http://{settings.host}:{port}, on Ray Serve", file=sys.stderr, flush=True)
        while True:
            signal.pause()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    serve.shutdown()  # type: ignore[no-untyped-call]
    ray.shutdown()


if __name__ == "__main__":
    main()
