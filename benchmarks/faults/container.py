"""Does the Docker image run locked down in 256 MB, as any user, and stop without a lost request?

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
from typing import Any

from benchmarks.faults.mix import clients_of, mixed, photo
from benchmarks.harness.command import parser, progress
from benchmarks.harness.report import header, table
from benchmarks.harness.servers import HOST, ROOT, free_port, wait_until
from benchmarks.harness.traffic import CLIENTS, Request, send, traffic
from tests.load import REFUSED, Load

NAME = "digits-check"
"""Name of the container. An earlier container of this name is removed."""

LOAD_SECONDS = 20
COMMAND_SECONDS = 180

USER = "1000650000"
"""A user id such as OpenShift gives a container, with the group 0. The image knows no such user."""

LOCKED_DOWN = (
    *("--user", f"{USER}:0"),
    *("--read-only", "--tmpfs", "/tmp:size=64m", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"),
    *("--memory", "256m", "--memory-swap", "256m", "--cpus", "2", "--pids-limit", "256"),
)
NO_PRIVILEGES = {"Uid": [USER] * 4, "CapEff": ["0" * 16], "CapBnd": ["0" * 16], "NoNewPrivs": ["1"]}

UNWANTED = r"find / -xdev -type f \( -perm /6000 -o -path '*/bin/pip*' -o -path '*/pip/*' -o -path '*/ensurepip/*' \)"
"""Finds pip, and programs that run with the rights of their owner."""

Check = tuple[str, str, bool]
"""A promise, what was observed, and whether the promise was kept."""


def docker(*arguments: str) -> str:
    """Run a Docker command and return its output. A failure ends the program with the end of the output."""
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


def state() -> dict[str, Any]:
    """Return what Docker knows about the container's state."""
    document: dict[str, Any] = json.loads(docker("inspect", NAME))[0]["State"]
    return document


def kernel_status() -> dict[str, list[str]]:
    """Return what the kernel says about the container's first process."""
    lines = docker("exec", NAME, "cat", "/proc/1/status").splitlines()
    return {name: values.split() for name, _, values in (line.partition(":") for line in lines)}


def inside(program: str, *arguments: str, stdin: str = "") -> str:
    """Return the output of another program in the running container."""
    command = ["docker", "exec", "--interactive", NAME, program, *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False).stdout


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
    lock = ("--volume", f"{ROOT / 'uv.lock'}:/lock:ro")
    docker("run", "--detach", "--name", NAME, "--network", "host", *LOCKED_DOWN, *lock, *variables, "digits")
    try:
        yield port
    finally:
        docker("rm", "--force", NAME)


def checks(port: int) -> Iterator[Check]:
    """Yield the result of each check as soon as it is known."""
    seconds = wait_until(lambda: state()["Health"]["Status"] == "healthy", "the container is healthy")
    yield "the container becomes healthy", f"{seconds:.1f} s after its start", True

    privileges = {name: values for name, values in kernel_status().items() if name in NO_PRIVILEGES}
    yield "the process has no privileges", f"{privileges}", privileges == NO_PRIVILEGES

    unwanted = inside("sh", "-c", f"{UNWANTED}; echo searched").split()
    yield "no pip, and no program with its owner's rights", " ".join(unwanted), unwanted == ["searched"]

    listing = inside("python", "-", "/lock", stdin=(ROOT / "deploy" / "sbom.py").read_text())
    components = json.loads(listing)["components"]
    names = {component["name"] for component in components}
    complete = {"python", "onnxruntime", "libc6"} <= names and not {"pip", "typer"} & names
    yield "the list of the contents is that of the image", f"{len(names)} components", complete

    right: list[bool] = []
    with traffic(port, mixed(), lambda request, outcome: right.append(outcome == request.expected)):
        time.sleep(LOAD_SECONDS)
    observation = f"{len(right):,} requests, {right.count(False)} unexpected answers"
    yield "mixed load is answered as expected", observation, len(right) > 100 and all(right)

    with ThreadPoolExecutor(8) as clients:
        large = [Request("", photo(), "image/jpeg")] * 24
        statuses = Counter(clients.map(lambda request: send(port, request), large))
    megabytes = int(kernel_status()["VmHWM"][0]) * 1024 / 1e6
    observation = f"answered {dict(statuses)}, resident {megabytes:.0f} MB at most"
    yield "eight photos of 12 megapixels fit at once", observation, set(statuses) == {200} and state()["Running"]

    load = Load(clients_of(port), until_refused=True)
    with load.running():
        time.sleep(1)
        docker("stop", "--time", "30", NAME)
    code = state()["ExitCode"]
    kept = load.outcomes == {"200": load.answered, REFUSED: CLIENTS} and code == 0
    yield "docker stop loses no request", f"{dict(load.outcomes)}, exit code {code}", kept


def main() -> None:
    """Print the table."""
    parser(__doc__).parse_args()
    if not engine_answers():
        print("skipped: no Docker engine answers")
        return
    rows = []
    with locked_down() as port:
        for promise, observation, kept in checks(port):
            rows.append([promise, observation, "yes" if kept else "NO"])
            progress(" | ".join(rows[-1]))
    print(header((), {"Docker": docker("version", "--format", "{{.Server.Version}}")}))
    print("\n" + table(["promise", "observation", "kept"], rows))
    sys.exit("NO" in (kept for *_, kept in rows))


if __name__ == "__main__":
    main()
