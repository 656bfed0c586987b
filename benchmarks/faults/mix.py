"""The requests that clients send: valid ones of every kind, invalid ones, and some whose client leaves early."""

import zlib

import numpy as np

from app.openapi.example_pictures import EXAMPLES
from app.settings import Settings
from benchmarks.harness.bodies import GOLDEN, PHOTO
from benchmarks.harness.servers import Server
from benchmarks.harness.traffic import CLIENTS, LEFT, Request, connection_to, send
from tests.load import HttpClient

MULTIPART = "multipart/form-data; boundary=b"


def photo() -> bytes:
    """Return a photo like a phone's: a JPEG of 12 megapixels with sensor noise, several MB large."""
    return PHOTO.encode(GOLDEN.pixels[7])


def form(*files: bytes) -> bytes:
    """Return the body of a form with these files, whose boundary is `b`."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    return b"".join(head + file + b"\r\n" for file in files) + b"--b--\r\n"


def huge() -> bytes:
    """Return a PNG of a few bytes that declares 100 000 x 100 000 pixels."""
    png = bytearray((EXAMPLES / "seven.png").read_bytes())
    png[16:24] = (100_000).to_bytes(4, "big") * 2
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    return bytes(png)


def usual() -> list[Request]:
    """Return one request of each kind, except the photo."""
    seven = (EXAMPLES / "seven.bin").read_bytes()
    pixels = (EXAMPLES / "seven.json").read_bytes()
    small_png, small_jpeg = (EXAMPLES / "seven.png").read_bytes(), (EXAMPLES / "photo.jpg").read_bytes()
    json, raw = "application/json", "application/octet-stream"
    moved = np.roll(np.frombuffer(seven, np.uint8).reshape(28, 28), 3, axis=1).tobytes()
    rows = pixels.partition(b":")[2].strip().removesuffix(b"}")
    too_long = Settings().max_body_bytes + 1
    jpeg_length = len(small_jpeg)
    return [
        Request("raw", seven, raw),
        Request("JSON", pixels, json),
        Request("PNG", small_png, "image/png"),
        Request("JPEG", small_jpeg, "image/jpeg"),
        Request("JSON, 16 pictures", b'{"instances": [' + b",".join([rows] * 16) + b"]}", json),
        Request("raw, 200 pictures", seven * 200, raw),
        Request("raw, to be normalized", moved, raw, path="/predict?normalize=always&include=pixels"),
        Request("form", form(small_jpeg), MULTIPART),
        Request("form, 3 pictures", form(small_png, small_jpeg, small_png), MULTIPART),
        *(Request("page and model", method="GET", path=path) for path in ("/", "/model", "/docs", "/openapi.json")),
        *(Request("probes", method="GET", path=path) for path in ("/livez", "/startupz", "/readyz", "/health")),
        Request("bad: not JSON", b"seven", json, expected=400),
        Request("bad: a pixel too many", seven + b"\0", raw, expected=422),
        Request("bad: blank", b"\7" * 784, raw, expected=422),
        Request("bad: a broken PNG", small_png[:-80], "image/png", expected=422),
        Request("bad: text", b"seven", "text/plain", expected=415),
        Request("bad: too long", b"", raw, content_length=too_long, expected=413),
        Request("bad: huge", huge(), "image/png", expected=413),
        Request("bad: unknown parameter", seven, raw, path="/predict?normalise=auto", expected=422),
        Request("bad: unknown path", method="GET", path="/seven", expected=404),
        Request("bad: unknown method", method="GET", path="/predict", expected=405),
        Request(
            "left in the body", small_jpeg[:4000], "image/jpeg", content_length=jpeg_length, expected=LEFT, leaves=True
        ),
        Request("left before the answer", small_jpeg, "image/jpeg", expected=LEFT, leaves=True),
    ]


def clients_of(port: int) -> list[HttpClient]:
    """Return clients that send one valid request again and again. Half of them keep their connection."""
    return [HttpClient(connection_to(port), keeps=number % 2 == 1) for number in range(CLIENTS)]


def mixed() -> list[Request]:
    """Return the requests that a client draws from. One in about two hundred is a photo of 12 megapixels."""
    return [*usual() * 7, Request("JPEG, 12 megapixels", photo(), "image/jpeg")]


def warm(server: Server) -> None:
    """Send requests of every kind several times. The first requests of a kind allocate memory that stays allocated."""
    for request in [*usual() * 5, *[Request("JPEG, 12 megapixels", photo(), "image/jpeg")] * 3]:
        send(server.port, request)
