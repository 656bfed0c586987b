"""Do two replicas behind nginx get another image, and the old one back, without a lost request?

    python -m benchmarks.faults.rollout

This script runs the compose file with two replicas, and nginx with the configuration of `deploy/proxy`. It needs the
image `digits` (`docker compose build`), nginx and openssl. Without a Docker engine it prints a message and exits with
0. The exit code is 1 if a request was lost.
"""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.faults.container import BUILD_SECONDS, docker, engine_answers, inspect
from benchmarks.harness.command import parser, progress
from benchmarks.harness.edge import Load, edge
from benchmarks.harness.report import header, table
from benchmarks.harness.servers import free_port

PROJECT = "digits-rollout"
"""Name of the compose project. An earlier project of this name is removed."""

FILES = ("--file", "docker-compose.yml", "--file", "deploy/proxy/compose.yml")
SERVICES = ("api", "api-2")
IMAGES = {"old": "digits-rollout:old", "new": "digits-rollout:new"}
CLIENTS = 4
REQUESTS_BETWEEN = 200
"""Requests that are answered before the next replica is replaced."""


class Replicas:
    """The compose project with two replicas."""

    def __init__(self) -> None:
        self.ports = free_port(), free_port()

    def compose(self, *arguments: str, image: str = IMAGES["old"]) -> str:
        environment = {
            "COMPOSE_PROJECT_NAME": PROJECT,
            "DIGITS_IMAGE": image,
            "MNIST_PORT": str(self.ports[0]),
            "MNIST_PORT_2": str(self.ports[1]),
        }
        return docker("compose", *FILES, *arguments, environment=environment, seconds=BUILD_SECONDS)

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


def rollouts(replicas: Replicas, load: Load) -> Iterator[list[str]]:
    """Replace each replica, forwards and back, and yield a row for each."""
    for age in ("new", "old"):
        for service in SERVICES:
            before = load.sent
            seconds = replicas.replace(service, IMAGES[age])
            while load.sent < before + REQUESTS_BETWEEN:
                time.sleep(0.1)
            assert replicas.image_of(service) == IMAGES[age]
            row = [service, age, f"{seconds:.0f} s", f"{load.sent - before:,}", f"{load.lost:,}"]
            progress(" | ".join(row))
            yield row


def main() -> None:
    """Print the table."""
    parser(__doc__).parse_args()
    if not engine_answers():
        print("skipped: no Docker engine answers")
        return
    for program in ("nginx", "openssl"):
        if shutil.which(program) is None:
            raise SystemExit(f"needs {program}: apt install {program}")
    label_images()
    replicas = Replicas()
    with (
        TemporaryDirectory() as folder,
        replicas.running(),
        edge("nginx", Path(folder), replicas.ports, limited=False) as proxy,
    ):
        load = Load(proxy, CLIENTS)
        with load.running():
            rows = list(rollouts(replicas, load))
    print(header((), {"Docker": docker("version", "--format", "{{.Server.Version}}")}))
    print("\n" + table(["replica", "gets the image", "healthy after", "requests meanwhile", "lost so far"], rows))
    print(f"\nreplies by status: {dict(load.outcomes)}")
    sys.exit(load.lost > 0)


if __name__ == "__main__":
    main()
