"""Do two replicas behind a proxy get another image, and the old one back, without a lost request?

    python -m benchmarks.faults.rollout

This script runs the compose file with two replicas, and a proxy with its configuration in `deploy/proxy`. It needs the
image `digits` (`docker compose build`), nginx or Envoy, and openssl. Without a Docker engine it prints a message and
exits with 0. The exit code is 1 if a request was lost. With `--grpc`, other clients make calls meanwhile. Then the
image must have the extra `grpc`. nginx loses some calls, because Docker accepts connections for a container that does
not.
"""

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.faults.container import BUILD_SECONDS, docker, engine_answers, inspect
from benchmarks.harness.command import parser, progress
from benchmarks.harness.edge import COMMANDS, GrpcClient, Load, edge
from benchmarks.harness.report import header, table
from benchmarks.harness.servers import free_port

PROJECT = "digits-rollout"
"""Name of the compose project. An earlier project of this name is removed."""

FILES = ("docker-compose.yml", "deploy/proxy/compose.yml")
GRPC_FILE = "deploy/proxy/compose-grpc.yml"
SERVICES = ("api", "api-2")
IMAGES = {"old": "digits-rollout:old", "new": "digits-rollout:new"}
CLIENTS = 4
REQUESTS_BETWEEN = 200
"""Requests that are answered before the next replica is replaced."""


class Replicas:
    """The compose project with two replicas."""

    def __init__(self, *, with_grpc: bool) -> None:
        self.ports = free_port(), free_port()
        self.grpc_ports = (free_port(), free_port()) if with_grpc else ()

    def compose(self, *arguments: str, image: str = IMAGES["old"]) -> str:
        environment = {
            "COMPOSE_PROJECT_NAME": PROJECT,
            "DIGITS_IMAGE": image,
            "MNIST_PORT": str(self.ports[0]),
            "MNIST_PORT_2": str(self.ports[1]),
        }
        files = [*FILES]
        if self.grpc_ports:
            files.append(GRPC_FILE)
            environment |= {
                "MNIST_GRPC_PORT": str(self.grpc_ports[0]),
                "MNIST_GRPC_PORT_2": str(self.grpc_ports[1]),
            }
        options = [f"--file={file}" for file in files]
        return docker("compose", *options, *arguments, environment=environment, seconds=BUILD_SECONDS)

    def replace(self, service: str, image: str) -> float:
        """Give one replica another image, and return the seconds until it is healthy."""
        began = time.monotonic()
        self.compose("up", "--wait", "--no-build", "--no-deps", service, image=image)
        return time.monotonic() - began

    def image_of(self, service: str) -> str:
        """Return the name of the image that a replica runs."""
        name: str = inspect(self.compose("ps", "--quiet", service))["Config"]["Image"]
        return name

    @contextmanager
    def running(self) -> Iterator[None]:
        self.compose("down", "--volumes")
        try:
            self.compose("up", "--wait", "--no-build", "--no-deps", *SERVICES)
            yield
        finally:
            self.compose("down", "--volumes")


def label_images() -> None:
    """Make two images with the same contents and different labels."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "Dockerfile").write_text("FROM digits\nARG AGE\nLABEL age=$AGE\n")
        for age, name in IMAGES.items():
            docker("build", "--quiet", "--tag", name, "--build-arg", f"AGE={age}", folder, seconds=BUILD_SECONDS)


def rollouts(replicas: Replicas, loads: Sequence[Load]) -> Iterator[list[str]]:
    """Replace each replica, forwards and back, and yield a row for each."""
    for age in ("new", "old"):
        for service in SERVICES:
            before = [load.sent for load in loads]
            seconds = replicas.replace(service, IMAGES[age])
            sent = [0] * len(loads)
            while min(sent) < REQUESTS_BETWEEN:
                time.sleep(0.1)
                sent = [load.sent - earlier for load, earlier in zip(loads, before, strict=True)]
            assert replicas.image_of(service) == IMAGES[age]
            lost = [load.lost for load in loads]
            row = [service, age, f"{seconds:.0f} s", *(f"{number:,}" for number in (*sent, *lost))]
            progress(" | ".join(row))
            yield row


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--grpc", action="store_true", help="also make gRPC calls")
    arguments.add_argument("--proxy", choices=sorted(COMMANDS), default="nginx")
    options = arguments.parse_args()
    if not engine_answers():
        print("skipped: no Docker engine answers")
        return
    for program in {"nginx": ["nginx", "openssl"], "envoy": ["openssl"]}[options.proxy]:
        if shutil.which(program) is None:
            raise SystemExit(f"needs {program}: apt install {program}")
    label_images()
    replicas = Replicas(with_grpc=options.grpc)
    with (
        TemporaryDirectory() as folder,
        replicas.running(),
        edge(options.proxy, Path(folder), replicas.ports, replicas.grpc_ports, limited=False) as proxy,
        ExitStack() as running,
    ):
        loads = {"requests": Load(proxy, CLIENTS)}
        if options.grpc:
            loads["calls"] = Load(proxy, CLIENTS, GrpcClient)
        for load in loads.values():
            running.enter_context(load.running())
        rows = list(rollouts(replicas, list(loads.values())))
    print(header((), {"Docker": docker("version", "--format", "{{.Server.Version}}")}))
    columns = [*(f"{kind} meanwhile" for kind in loads), *(f"{kind} lost so far" for kind in loads)]
    print("\n" + table(["replica", "gets the image", "healthy after", *columns], rows))
    for kind, load in loads.items():
        print(f"\n{kind} by outcome: {dict(load.outcomes)}")
    sys.exit(any(load.lost for load in loads.values()))


if __name__ == "__main__":
    main()
