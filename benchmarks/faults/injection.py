"""What does each fault cost the clients, and how long does it take until everything works again?

    python -m benchmarks.faults.injection --only drain,reload

Each fault is injected into a new service while eight clients send requests. Four of them keep their connection, four
open a new one for each request. A request is lost if the service accepted its connection and sent a wrong answer or
none. The exit code is 1 if a fault had a larger effect than its limit.

The docstring of a fault is its title in the table.
"""

import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.mix import clients_of, photo, warm
from benchmarks.harness import services
from benchmarks.harness.bodies import MODEL
from benchmarks.harness.command import chosen, parser, progress
from benchmarks.harness.report import header, table
from benchmarks.harness.servers import Server, wait_until
from benchmarks.harness.traffic import CLIENTS, Request, send
from digits.errors import PublishFailed
from digits.model import artifact
from tests.load import ANSWERED, REFUSED, Load

EXIT_SECONDS = 60

GROWTH_MB = 10
"""Maximum growth after a crowd has left. The allocator keeps some memory for the next one."""


@dataclass(frozen=True, slots=True)
class FaultResult:
    """The result of one fault."""

    load: Load
    description: str
    recovery_seconds: float | None = None
    """Time until everything worked again. None if nothing stopped."""
    acceptable: bool = True
    """Whether the effect of the fault stayed within its limit, besides lost requests."""
    max_lost: int = 0


@contextmanager
def load_on(server: Server) -> Iterator[Load]:
    """Send requests during the block, and for half a second before and after it."""
    load = Load(clients_of(server.port))
    with load.running():
        time.sleep(0.5)
        yield load
        time.sleep(0.5)


def wait_for_version(load: Load, version: int) -> float:
    """Wait until 50 answers came from this version. Return the seconds that this took."""
    began = time.perf_counter()
    load.wait_for(50, str(version))
    return time.perf_counter() - began


def publish(models: Path) -> int:
    """Publish the shipped model's files as the next version, and return its number."""
    manifest = artifact.read_manifest(MODEL)
    files = {path: (MODEL / path).read_bytes() for path in manifest.files}
    metadata = manifest.model_dump(exclude={"format", "name", "version", "created", "files"})
    return artifact.publish(models, files, metadata).version


@contextmanager
def service_with_own_version() -> Iterator[tuple[Server, Path]]:
    """Run a service that looks for new versions five times per second. Its model folder is yielded too."""
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder, "models")
        publish(models)
        newest = {"MNIST_MODEL_DIR": str(models), "MNIST_MODEL_VERSION": "", "MNIST_RELOAD_SECONDS": "0.2"}
        with services.own(settings=newest).started() as server:
            yield server, models


def drain() -> FaultResult:
    """SIGTERM, MNIST_DRAIN_SECONDS=3"""
    return _terminate(drain_seconds=3)


def stop() -> FaultResult:
    """SIGTERM, MNIST_DRAIN_SECONDS=0"""
    return _terminate(drain_seconds=0)


def _terminate(drain_seconds: int) -> FaultResult:
    with services.own(settings={"MNIST_DRAIN_SECONDS": str(drain_seconds)}).started() as server:
        load = Load(clients_of(server.port), until_refused=True)
        with load.running():
            time.sleep(0.5)
            before, began = load.answered, time.perf_counter()
            server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(EXIT_SECONDS)
        seconds = time.perf_counter() - began
    description = f"{load.answered - before} later requests were answered, exit code {code}"
    # A client that ignores `/readyz` may be connecting when the server closes its socket.
    return FaultResult(load, description, seconds, code == 0, max_lost=CLIENTS)


def reload() -> FaultResult:
    """A new version is published"""
    with service_with_own_version() as (server, models), load_on(server) as load:
        version = publish(models)
        recovery_seconds = wait_for_version(load, version)
    return FaultResult(load, f"version {version} was served", recovery_seconds)


def full_disk() -> FaultResult:
    """The disk has no space for a new version"""
    # A limit on the size of files stands for the end of the disk. Only this process has it, which publishes.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with service_with_own_version() as (server, models), load_on(server) as load:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
        try:
            publish(models)
        except PublishFailed as exc:
            refusal = str(exc).rpartition(": ")[2]
        else:
            raise SystemExit("the disk was not full")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        leftovers = [path.name for path in models.rglob(".publishing-*")]
        time.sleep(0.5)
        version = publish(models)
        recovery_seconds = wait_for_version(load, version)
    description = f"refused ({refusal}), {len(leftovers)} files left behind; with space, version {version} was served"
    return FaultResult(load, description, recovery_seconds, not leftovers)


def disconnects(number: int = 3000) -> FaultResult:
    """Thousands of clients leave in the middle of a body"""
    part = Request("", b"\0" * 100_000, "image/jpeg", content_length=1_000_000, leaves=True)
    with services.own().started() as server:
        warm(server)
        before = _least_memory_mb(server)
        with load_on(server) as load:
            for _ in range(number):
                send(server.port, part)
        recovery_seconds = wait_until(lambda: not server.connections(), "their connections are closed")
        growth = _least_memory_mb(server) - before
        # A long body is answered 503 if the budget for bodies was not given back.
        status = send(server.port, Request("", photo(), "image/jpeg"))
    description = f"{number:,} left; {growth:+.1f} MB; a photo is then answered with {status}"
    return FaultResult(load, description, recovery_seconds, growth < GROWTH_MB and status == 200)


def _least_memory_mb(server: Server) -> float:
    """Return the smallest of five samples, which excludes short peaks."""
    samples = []
    for _ in range(5):
        samples.append(server.memory_mb())
        time.sleep(0.1)
    return min(samples)


FAULTS: dict[str, Callable[[], FaultResult]] = {
    fault.__name__: fault for fault in (drain, stop, reload, full_disk, disconnects)
}
"""To add a fault, write a function that returns its result, and add it here."""


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--only", default=",".join(FAULTS), help="default: %(default)s")
    options = arguments.parse_args()
    rows, acceptable = [], True
    for name in chosen(arguments, "--only", options.only, FAULTS):
        title = FAULTS[name].__doc__ or name
        progress(title)
        result = FAULTS[name]()
        outcomes = result.load.outcomes
        lost = {outcome: count for outcome, count in outcomes.items() if outcome not in (*ANSWERED, REFUSED)}
        seconds = "" if result.recovery_seconds is None else f"{result.recovery_seconds:.1f}"
        sent, lost_count = outcomes.total(), sum(lost.values())
        rows.append([title, result.description, f"{sent:,}", str(lost_count), seconds])
        progress(" | ".join([*rows[-1], *lost]))
        if lost_count > result.max_lost or not result.acceptable:
            acceptable = False
            progress(f"{title}: the effect exceeds its limit")
    print(header(("uvicorn", "fastapi", "onnxruntime")))
    print("\n" + table(["fault", "what happened", "sent", "lost", "recovery, s"], rows))
    sys.exit(not acceptable)


if __name__ == "__main__":
    main()
