"""Put a server under load with wrk."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.bodies import GOLDEN, Body
from benchmarks.harness.servers import HOST, Server

WARM_SECONDS = 1
TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Run:
    """The result of one run of wrk."""

    rate: float
    """Requests per second that were answered with a status below 400."""
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """Processor time of the server per request. Other programs on the machine change it less than the rate."""
    errors: Mapping[str, int]
    """Number of errors by kind: connect, read, write, status, timeout."""


def put_under_load(server: Server, body: Body, connections: int, seconds: int) -> Run:
    """Keep this number of connections busy. Each sends its next request as soon as the last one is answered.

    wrk corrects its percentiles for the requests that it could not send while it waited for a slow reply.
    """
    with tempfile.TemporaryDirectory() as folder:
        for digit, pixels in enumerate(GOLDEN.pixels):
            Path(folder, str(digit)).write_bytes(body.encode(pixels))
        cpu_began = server.cpu_seconds()
        completed = subprocess.run(
            [
                *("wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"),
                *("--timeout", f"{TIMEOUT_SECONDS}s", "--script", str(Path(__file__).with_name("wrk.lua"))),
                *(f"http://{HOST}:{server.port}/predict", "--", folder),
                *(f"{name}: {value}" for name, value in body.headers.items()),
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + 2 * TIMEOUT_SECONDS,
        )
    # wrk exits while requests are in work. The server has finished them when it answers one more request.
    server.ask("/predict", body.encode(GOLDEN.pixels[0]), body.headers)
    cpu_seconds = server.cpu_seconds() - cpu_began
    result = json.loads(completed.stdout.splitlines()[-1])
    answered = result["requests"] - result["errors"]["status"]
    return Run(
        rate=1e6 * answered / result["duration"],
        p50_ms=result["p50"] / 1000,
        p99_ms=result["p99"] / 1000,
        cpu_us=1e6 * cpu_seconds / max(answered, 1),
        errors=result["errors"],
    )


def version() -> str:
    """Return wrk's version.

    Raises:
        SystemExit: wrk is not installed.
    """
    if shutil.which("wrk") is None:
        raise SystemExit("this benchmark needs wrk: apt-get install wrk")
    return subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False).stdout.split()[1]
