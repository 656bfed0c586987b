"""Does the Docker image run locked down in 256 MB, become healthy and stop without a lost request?

    python -m benchmarks.faults.container

This script puts the image `digits` (`docker compose build`) under load, with the fewest privileges. Without a Docker
engine it prints a message and exits with 0. The exit code is 1 if a promise was broken.
"""

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image

from benchmarks.faults.mix import good, mixed, photo
from benchmarks.harness.command import parser, progress
from benchmarks.harness.own_service import wait_until
from benchmarks.harness.report import header, table
from benchmarks.harness.servers import HOST, free_port
from benchmarks.harness.traffic import Outcome, Request, Traffic, send

IMAGE = "digits"
NAME = "digits-check"
"""Name of the container. An earlier container of this name is removed."""

MEMORY_MB = 256
LOAD_SECONDS = 20
COMMAND_SECONDS = 180

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


def docker(*arguments: str) -> str:
    """Run a Docker command and return its output.

    Raises:
        SystemExit: the command failed. The message has the end of its output.
    """
    command = ["docker", *arguments]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
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
    docker("run", "--detach", "--name", NAME, "--network", "host", *LOCKED_DOWN, *variables, IMAGE)
    try:
        yield port
    finally:
        docker("rm", "--force", NAME)


def check_privileges() -> Iterator[Check]:
    """Check what Docker and the kernel say about the running container."""
    seconds = wait_until(lambda: inspect(NAME)["State"]["Health"]["Status"] == "healthy", "the container is healthy")
    yield Check("the container becomes healthy", f"{seconds:.1f} s after its start", True)
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


def all_checks() -> Iterator[Check]:
    """Yield the result of each check as soon as it is known."""
    with locked_down() as port:
        yield from check_privileges()
        yield from check_memory(port)
        yield from check_stop(port)


def main() -> None:
    """Print the table."""
    parser(__doc__).parse_args()
    if not engine_answers():
        print("skipped: no Docker engine answers")
        return
    rows, kept = [], True
    for check in all_checks():
        rows.append([check.promise, check.observation, "yes" if check.kept else "NO"])
        kept &= check.kept
        progress(" | ".join(rows[-1]))
    print(header((), {"Docker": docker("version", "--format", "{{.Server.Version}}")}))
    print("\n" + table(["promise", "observation", "kept"], rows))
    sys.exit(not kept)


if __name__ == "__main__":
    main()
