"""Does a service that is asked for half an hour answer everything as it should, in the same memory?

    python -m benchmarks.faults.soak --minutes 30 --workers 2

Eight clients send what clients send: good pictures of every kind, bad ones, photos of 12 megapixels; the page, the
model, the probes; and some go away in the middle of a body. Every answer is held to the status that it must have.
"""

import argparse
import io
import signal
import sys
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from PIL import Image

from app.openapi.example_pictures import EXAMPLES
from app.settings import Settings
from benchmarks.harness.report import header, table
from benchmarks.harness.servers import Server
from benchmarks.harness.traffic import (
    LEFT,
    Outcome,
    Request,
    Traffic,
    connection_to,
    connections,
    exchange,
    own_service,
    workers_of,
)

WARM_SHARE = 1 / 4
"""Of the time: by then every kind has come many times, and the allocator keeps what it will keep."""

WINDOW_SHARE = 1 / 10
"""Of the time: so long is memory looked at, after warm-up and at the end, for its least. While a photo is decoded it is
30 MB more."""

GROWTH_MB = 5
"""Most that a worker may grow between the two."""

SAMPLE_SECONDS = 0.5


@cache
def photo() -> bytes:
    """The example's photo as a phone takes it: 12 megapixels with the sensor's noise, some MB of JPEG."""
    width, height = 4000, 3000
    picture = Image.open(EXAMPLES / "photo.jpg").convert("L").resize((width, height), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(0).normal(0, 3, (height, width))
    encoded = io.BytesIO()
    noisy = np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)
    Image.fromarray(noisy).convert("RGB").save(encoded, "JPEG", quality=85)
    return encoded.getvalue()


def form(*files: bytes) -> bytes:
    """A form's body, its boundary `b`."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    return b"".join(head + file + b"\r\n" for file in files) + b"--b--\r\n"


def usual() -> list[Request]:
    """One request of each kind; each is as it must be answered."""
    seven = (EXAMPLES / "seven.bin").read_bytes()
    pixels = (EXAMPLES / "seven.json").read_bytes()
    small_png, small_jpeg = (EXAMPLES / "seven.png").read_bytes(), (EXAMPLES / "photo.jpg").read_bytes()
    json, raw, multipart = "application/json", "application/octet-stream", "multipart/form-data; boundary=b"
    moved = np.roll(np.frombuffer(seven, np.uint8).reshape(28, 28), 3, axis=1).tobytes()
    rows = pixels.partition(b":")[2].strip().removesuffix(b"}")
    limit = Settings().max_body_bytes
    return [
        Request("JSON", pixels, json),
        Request("JSON, 16 pictures", b'{"instances": [' + b",".join([rows] * 16) + b"]}", json),
        Request("raw", seven, raw),
        Request("raw, 200 pictures", seven * 200, raw),
        Request("raw, to be normalized", moved, raw, path="/predict?normalize=always&include=pixels"),
        Request("PNG", small_png, "image/png"),
        Request("JPEG", small_jpeg, "image/jpeg"),
        Request("form", form(small_jpeg), multipart),
        Request("form, 3 pictures", form(small_png, small_jpeg, small_png), multipart),
        *(Request("page and model", method="GET", path=path) for path in ("/", "/model", "/docs", "/openapi.json")),
        *(Request("probes", method="GET", path=path) for path in ("/livez", "/startupz", "/readyz", "/health")),
        Request("bad: no JSON", b"seven", json, expected=400),
        Request("bad: a pixel too many", seven + b"\0", raw, expected=422),
        Request("bad: blank", b"\7" * 784, raw, expected=422),
        Request("bad: a broken PNG", small_png[:-80], "image/png", expected=422),
        Request("bad: text", b"seven", "text/plain", expected=415),
        Request("bad: too long", b"", raw, length=limit + 1, expected=413),
        Request("bad: huge", huge(), "image/png", expected=413),
        Request("bad: a query", seven, raw, path="/predict?normalise=auto", expected=422),
        Request("bad: no such path", method="GET", path="/seven", expected=404),
        Request("bad: no such method", method="GET", path="/predict", expected=405),
        Request(
            "left in the body", small_jpeg[:4000], "image/jpeg", length=len(small_jpeg), expected=LEFT, leaves=True
        ),
        Request("left before the answer", small_jpeg, "image/jpeg", expected=LEFT, leaves=True),
    ]


def huge() -> bytes:
    """A PNG of a few bytes that declares 100 000 x 100 000 pixels."""
    png = bytearray((EXAMPLES / "seven.png").read_bytes())
    png[16:24] = (100_000).to_bytes(4, "big") * 2
    png[29:33] = _crc(bytes(png[12:29]))
    return bytes(png)


def _crc(chunk: bytes) -> bytes:
    return zlib.crc32(chunk).to_bytes(4, "big")


def mixed() -> list[Request]:
    """What a client draws from: a photo of 12 megapixels about once in two hundred."""
    return [*usual() * 7, Request("JPEG, 12 megapixels", photo(), "image/jpeg")]


def warm(server: Server) -> None:
    """Ask everything some times before memory is looked at: the first of a kind brings something that stays."""
    for request in [*usual() * 5, *[Request("JPEG, 12 megapixels", photo(), "image/jpeg")] * 3]:
        exchange(connection_to(server.port), request, last=True)


@dataclass(frozen=True)
class Soaked:
    """What came of it."""

    counts: Counter[tuple[str, int | str, bool]]
    """Requests by kind, status, and whether that is what must come of it."""
    memory: dict[int, tuple[float, float]]
    """Resident MB after warm-up and at the end, by process; who ended meanwhile is left out."""
    connections: int
    """That the workers still hold open after all clients have gone."""
    failures: list[str] = field(default_factory=list)
    """Which goals were missed."""


def soak(server: Server, seconds: float) -> Soaked:
    """Put a service under mixed load for so many seconds."""
    counts: Counter[tuple[str, int | str, bool]] = Counter()
    notes: list[tuple[str, int | str, bool]] = []  # appending is safe among threads, counting is not

    def note(outcome: Outcome) -> None:
        notes.append((outcome.request.kind, outcome.status, outcome.right))

    def count() -> None:
        taken = len(notes)
        counts.update(notes[:taken])
        del notes[:taken]

    warm(server)
    workers = workers_of(server)
    samples: list[tuple[float, dict[int, float]]] = []
    began = time.monotonic()
    with Traffic(server.port, mixed(), note):
        while (elapsed := time.monotonic() - began) < seconds:
            samples.append((elapsed, {one.pid: one.memory_info().rss / 1e6 for one in workers if one.is_running()}))
            count()
            time.sleep(SAMPLE_SECONDS)
    count()
    window = WINDOW_SHARE * seconds
    starts = WARM_SHARE * seconds, seconds - window
    rests = [
        {
            one.pid: min(rss[one.pid] for at, rss in samples if start <= at <= start + window and one.pid in rss)
            for one in workers
            if one.is_running()
        }
        for start in starts
    ]
    memory = {pid: (rests[0][pid], rests[1][pid]) for pid in rests[1]}
    time.sleep(1)
    held = connections(server)
    failures = [f"{kind}: {status}, {number} times" for (kind, status, right), number in counts.items() if not right]
    failures += [f"worker {one.pid} has ended" for one in workers if one.pid not in memory]
    failures += [
        f"worker {pid} grew by {end - warm:.1f} MB" for pid, (warm, end) in memory.items() if end - warm >= GROWTH_MB
    ]
    failures += [f"{held} connections are still open"] * bool(held)
    failures += ["there is a traceback in the log"] * ("Traceback" in server.output())
    return Soaked(counts, memory, held, failures)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30, help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=1, help="default: %(default)s")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the service is ended
    with own_service(options.workers) as server:
        soaked = soak(server, 60 * options.minutes)
    print(header(("uvicorn", "fastapi", "onnxruntime", "pillow")))
    rows = [
        [kind, str(status), f"{number:,}", "" if right else "unexpected"]
        for (kind, status, right), number in sorted(soaked.counts.items(), key=str)
    ]
    total = soaked.counts.total()
    print(f"\n{total:,} requests in {options.minutes:g} minutes.\n")
    print(table(["kind", "status", "requests", ""], rows))
    print(f"\nLeast resident memory after warm-up and at the end, MB; goal: less than {GROWTH_MB} more.\n")
    print(
        table(
            ["worker", "warm", "end", "growth"],
            [
                [str(pid), f"{warm:.1f}", f"{end:.1f}", f"{end - warm:+.1f}"]
                for pid, (warm, end) in soaked.memory.items()
            ],
        )
    )
    for failure in soaked.failures:
        print(f"soak: {failure}", file=sys.stderr)
    sys.exit(bool(soaked.failures))


if __name__ == "__main__":
    main()
