"""How long does one request, as heavy as is allowed, keep the others waiting?

    python -m benchmarks.faults.blocking --rounds 3

One service as `make serve` starts it gets the heaviest bodies of each kind, one at a time; meanwhile `/livez` is asked
again and again on a connection of its own. The longest wait for it is what the event loop was held up.
"""

import argparse
import http.client
import json
import signal
import statistics
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from app.openapi.example_pictures import EXAMPLES
from app.settings import Settings
from benchmarks.harness import services
from benchmarks.harness.report import header, table
from benchmarks.harness.rounds import spread
from benchmarks.harness.servers import HOST

_LIMIT = Settings().max_body_bytes
_SEVEN = (EXAMPLES / "seven.bin").read_bytes()
_SEVEN_PNG = (EXAMPLES / "seven.png").read_bytes()


def _picture(mode: str, size: tuple[int, int], **options: Any) -> bytes:
    """A picture of coarse blocks, so that it is a small file of many pixels."""
    blocks = np.random.default_rng(0).integers(0, 255, (size[1] // 100, size[0] // 100, 4), dtype=np.uint8)
    picture = Image.fromarray(blocks, "RGBA").resize(size, Image.Resampling.NEAREST).convert(mode)
    buffer = BytesIO()
    picture.save(buffer, **options)
    return buffer.getvalue()


def _part(content: bytes) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    return head + content + b"\r\n"


def _floats(count: int) -> list[list[float]]:
    rows: list[list[float]] = np.random.default_rng(0).random((count, 784)).round(15).tolist()
    return rows


def _tensor() -> bytes:
    data = [value for row in _floats(800) for value in row]
    return json.dumps(
        {"inputs": [{"name": "features", "shape": [800, 784], "datatype": "FP32", "data": data}]}
    ).encode()


_ROWS, _TENSOR = "/v1/models/mnist-dense:predict", "/v2/models/mnist-dense/infer"

Heavy = Callable[[], tuple[str, bytes] | tuple[str, bytes, str]]
"""Makes content type, body and, where it is not /predict, the path."""

HEAVY: dict[str, Heavy] = {
    "a 37-megapixel PNG with alpha": lambda: ("image/png", _picture("RGBA", (7400, 5000), format="PNG")),
    "a 50-megapixel JPEG": lambda: ("image/jpeg", _picture("RGB", (8000, 6000), format="JPEG", quality=50)),
    "a 10-megapixel WEBP": lambda: ("image/webp", _picture("RGB", (3900, 2500), format="WEBP", quality=1)),
    "a 50-megapixel WEBP": lambda: ("image/webp", _picture("RGB", (8000, 6000), format="WEBP", quality=1)),
    "a 50-megapixel GIF": lambda: ("image/gif", _picture("P", (8000, 6000), format="GIF")),
    "1024 pictures of long floats": lambda: (
        "application/json",
        json.dumps({"scale": "0-1", "instances": np.random.default_rng(0).random((1024, 784)).round(16).tolist()})[
            :_LIMIT
        ].encode(),
    ),
    "JSON of millions of numbers": lambda: ("application/json", b'{"pixels": [' + b"1," * (_LIMIT // 2 - 10) + b"1]}"),
    "JSON of a million objects": lambda: ("application/json", b'{"pixels": [' + b"{}," * 800_000 + b"1]}"),
    "JSON of a million lists": lambda: ("application/json", b'{"pixels": [' + b"[]," * 800_000 + b"1]}"),
    "a form of a thousand pictures": lambda: (
        "multipart/form-data; boundary=b",
        _part(_SEVEN_PNG) * 1024 + b"--b--\r\n",
    ),
    "a form that is all header": lambda: (
        "multipart/form-data; boundary=b",
        (b"--b\r\n" + b"a" * 15_000_000)[:_LIMIT],
    ),
    "a PNG of a million empty chunks": lambda: (
        "image/png",
        _SEVEN_PNG[:33] + b"\0\0\0\0tSTs\xd5\x9a\x8b\xf7" * 1_000_000,
    ),
    "1024 pictures to normalize": lambda: (
        "application/octet-stream",
        np.roll(np.frombuffer(_SEVEN, np.uint8), 3).tobytes() * 1024,
    ),
    "1024 pictures of noise, explained": lambda: (
        "application/octet-stream",
        np.random.default_rng(0).integers(0, 256, 1024 * 784, dtype=np.uint8).tobytes(),
        "/predict?normalize=never&include=pixels,saliency",
    ),
    "800 rows of floats, by name": lambda: (
        "application/json",
        json.dumps({"instances": [{"features": row} for row in _floats(800)]}).encode(),
        _ROWS,
    ),
    "600 records of 784 columns": lambda: (
        "application/json",
        json.dumps(
            {"dataframe_records": [dict(zip(map(str, range(784)), row, strict=True)) for row in _floats(600)]}
        ).encode(),
        "/invocations",
    ),
    "1024 pictures in base64": lambda: (
        "application/json",
        json.dumps({"instances": [{"b64": b64encode(_SEVEN_PNG).decode()}] * 1024}).encode(),
        _ROWS,
    ),
    "rows of a million objects": lambda: ("application/json", b'{"instances": [' + b"{}," * 800_000 + b"1]}", _ROWS),
    "a flat tensor of 800 pictures": lambda: ("application/json", _tensor(), _TENSOR),
}
"""Some are refused."""


def probed(url: str, content_type: str, body: bytes, path: str = "/predict") -> tuple[int, float, float]:
    """Send a request, and ask `/livez` until it is answered.

    Returns:
        The request's status, the seconds that it took, and the longest that `/livez` took meanwhile.
    """
    address = urlsplit(url).netloc

    def send() -> int:
        connection = http.client.HTTPConnection(address, timeout=120)
        try:
            connection.request("POST", path, body, {"Content-Type": content_type})
            return connection.getresponse().status
        finally:
            connection.close()

    longest = 0.0
    probe = http.client.HTTPConnection(address, timeout=120)
    with ThreadPoolExecutor(1) as sender:
        began = time.perf_counter()
        status = sender.submit(send)
        while not status.done():
            asked = time.perf_counter()
            probe.request("GET", "/livez")
            probe.getresponse().read()
            longest = max(longest, time.perf_counter() - asked)
            time.sleep(0.001)
        seconds = time.perf_counter() - began
    probe.close()
    return status.result(), seconds, longest


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.blocking", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the service is ended
    rows = []
    with services.own().started() as server:
        for name, make in HEAVY.items():
            heavy = make()
            print(name, file=sys.stderr, flush=True)
            runs = [probed(f"http://{HOST}:{server.port}", *heavy) for _ in range(options.rounds)]
            statuses, seconds, waits = zip(*runs, strict=True)
            took = f"{1000 * statistics.median(seconds):,.0f}"
            waited = spread([1000 * wait for wait in waits], 1)
            rows.append([name, f"{len(heavy[1]) / 1e6:.1f}", str(max(statuses)), took, waited])
    print(header(("uvicorn", "fastapi", "pillow", "orjson")))
    print(f"\nMedian of {options.rounds} rounds (least-greatest).\n")
    print(table(["body", "MB", "status", "ms", "/livez at most, ms"], rows))


if __name__ == "__main__":
    main()
