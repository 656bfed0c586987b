"""Is any other protocol (dialect) slower than `/predict` for the same bytes?

    python -m benchmarks.speed.dialects --rounds 5 --seconds 2

One service receives the golden digits in every encoding, from 32 connections of wrk. Encodings of the same values form
a group. The time of a request is divided by the time of the group's `/predict` in the same round.
"""

import json
import statistics
import struct
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.harness import services, wrk
from benchmarks.harness.bodies import GOLDEN, JSON, PNG, RAW, Body, compact_json, png
from benchmarks.harness.command import parser
from benchmarks.harness.report import header, table
from benchmarks.harness.rounds import alternate, ratios, spread
from benchmarks.harness.servers import Server
from benchmarks.harness.wrk import Run, put_under_load
from digits.features import CLASSES, FEATURES, Grey, to_features
from digits.model.classifier import GOLDEN_TOLERANCE

CONNECTIONS = 32
INFER, ROWS = "/v2/models/mnist-dense/infer", "/v1/models/mnist-dense:predict"
HEADER_BYTES = 160
"""Length of the JSON before a binary tensor. It is padded with spaces, because one header gives the length for all."""


@dataclass(frozen=True, eq=False)
class Encoding:
    """One encoding to send a picture."""

    body: Body
    probabilities: Callable[[bytes], ArrayLike]
    """Reads the probabilities from a reply."""

    def check(self, server: Server) -> None:
        """Send each golden digit once.

        Raises:
            SystemExit: an answer is wrong.
        """
        for pixels, expected in zip(GOLDEN.pixels, GOLDEN.probabilities, strict=True):
            reply = server.post(self.body.encode(pixels), self.body.headers, self.body.path)
            if reply.status == 200:
                difference = np.abs(np.ravel(self.probabilities(reply.body)) - expected).max()
            if reply.status != 200 or not difference <= GOLDEN_TOLERANCE:
                received = f"{reply.status}: {reply.body[:300]!r}"
                raise SystemExit(f"{self.body.name}: expected the digit {expected.argmax()}, received {received}")


def _floats(pixels: Grey) -> list[float]:
    """Return values in [0, 1], with the 16 digits that Python prints after a division."""
    floats: list[float] = (pixels / 255).ravel().tolist()
    return floats


def _float_bytes(pixels: Grey) -> bytes:
    return to_features(pixels[None]).astype("<f4").tobytes()


def _bytes_element(pixels: Grey) -> bytes:
    picture = png(pixels)
    return struct.pack("<I", len(picture)) + picture


def _base64(pixels: Grey) -> str:
    return b64encode(png(pixels)).decode()


def _predict(name: str, body: Body) -> Encoding:
    return Encoding(
        Body(f"/predict, {name}", body.headers, body.encode), lambda reply: json.loads(reply)["probabilities"]
    )


def _v1(name: str, row: Callable[[Grey], Any]) -> Encoding:
    body = Body(f"V1, {name}", {}, lambda pixels: compact_json({"instances": [row(pixels)]}), ROWS)
    return Encoding(body, lambda reply: json.loads(reply)["predictions"])


def _v2_json(datatype: str, shape: Sequence[int], data: Callable[[Grey], Any]) -> Encoding:
    def encode(pixels: Grey) -> bytes:
        tensor = {"name": "features", "shape": shape, "datatype": datatype, "data": data(pixels)}
        return compact_json({"inputs": [tensor]})

    return Encoding(Body(f"V2, {datatype} as JSON", {}, encode, INFER), _first_output)


def v2_binary(datatype: str, shape: Sequence[int], data: Callable[[Grey], bytes]) -> Encoding:
    """Send a binary tensor, as Triton's client does by default. The outputs are binary too."""

    def encode(pixels: Grey) -> bytes:
        content = data(pixels)
        size = {"binary_data_size": len(content)}
        tensor = {"name": "features", "shape": shape, "datatype": datatype, "parameters": size}
        head = compact_json({"inputs": [tensor], "parameters": {"binary_data_output": True}})
        return head.ljust(HEADER_BYTES) + content

    headers = {"Inference-Header-Content-Length": str(HEADER_BYTES)}
    return Encoding(Body(f"V2, {datatype} in binary", headers, encode, INFER), _first_output)


def _first_output(reply: bytes) -> ArrayLike:
    """Read the first output, from the JSON or from the bytes after it."""
    document, end = json.JSONDecoder().raw_decode(reply.decode("latin-1"))
    output = document["outputs"][0]
    return output["data"] if "data" in output else np.frombuffer(reply, "<f4", CLASSES, end)


_RAW_FLOATS = Body("V2, FP32 without JSON", {"Inference-Header-Content-Length": "0"}, _float_bytes, INFER)
_JSON_FLOATS = Body("", JSON.headers, lambda pixels: compact_json({"pixels": _floats(pixels), "scale": "0-1"}))
_PIXELS = [1, FEATURES]

GROUPS: Sequence[Sequence[Encoding]] = (
    (
        _predict("raw bytes", RAW),
        v2_binary("UINT8", _PIXELS, lambda pixels: pixels.tobytes()),
        v2_binary("FP32", _PIXELS, _float_bytes),
        Encoding(_RAW_FLOATS, _first_output),
    ),
    (
        _predict("JSON", JSON),
        _v2_json("UINT8", _PIXELS, lambda pixels: pixels.ravel().tolist()),
    ),
    (
        _predict("JSON of floats", _JSON_FLOATS),
        _v2_json("FP32", _PIXELS, _floats),
        _v1("floats", _floats),
    ),
    (
        _predict("PNG", PNG),
        v2_binary("BYTES", [1], _bytes_element),
        _v2_json("BYTES", [1], lambda pixels: [_base64(pixels)]),
        _v1("PNG in base64", lambda pixels: {"b64": _base64(pixels)}),
    ),
)
"""The first encoding of a group is the base of its ratios."""


def row(encoding: Encoding, runs: list[Run], base: list[Run]) -> list[str]:
    """Format the row of an encoding in the table."""
    rates = [run.rate for run in runs]
    sent = statistics.mean(len(encoding.body.encode(pixels)) for pixels in GOLDEN.pixels)
    times = "" if runs is base else spread(ratios([run.rate for run in base], rates), 2)
    errors = sum(sum(run.errors.values()) for run in runs)
    return [encoding.body.name, spread(rates), f"{sent:,.0f}", times, str(errors)]


def main() -> None:
    """Print the table."""
    options = parser(__doc__, rounds=5, seconds=2).parse_args()
    versions = {"wrk": wrk.version()}
    with services.own().started() as server:
        for group in GROUPS:
            for encoding in group:
                encoding.check(server)
        put_under_load(server, RAW, CONNECTIONS, wrk.WARM_SECONDS)
        runs = alternate(
            GROUPS, options.rounds, lambda encoding: put_under_load(server, encoding.body, CONNECTIONS, options.seconds)
        )
    print(header(("uvicorn", "onnxruntime", "orjson", "pillow"), versions))
    print(f"\n{CONNECTIONS} connections, median of {options.rounds} rounds of {options.seconds} s (least-greatest).\n")
    rows = [row(encoding, runs[encoding], runs[group[0]]) for group in GROUPS for encoding in group]
    print(table(("encoding", "requests/s", "bytes sent", "time, x /predict", "errors"), rows))


if __name__ == "__main__":
    main()
