"""How many requests a second, and how fast is each answered, beside the floor, the usual template and the peers?

    python -m benchmarks.speed.requests --rounds 5 --seconds 3 --only ours,floor --concurrency 1,16,64

`wrk` keeps as many connections busy as the concurrency says, each sending its next request when the last was answered,
on this machine, of whose cores it takes up to one. A round measures everything once, in an order of its own: those that
are compared with each other, one right after the other. All but the fresh ones (see `contenders.py`) listen all the
time; who is not asked takes no processor time. Ratios are taken within a round. `wrk` corrects its percentiles for the
requests that it would have sent while it waited for a slow one.
"""

import argparse
import json
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.report import header, spread, table
from benchmarks.harness.servers import HOST, Server
from benchmarks.harness.services import GOLDEN, NAMES, Body, Contender, contenders, version

WARM_SECONDS = 2
TIMEOUT_SECONDS = 30
HEADS = ("body", "clients", "service", "workers", "requests/s", "p50 ms", "p99 ms", "x floor", "x template", "errors")


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing that is measured in every round."""

    contender: Contender
    body: Body
    concurrency: int


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement of it."""

    rate: float
    """Requests a second that were answered with a status below 400."""
    p50_ms: float
    p99_ms: float
    errors: Mapping[str, int]
    """How many of each kind: connect, read, write, status, timeout."""


Results = Mapping[Turn, Sequence[Run]]


def put_under_load(server: Server, body: Body, concurrency: int, seconds: int) -> Run:
    """One run of wrk. It is over only when what it left unanswered is answered too."""
    with tempfile.TemporaryDirectory() as pictures:
        for digit, pixels in enumerate(GOLDEN.pixels):
            Path(pictures, str(digit)).write_bytes(body.encode(pixels))
        done = subprocess.run(
            [
                *("wrk", "--threads", "1", "--connections", str(concurrency), "--duration", f"{seconds}s"),
                *("--timeout", f"{TIMEOUT_SECONDS}s", "--script", str(Path(__file__).parents[1] / "harness/wrk.lua")),
                *(f"http://{HOST}:{server.port}{body.path}", "--", pictures),
                *(f"{name}: {value}" for name, value in body.headers.items()),
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + 2 * TIMEOUT_SECONDS,
        )
    server.ask(body.encode(GOLDEN.pixels[0]), body.headers, body.path)
    said = json.loads(done.stdout.splitlines()[-1])
    answered = said["requests"] - said["errors"]["status"]
    return Run(1e6 * answered / said["duration"], said["p50"] / 1000, said["p99"] / 1000, said["errors"])


def ordered(turns: Sequence[Turn], rng: random.Random) -> list[Turn]:
    """In random order, those of the same body and concurrency together, so that their ratios see the same minute."""
    groups = defaultdict(list)
    for turn in turns:
        groups[turn.body.name, turn.concurrency].append(turn)
    shuffled = list(groups.values())
    rng.shuffle(shuffled)
    return [turn for group in shuffled for turn in rng.sample(group, len(group))]


def measure(turns: Sequence[Turn], rounds: int, seconds: int) -> Results:
    """Start the services, warm them, measure each turn once a round, end the services."""
    results: dict[Turn, list[Run]] = {turn: [] for turn in turns}
    with ExitStack() as running:
        servers = {}
        for contender in dict.fromkeys(turn.contender for turn in turns if not turn.contender.fresh):
            print(f"starting {contender.name}, {contender.workers}", file=sys.stderr, flush=True)
            servers[contender] = running.enter_context(contender.started())
            for body in contender.bodies:
                put_under_load(servers[contender], body, 16, WARM_SECONDS)
        for number in range(rounds):
            for place, turn in enumerate(ordered(turns, random.Random(number)), 1):
                contender, body, concurrency = turn.contender, turn.body, turn.concurrency
                if contender.fresh:
                    with contender.started() as server:
                        put_under_load(server, body, concurrency, WARM_SECONDS)
                        run = put_under_load(server, body, concurrency, seconds)
                else:
                    run = put_under_load(servers[contender], body, concurrency, seconds)
                results[turn].append(run)
                print(
                    f"round {number + 1}/{rounds}, {place}/{len(turns)}: {contender.name}, {contender.workers}, "
                    f"{body.name}, {concurrency}: {run.rate:,.0f} requests/s",
                    file=sys.stderr,
                    flush=True,
                )
    return results


def ratio(results: Results, turn: Turn, name: str) -> str:
    """To the contender of that name at the same body and concurrency, within each round; the median over rounds."""
    for other, runs in results.items():
        if (other.contender.name, other.body.name, other.concurrency) == (name, turn.body.name, turn.concurrency):
            pairs = zip(results[turn], runs, strict=True)
            return f"{statistics.median(run.rate / base.rate for run, base in pairs):.3g}"
    return ""


def row(results: Results, turn: Turn) -> list[str]:
    """The turn's line in the table."""
    runs = results[turn]
    kinds = {kind: sum(run.errors[kind] for run in runs) for kind in runs[0].errors}
    return [
        turn.body.name,
        str(turn.concurrency),
        turn.contender.name,
        str(turn.contender.workers),
        spread([run.rate for run in runs]),
        f"{statistics.median(run.p50_ms for run in runs):.2f}",
        f"{statistics.median(run.p99_ms for run in runs):.2f}",
        ratio(results, turn, "floor"),
        ratio(results, turn, "template"),
        ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count) or "0",
    ]


def version_of_wrk() -> str:
    """Which wrk it is.

    Raises:
        SystemExit: none is installed.
    """
    if shutil.which("wrk") is None:
        raise SystemExit("needs wrk, which is not installed: apt-get install wrk")
    return subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False).stdout.split()[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.requests", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--seconds", type=int, default=3, help="of load in each measurement (default: %(default)s)")
    parser.add_argument("--only", default=",".join(NAMES), help="default: %(default)s")
    parser.add_argument("--concurrency", default="1,16,64", help="default: %(default)s")
    options = parser.parse_args()
    names = options.only.split(",")
    if strangers := set(names) - set(NAMES):
        parser.error(f"--only: expected names of {', '.join(NAMES)}, received {min(strangers)}")
    wrk = version_of_wrk()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the services are ended
    turns = [
        Turn(contender, body, concurrency)
        for contender in contenders(names)
        for body in contender.bodies
        for concurrency in map(int, options.concurrency.split(","))
    ]
    results = measure(turns, options.rounds, options.seconds)
    others = {name: version(name) for name in ("litserve", "bentoml") if name in names}
    packages = [
        "uvicorn",
        "fastapi",
        "onnxruntime",
        *(["keras"] if "keras" in {t.contender.name for t in turns} else []),
    ]
    print(header(packages, {**others, "wrk": wrk}))
    print(f"\nMedian of {options.rounds} rounds of {options.seconds} s (least-greatest).\n")
    by_body = sorted(results, key=lambda turn: (turn.body.name, turn.concurrency))
    print(table(HEADS, [row(results, turn) for turn in by_body]))


if __name__ == "__main__":
    main()
