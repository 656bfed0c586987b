"""The nginx of docker-compose.yml, in front of a service on this machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness.servers import HOST, ROOT, Server, serving

CONFIGURATION = ROOT / "deploy" / "proxy" / "compose.conf"


def replaced(text: str, changes: dict[str, str]) -> str:
    """Replace each text, which must exist."""
    for before, after in changes.items():
        if before not in text:
            raise ValueError(f"expected {before!r} in the configuration")
        text = text.replace(before, after)
    return text


@contextmanager
def nginx(port: int, grpc_port: int) -> Iterator[Server]:
    """Run nginx in front of these ports of a service until the block is left. It speaks HTTP and gRPC on one port.

    Raises:
        SystemExit: nginx did not start, or the service does not answer. The message contains the end of its output.
    """
    with TemporaryDirectory() as name:
        changes = {
            "worker_processes 2;": "worker_processes 2;" + ("\nuser root;" if os.getuid() == 0 else ""),
            "/tmp/": f"{name}/",
            "/dev/stderr": "stderr",
            "listen 8080;": f"listen {HOST}:@port;",
            "server api:8000": f"server {HOST}:{port}",
            "server api:9000": f"server {HOST}:{grpc_port}",
        }
        Path(name, "template").write_text(replaced(CONFIGURATION.read_text(), changes))
        # `serving` chooses the port.
        run = f"exec nginx -p {name} -c nginx.conf -g 'daemon off;' -e stderr"
        command = ("sh", "-c", f"sed s/@port/{{port}}/ template > nginx.conf; {run}")
        with serving(command, {}, Path(name), "/livez") as server:
            yield server
