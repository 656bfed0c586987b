"""Is any dialect slower than `/predict` for the same bytes?

    python -m benchmarks.speed.dialects --rounds 5 --seconds 2

The golden digits are asked about in every way, of one service as `make serve` starts it, by `wrk` with 32 connections.
Ways that send the same values, or files, are a group: in each round its members follow one another, in an order of the
round's own, and the time that a request takes is divided by that of the group's `/predict` in the same round.
"""

import argparse
import json
import random
import signal
import statistics
import struct
import sys
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.harness import services
from benchmarks.harness.bodies import GOLDEN, JSON, PNG, RAW, Body, png
from benchmarks.harness.report import header, table
from benchmarks.harness.rounds import spread
from benchmarks.harness.servers import Server
from benchmarks.harness.wrk import WARM_SECONDS, Run, put_under_load, version
from digits.classifier import GOLDEN_TOLERANCE
from digits.features import CLASSES, FEATURES, Grey, to_features

CONNECTIONS = 32
INFER, ROWS = "/v2/models/mnist-dense/infer", "/v1/models/mnist-dense:predict"
HEADER_BYTES = 160
"""Of the JSON before a binary tensor: filled up with spaces, as its length is a header and the same for all digits."""

HEADS = ("way", "requests/s", "bytes sent", "time, x /predict", "errors")


@dataclass(frozen=True, eq=False)
class Way:
    """One way to ask, and where its replies have the probabilities."""

    body: Body
    probabilities: Callable[[bytes], ArrayLike]

    def check(self, server: Server) -> None:
        """Ask about each golden digit.

        Raises:
            SystemExit: an answer is wrong.
        """
        for pixels, expected in zip(GOLDEN.pixels, GOLDEN.probabilities, strict=True):
            answered = server.post(self.body.encode(pixels), self.body.headers, self.body.path)
            status, reply = answered.status, answered.body
            if status != 200:
                raise SystemExit(f"{self.body.name}: expected 200, received {status}: {reply[:300]!r}")
            difference = np.abs(np.ravel(self.probabilities(reply)) - expected).max()
            if not difference <= GOLDEN_TOLERANCE:
                raise SystemExit(f"{self.body.name}: expected the digit {expected.argmax()}, received {reply[:300]!r}")


def _compact(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _floats(pixels: Grey) -> list[float]:
    """From 0 to 1, as they are after a division in Python."""
    floats: list[float] = (pixels / 255).ravel().tolist()
    return floats


def _float_bytes(pixels: Grey) -> bytes:
    return to_features(pixels[None]).astype("<f4").tobytes()


def _element(pixels: Grey) -> bytes:
    picture = png(pixels)
    return struct.pack("<I", len(picture)) + picture


def _base64(pixels: Grey) -> str:
    return b64encode(png(pixels)).decode()


def _predict(name: str, body: Body) -> Way:
    return Way(Body(f"/predict, {name}", body.headers, body.encode), lambda reply: json.loads(reply)["probabilities"])


def _rows(name: str, row: Callable[[Grey], Any]) -> Way:
    body = Body(f"V1, {name}", {}, lambda pixels: _compact({"instances": [row(pixels)]}), ROWS)
    return Way(body, lambda reply: json.loads(reply)["predictions"])


def _json(datatype: str, shape: Sequence[int], data: Callable[[Grey], Any]) -> Way:
    tensor = {"name": "features", "shape": shape, "datatype": datatype}
    body = Body(
        f"V2, {datatype} as JSON", {}, lambda pixels: _compact({"inputs": [{**tensor, "data": data(pixels)}]}), INFER
    )
    return Way(body, _tensor)


def _binary(datatype: str, shape: Sequence[int], data: Callable[[Grey], bytes]) -> Way:
    """As Triton's client sends it unless it is told otherwise, which has the outputs come back in binary too."""

    def encode(pixels: Grey) -> bytes:
        content = data(pixels)
        size = {"binary_data_size": len(content)}
        tensor = {"name": "features", "shape": shape, "datatype": datatype, "parameters": size}
        head = _compact({"inputs": [tensor], "parameters": {"binary_data_output": True}})
        return head.ljust(HEADER_BYTES) + content

    headers = {"Inference-Header-Content-Length": str(HEADER_BYTES)}
    return Way(Body(f"V2, {datatype} in binary", headers, encode, INFER), _tensor)


def _tensor(reply: bytes) -> ArrayLike:
    """The first output, in the JSON or in the bytes after it."""
    document, end = json.JSONDecoder().raw_decode(reply.decode("latin-1"))
    output = document["outputs"][0]
    return output["data"] if "data" in output else np.frombuffer(reply, "<f4", CLASSES, end)


_RAW_FORM = Body("V2, FP32 in the raw form", {"Inference-Header-Content-Length": "0"}, _float_bytes, INFER)
_UNIT = Body("", JSON.headers, lambda pixels: _compact({"pixels": _floats(pixels), "scale": "0-1"}))
_PIXELS = [1, FEATURES]

GROUPS: Sequence[Sequence[Way]] = (
    (
        _predict("raw bytes", RAW),
        _binary("UINT8", _PIXELS, lambda pixels: pixels.tobytes()),
        _binary("FP32", _PIXELS, _float_bytes),
        Way(_RAW_FORM, _tensor),
    ),
    (
        _predict("JSON", JSON),
        _json("UINT8", _PIXELS, lambda pixels: pixels.ravel().tolist()),
    ),
    (
        _predict("JSON of floats", _UNIT),
        _json("FP32", _PIXELS, _floats),
        _rows("floats", _floats),
    ),
    (
        _predict("PNG", PNG),
        _binary("BYTES", [1], _element),
        _json("BYTES", [1], lambda pixels: [_base64(pixels)]),
        _rows("PNG in base64", lambda pixels: {"b64": _base64(pixels)}),
    ),
)
"""The first of each is what the others are compared with."""


def rows(group: Sequence[Way], runs: dict[Way, list[Run]]) -> list[list[str]]:
    """A group's lines in the table."""
    lines = []
    for way in group:
        ratios = [base.rate / run.rate for base, run in zip(runs[group[0]], runs[way], strict=True)]
        sent = statistics.mean(len(way.body.encode(pixels)) for pixels in GOLDEN.pixels)
        errors = sum(sum(run.errors.values()) for run in runs[way])
        rates = spread([run.rate for run in runs[way]])
        lines.append([way.body.name, rates, f"{sent:,.0f}", "" if way is group[0] else spread(ratios, 2), str(errors)])
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.dialects", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--seconds", type=int, default=2, help="of load in each measurement (default: %(default)s)")
    options = parser.parse_args()
    wrk = version()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the service is ended
    runs: dict[Way, list[Run]] = {way: [] for group in GROUPS for way in group}
    with services.own().started() as server:
        for way in runs:
            way.check(server)
        put_under_load(server, RAW, CONNECTIONS, WARM_SECONDS)
        for number in range(options.rounds):
            rng = random.Random(number)
            print(f"round {number + 1}/{options.rounds}", file=sys.stderr, flush=True)
            for group in rng.sample(GROUPS, len(GROUPS)):
                for way in rng.sample(group, len(group)):
                    runs[way].append(put_under_load(server, way.body, CONNECTIONS, options.seconds))
    print(header(("uvicorn", "onnxruntime", "orjson", "pillow"), {"wrk": wrk}))
    print(f"\n{CONNECTIONS} connections; median of {options.rounds} rounds of {options.seconds} s (least-greatest).\n")
    print(table(HEADS, [row for group in GROUPS for row in rows(group, runs)]))


if __name__ == "__main__":
    main()
