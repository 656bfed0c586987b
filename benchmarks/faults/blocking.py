"""How long does the heaviest allowed request keep other requests waiting?

    python -m benchmarks.faults.blocking --rounds 3

The service receives the heaviest bodies of each kind, one at a time. Meanwhile another connection requests `/livez`
again and again. Its longest reply time shows how long the event loop was blocked.
"""

import json
import time
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import numpy as np
from PIL import Image

from app.openapi.example_pictures import EXAMPLES
from app.settings import Settings
from benchmarks.faults.mix import MULTIPART
from benchmarks.harness import services
from benchmarks.harness.bodies import encoded
from benchmarks.harness.command import parser, progress
from benchmarks.harness.report import header, median, spread, table
from benchmarks.harness.servers import HOST
from benchmarks.harness.traffic import Request, send

_LIMITS = Settings()
_SEVEN = (EXAMPLES / "seven.bin").read_bytes()
_SEVEN_PNG = (EXAMPLES / "seven.png").read_bytes()
_JSON, _RAW = "application/json", "application/octet-stream"
_AS_SENT = "/predict?normalize=never"
_V1 = "/v1/models/mnist-dense:predict"


def _picture(mode: str, size: tuple[int, int], name: str, **options: Any) -> bytes:
    """Return a picture of coarse blocks, which is a small file of many pixels."""
    blocks = np.random.default_rng(0).integers(0, 255, (size[1] // 100, size[0] // 100, 4), dtype=np.uint8)
    picture = Image.fromarray(blocks, "RGBA").resize(size, Image.Resampling.NEAREST).convert(mode)
    return encoded(picture, name, **options)


def _repeat(start: str, element: str, end: str, most: int | None = None) -> bytes:
    """Return JSON with as many copies of an element as the largest allowed body holds, but at most `most`."""
    fit = (_LIMITS.max_json_bytes - len(start) - len(end)) // (len(element) + 1)
    return (start + ",".join([element] * min(fit, most or fit)) + end).encode()


_FLOATS = json.dumps(np.random.default_rng(0).random(784).round(16).tolist())
_BASE64 = json.dumps({"b64": b64encode(_SEVEN_PNG).decode()})
_EMPTY_CHUNKS = b"\0\0\0\0tSTs\xd5\x9a\x8b\xf7" * 1_000_000


@dataclass(frozen=True, slots=True)
class Heavy:
    """A heavy request. Its body is made when it is sent, because all bodies together would take too much memory."""

    kind: str
    make_body: Callable[[], bytes]
    content_type: str
    path: str = "/predict"

    def request(self) -> Request:
        """Make the request."""
        return Request(self.kind, self.make_body(), self.content_type, path=self.path)


def _noise() -> bytes:
    return np.random.default_rng(0).integers(0, 256, 1024 * 784, dtype=np.uint8).tobytes()


HEAVY = (
    Heavy("a 37-megapixel PNG with alpha", lambda: _picture("RGBA", (7400, 5000), "PNG"), "image/png"),
    Heavy("a 50-megapixel JPEG", lambda: _picture("RGB", (8000, 6000), "JPEG", quality=50), "image/jpeg"),
    Heavy("a PNG of a million empty chunks", lambda: _SEVEN_PNG[:33] + _EMPTY_CHUNKS, "image/png"),
    Heavy(
        "pictures of long floats", lambda: _repeat('{"scale": "0-1", "instances": [', _FLOATS, "]}"), _JSON, _AS_SENT
    ),
    Heavy("JSON of millions of numbers", lambda: _repeat('{"pixels": [', "1", "]}"), _JSON),
    Heavy("a form that is only a header", lambda: b"--b\r\n".ljust(_LIMITS.max_body_bytes, b"a"), MULTIPART),
    Heavy("1024 pictures to normalize", lambda: np.roll(np.frombuffer(_SEVEN, np.uint8), 3).tobytes() * 1024, _RAW),
    Heavy("1024 pictures of noise, with saliency", _noise, _RAW, f"{_AS_SENT}&include=pixels,saliency"),
    Heavy("V1, 1024 pictures in base64", lambda: _repeat('{"instances": [', _BASE64, "]}", most=1024), _JSON, _V1),
)
"""All heavy requests. The service refuses some of them."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of a heavy request, and its effect on `/livez`."""

    status: int | str
    seconds: float
    livez_seconds: float
    """Longest reply time of `/livez` meanwhile."""


def probe(port: int, request: Request) -> Probe:
    """Send a request, and call `/livez` again and again until the request is answered."""
    longest = 0.0
    with closing(HTTPConnection(HOST, port, timeout=120)) as connection, ThreadPoolExecutor(1) as sender:
        began = time.perf_counter()
        sent = sender.submit(send, port, request)
        while not sent.done():
            livez_began = time.perf_counter()
            connection.request("GET", "/livez")
            connection.getresponse().read()
            longest = max(longest, time.perf_counter() - livez_began)
            time.sleep(0.001)
        return Probe(sent.result(), time.perf_counter() - began, longest)


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    options = arguments.parse_args()
    rows = []
    with services.own().started() as server:
        for heavy in HEAVY:
            progress(heavy.kind)
            request = heavy.request()
            probes = [probe(server.port, request) for _ in range(options.rounds)]
            times = [1000 * one.seconds for one in probes]
            waits = spread([1000 * one.livez_seconds for one in probes], 1)
            rows.append([heavy.kind, f"{len(request.body) / 1e6:.1f}", str(probes[-1].status), median(times), waits])
    print(header(("uvicorn", "fastapi", "pillow", "orjson")))
    print(f"\nMedian of {options.rounds} rounds (least-greatest).\n")
    print(table(["body", "MB", "status", "ms", "/livez at most, ms"], rows))


if __name__ == "__main__":
    main()
