"""What does each fault cost those who ask meanwhile, and how long until all is as before?

    python -m benchmarks.faults.injection --only kill,reload --workers 1,2

Each fault is done to a service of its own on this machine while eight clients ask, four on connections that they keep,
four on a new one each time. Lost is a request whose connection was taken and that got a wrong answer or none. The exit
code is 1 where a fault cost more than it may.
"""

import argparse
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.soak import photo, usual, warm
from benchmarks.harness.report import header, table
from benchmarks.harness.servers import HOST, Server
from benchmarks.harness.traffic import (
    REFUSED,
    Outcome,
    Request,
    Traffic,
    connection_to,
    connections,
    exchange,
    own_service,
    wait_for_models,
    workers_of,
)
from digits import artifact
from digits.errors import PublishFailed

CLIENTS = 8

GUARD_SECONDS = 60
"""A guard against hanging: what is waited for takes seconds."""

GOOD = [request for request in usual() if request.kind in ("raw", "JSON", "PNG", "JPEG")]
"""What is asked under a fault; all of it is to be answered 200."""

CROWDS = 4

ACCEPT_SECONDS = 10
"""In which all who wait are let in, if there is room."""

GROWTH_MB = 10
"""Most that the workers may have grown together once a crowd has gone; an allocator keeps some."""


class Skipped(Exception):
    """The fault cannot be done here."""


@dataclass(frozen=True)
class Happened:
    """What a fault did."""

    what: str
    sent: int
    lost: int
    whole_seconds: float | None
    """From the fault, or its end, until all was as before; None where it never was otherwise."""
    fine: bool
    """Whether it cost no more than it may."""


class Account:
    """The requests of a load, and what came of them."""

    def __init__(self) -> None:
        """None yet."""
        self.outcomes: list[Outcome] = []

    @property
    def lost(self) -> list[Outcome]:
        """Those without the right answer; who was refused was never taken."""
        return [one for one in self.outcomes if not one.right and one.status != REFUSED]

    def losses(self) -> str:
        """In words."""
        kinds = Counter(f"{one.status} on a {'kept' if one.kept else 'new'} connection" for one in self.lost)
        return _counted(kinds) if kinds else "none lost"

    def served_by_all(self, version: int, workers: int) -> bool:
        """Whether every worker, as far as can be told from outside, answers with that version."""
        latest = self.outcomes[-50 * workers :]
        return len(latest) == 50 * workers and {one.version for one in latest} == {str(version)}

    def p99_ms(self, start: float, end: float) -> float:
        """Of the requests that began in between, by `time.perf_counter`."""
        seconds = [one.seconds for one in self.outcomes if start <= one.began < end]
        return 1000 * statistics.quantiles(seconds, n=100)[-1]

    def happened(self, what: str, whole_seconds: float | None = None, *, fine: bool | None = None) -> Happened:
        """With the load's figures; fine is by default that none was lost."""
        lost = len(self.lost)
        return Happened(what, len(self.outcomes), lost, whole_seconds, not lost if fine is None else fine)


@contextmanager
def load(server: Server, seconds: float = 0.5) -> Iterator[Account]:
    """Eight clients, from so many seconds before the block until so many after it."""
    account = Account()
    with Traffic(server.port, GOOD, account.outcomes.append, CLIENTS):
        time.sleep(seconds)
        yield account
        time.sleep(seconds)


def until(true: Callable[[], bool], what: str) -> float:
    """Wait for it; the seconds that it took.

    Raises:
        SystemExit: it did not come true.
    """
    began = time.perf_counter()
    while not true():
        if time.perf_counter() - began > GUARD_SECONDS:
            raise SystemExit(f"faults: not within {GUARD_SECONDS} s: {what}")
        time.sleep(0.01)
    return time.perf_counter() - began


def publish(models: Path) -> int:
    """Publish the shipped model's files as the next version; its number."""
    shipped = artifact.SHIPPED / artifact.NAME / "1"
    manifest = artifact.read_manifest(shipped)
    files = {path: (shipped / path).read_bytes() for path in manifest.files}
    known = manifest.model_dump(exclude={"format", "name", "version", "created", "files"})
    return artifact.publish(models, files, known).version


@contextmanager
def published(workers: int) -> Iterator[tuple[Server, Path]]:
    """A service of version 2, which looks for others five times a second, and the folder where they are published."""
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder, "models")
        publish(models)
        with own_service(workers, MNIST_MODEL_DIR=str(models), MNIST_RELOAD_SECONDS="0.2") as server:
            yield server, models


def kill(workers: int) -> Happened:
    """A worker is ended by kill -9"""
    if workers == 1:
        raise Skipped("with one worker there is nobody to replace it but what started the service")
    with own_service(workers) as server:
        victim, *others = workers_of(server)
        with load(server) as account:
            began = time.perf_counter()
            victim.send_signal(signal.SIGKILL)
            wait_for_models(server, workers + 1)
            whole = time.perf_counter() - began
        kept = set(others) < set(workers_of(server))
    again = Counter(str(one.again) for one in account.lost)
    what = f"{account.losses()}; sent again: {_counted(again)}"
    # At most what the one had in hand, and each is answered when it is sent again.
    fine = kept and len(account.lost) <= CLIENTS and set(again) <= {"200"}
    return account.happened(what, whole, fine=fine)


def drain(workers: int) -> Happened:
    """SIGTERM, MNIST_DRAIN_SECONDS=3"""
    return _end(workers, drain_seconds=3)


def stop(workers: int) -> Happened:
    """SIGTERM, MNIST_DRAIN_SECONDS=0"""
    return _end(workers, drain_seconds=0)


def _end(workers: int, drain_seconds: int) -> Happened:
    """The clients ask until they are refused."""
    account = Account()
    with own_service(workers, MNIST_DRAIN_SECONDS=str(drain_seconds)) as server:
        with Traffic(server.port, GOOD, account.outcomes.append, CLIENTS) as traffic:
            time.sleep(0.5)
            began = time.perf_counter()
            server.process.send_signal(signal.SIGTERM)
            refused = traffic.wait(GUARD_SECONDS)
        code = server.process.wait(GUARD_SECONDS)
        took = time.perf_counter() - began
    served = sum(one.right and one.began > began for one in account.outcomes)
    what = f"{served} sent after the signal were answered, {account.losses()}, exit code {code}"
    return account.happened(what, took, fine=refused and not account.lost)


def reload(workers: int) -> Happened:
    """A new version is published"""
    with published(workers) as (server, models), load(server, seconds=2) as account:
        began = time.perf_counter()
        version = publish(models)
        done = time.perf_counter()
        whole = until(lambda: account.served_by_all(version, workers), "the new version is served")
        changed = time.perf_counter()
        time.sleep(2)
    spans = (0, began), (began, changed), (changed, changed + 2)
    before, during, after = (f"{account.p99_ms(*span):.0f} ms" for span in spans)
    what = f"p99 {before} before, {during} from publishing until it is served ({changed - done:.1f} s), {after} after"
    return account.happened(what, whole)


def full_disk(workers: int) -> Happened:
    """No room on the disk for a new version"""
    with published(workers) as (server, models), _little_room(models) as more_room, load(server) as account:
        try:
            publish(models)
        except PublishFailed as exc:
            refusal = str(exc).rpartition(": ")[2]
        else:
            raise SystemExit("faults: there was room on the full disk")
        left = [path.name for path in models.rglob(".publishing-*")]
        time.sleep(0.5)
        more_room()
        version = publish(models)
        whole = until(lambda: account.served_by_all(version, workers), "the new version is served")
    what = f"refused ({refusal}), {len(left)} files left behind; with more room version {version} was served"
    return account.happened(what, whole, fine=not account.lost and not left)


@contextmanager
def _little_room(models: Path) -> Iterator[Callable[[], None]]:
    """Less than a version takes, until the given function is called: a small disk, or a limit where none can be had."""
    disk = ("mount", "-t", "tmpfs", "-o", "size=5m", "digits-faults", str(models))
    with tempfile.TemporaryDirectory() as kept, ExitStack() as stack:
        shutil.copytree(models, kept, dirs_exist_ok=True)
        if subprocess.run(disk, capture_output=True, check=False).returncode == 0:
            stack.callback(subprocess.run, ["umount", "--lazy", str(models)], check=True)
            shutil.copytree(kept, models, dirs_exist_ok=True)
            command = ["mount", "-o", "remount,size=50m", str(models)]
            yield lambda: subprocess.run(command, check=True).check_returncode()
        else:
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            stack.callback(resource.setrlimit, resource.RLIMIT_FSIZE, (soft, hard))
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
            yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def removed(workers: int) -> Happened:
    """The model folder is removed, and put back"""
    with published(workers) as (server, models), load(server) as account:
        away = models.rename(models.with_name("away"))
        until(lambda: account.served_by_all(1, workers), "the shipped version is served")
        away.rename(models)
        whole = until(lambda: account.served_by_all(2, workers), "version 2 is served again")
    return account.happened("the shipped version 1 answered, then version 2 again", whole)


def unreadable(workers: int) -> Happened:
    """The model folder cannot be read for two seconds"""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        models = Path(folder, "models")
        publish(models)
        link = models / artifact.NAME
        link.rename(models / "real")
        link.symlink_to("real")
        server = stack.enter_context(own_service(workers, MNIST_MODEL_DIR=str(models), MNIST_RELOAD_SECONDS="0.2"))
        with load(server) as account:
            _point(link, link.name)  # a loop: not even root can list it
            time.sleep(2)
            _point(link, "real")
            whole = until(lambda: account.served_by_all(2, workers), "version 2 is served")
    return _kept(account, whole)


def _point(link: Path, target: str) -> None:
    """Have a link lead elsewhere, without a moment in which it leads nowhere."""
    other = link.with_name("next")
    other.symlink_to(target)
    other.rename(link)


def replaced(workers: int) -> Happened:
    """The served version's files are overwritten with garbage, then with good ones"""
    with published(workers) as (server, models), load(server) as account:
        model = models / artifact.NAME / "2" / artifact.MODEL
        good = model.read_bytes()
        model.write_bytes(b"garbage")
        time.sleep(2)
        model.write_bytes(good)
        whole = until(lambda: account.served_by_all(2, workers), "version 2 is served")
    return _kept(account, whole)


def _kept(account: Account, whole: float) -> Happened:
    """Nothing was removed, so that what was loaded is to serve on."""
    versions = Counter(f"by version {one.version}" for one in account.outcomes)
    fine = not account.lost and set(versions) == {"by version 2"}
    return account.happened(f"answered {_counted(versions)}", whole, fine=fine)


def clock(workers: int) -> Happened:
    """The clock jumps three days on, then six back"""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        raise Skipped("needs libfaketime: apt-get install libfaketime")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        told = Path(folder, "offset")
        told.write_text("+0")
        server = stack.enter_context(
            own_service(
                workers,
                LD_PRELOAD=str(library),
                FAKETIME_TIMESTAMP_FILE=str(told),
                FAKETIME_CACHE_DURATION="1",
                FAKETIME_DONT_FAKE_MONOTONIC="1",  # setting a clock does not move the monotonic one
                FAKETIME_FORCE_MONOTONIC_FIX="0",  # else its own waits for a lock end late
            )
        )
        pids = {one.pid for one in workers_of(server)}
        with load(server) as account:
            for number, offset in enumerate(("+3d", "-3d"), 2):
                Path(folder, "next").write_text(offset)
                Path(folder, "next").rename(told)  # never half a file
                until(lambda number=number: len(_dates(server)) == number, "the log has the new date")  # type: ignore[misc]
        kept = {one.pid for one in workers_of(server)} == pids
    what = f"{account.losses()}, workers {'as before' if kept else 'replaced'}"
    return account.happened(what, fine=kept and not account.lost)


def _dates(server: Server) -> set[str]:
    """That the access log has."""
    return set(re.findall(r'"time":"(\d+-\d+-\d+)', server.output()))


def disconnects(workers: int, number: int = 3000) -> Happened:
    """Thousands of clients go away in the middle of a body"""
    part = Request("", b"\0" * 100_000, "image/jpeg", length=1_000_000, leaves=True)
    with own_service(workers) as server:
        warm(server)
        before = memory_mb(server)
        with load(server) as account:
            for _ in range(number):
                exchange(connection_to(server.port), part)
        whole = until(lambda: not connections(server), "their connections are closed")
        growth = memory_mb(server) - before
        # What they held of the memory for bodies was given back: else a long one would be refused now.
        long = server.post(photo(), {"Content-Type": "image/jpeg"}).status
    what = f"{number:,} went; {growth:+.1f} MB; a photo is then answered {long}"
    return account.happened(what, whole, fine=not account.lost and growth < GROWTH_MB and long == 200)


def idle(workers: int, number: int = 10_000) -> Happened:
    """Thousands of connections are opened and left idle, four times"""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    number = min(number, hard - 500)
    memory, accepted = [], []
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))  # what a service is usually given
        server = stack.enter_context(own_service(workers))
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        warm(server)
        memory.append(memory_mb(server))
        with load(server) as account:
            for _ in range(CROWDS):
                with ExitStack() as crowd:
                    for _ in range(number):
                        crowd.enter_context(socket.create_connection((HOST, server.port), 10))
                    deadline = time.monotonic() + ACCEPT_SECONDS
                    while connections(server) < number and time.monotonic() < deadline:
                        time.sleep(0.5)
                    accepted.append(connections(server))
                    memory.append(memory_mb(server))
                whole = until(lambda: connections(server) <= CLIENTS, "they are closed")
    each, growth = 1000 * (memory[1] - memory[0]) / number, memory[-1] - memory[-2]
    what = f"{min(accepted):,} of {number:,} accepted, {each:.1f} kB each; the last time {growth:+.1f} MB more"
    # The allocator keeps what a crowd took, for the next.
    fine = not account.lost and min(accepted) >= number and growth < GROWTH_MB
    return account.happened(what, whole, fine=fine)


def slow_headers(workers: int, number: int = 200, seconds: float = 90) -> Happened:
    """Hundreds of clients send a header a byte a second"""
    with own_service(workers) as server, load(server) as account, ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection((HOST, server.port), 10)) for _ in range(number)]
        began = time.perf_counter()
        told: Counter[str] = Counter()
        for byte in (b"GET / HTTP/1.1\r\nX: " + b"x" * 1000)[: int(seconds)]:
            for connection in list(slow):
                try:
                    connection.setblocking(True)
                    connection.send(bytes([byte]))
                    connection.setblocking(False)
                    told[connection.recv(1000).partition(b"\r\n")[0].decode()] += 1
                except BlockingIOError:  # nothing was said yet
                    continue
                except ConnectionError:
                    told["without a word"] += 1
                slow.remove(connection)
            if not slow:
                break
            time.sleep(1)
        took = time.perf_counter() - began
    what = f"{number - len(slow)} were shown out ({_counted(told) or 'none'}), {len(slow)} not within {took:.0f} s"
    return account.happened(what, None if slow else took, fine=not account.lost and not slow)


def memory_mb(server: Server) -> float:
    """Resident, of all workers together; the least of a few looks."""
    looks = []
    for _ in range(5):
        looks.append(sum(one.memory_info().rss for one in workers_of(server)) / 1e6)
        time.sleep(0.1)
    return min(looks)


def _counted(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in kinds.items())


FAULTS: dict[str, Callable[[int], Happened]] = {
    fault.__name__: fault
    for fault in (
        kill, drain, stop, reload, full_disk, removed, unreadable, replaced, clock, disconnects, idle, slow_headers,
    )
}  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.injection", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(FAULTS), help="default: %(default)s")
    parser.add_argument("--workers", default="2,1", help="default: %(default)s")
    options = parser.parse_args()
    names = options.only.split(",")
    if strangers := set(names) - set(FAULTS):
        parser.error(f"--only: expected names of {', '.join(FAULTS)}, received {min(strangers)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the services are ended
    rows, fine = [], True
    for name in names:
        for workers in map(int, options.workers.split(",")):
            title = FAULTS[name].__doc__ or name
            print(f"{title}, {workers}", file=sys.stderr, flush=True)
            try:
                it = FAULTS[name](workers)
            except Skipped as exc:
                rows.append([title, str(workers), f"skipped: {exc}", "", "", ""])
                continue
            whole = "at once" if it.whole_seconds is None else f"{it.whole_seconds:.1f}"
            rows.append([title, str(workers), it.what, f"{it.sent:,}", str(it.lost), whole])
            print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
            if not it.fine:
                fine = False
                print(f"faults: {title}, {workers}: more than it may cost", file=sys.stderr)
    print(header(("uvicorn", "fastapi", "onnxruntime")))
    print()
    print(table(["fault", "workers", "what happened", "sent", "lost", "whole again, s"], rows))
    sys.exit(not fine)


if __name__ == "__main__":
    main()
