"""How many images a second go through the API in large requests, beside the bare forward pass?

    python -m benchmarks.speed.batch --rounds 5 --seconds 1

One request after another on one connection, to the service as `make serve` starts it, with the pictures as raw bytes
and as JSON; beside them the same classifier in this process, on features that lie ready. A round measures everything
once, in an order of its own; ratios are taken within a round. The client takes part of a core for its sending.
"""

import argparse
import json
import random
import signal
import statistics
import sys
from collections.abc import Callable
from http.client import HTTPConnection

import numpy as np

from benchmarks.harness import services
from benchmarks.harness.bodies import GOLDEN, MODEL
from benchmarks.harness.report import header, table
from benchmarks.harness.rounds import seconds_per_call, spread
from benchmarks.harness.servers import post
from digits.classifier import Classifier
from digits.features import FEATURES, Grey, to_features

SIZES = (16, 128, 1024)
BARE, RAW, JSON = "bare forward pass", "raw bytes", "JSON"


def requesting(connection: HTTPConnection, content_type: str, body: bytes, size: int) -> Callable[[], object]:
    """What sends one request and reads its reply, proven to answer right.

    Raises:
        SystemExit: the service refused the body, or answered wrongly.
    """
    headers = {"Content-Type": content_type}
    answer = post(connection, body, headers)
    status, reply = answer.status, answer.body
    if status != 200:
        raise SystemExit(f"batch: {size} pictures as {content_type}: expected 200, received {status}: {reply[:300]!r}")
    answered = [prediction["digit"] for prediction in json.loads(reply)["predictions"]]
    if answered != np.resize(GOLDEN.probabilities.argmax(axis=1), size).tolist():
        raise SystemExit(f"batch: {size} pictures as {content_type}: wrong digits")
    return lambda: post(connection, body, headers)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.batch", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=1, help="of each measurement (default: %(default)s)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the service is ended
    classifier = Classifier.load(MODEL)
    with services.own().started() as server:
        connection = server.connect()
        calls: dict[tuple[int, str], Callable[[], object]] = {}
        for size in SIZES:
            pixels: Grey = np.resize(GOLDEN.pixels, (size, 28, 28))
            features = to_features(pixels)
            instances = pixels.reshape(size, FEATURES).tolist()
            document = json.dumps({"instances": instances}, separators=(",", ":")).encode()
            calls[size, BARE] = lambda x=features: classifier.probabilities(x)  # type: ignore[misc]
            calls[size, RAW] = requesting(connection, "application/octet-stream", pixels.tobytes(), size)
            calls[size, JSON] = requesting(connection, "application/json", document, size)
        rates: dict[tuple[int, str], list[float]] = {key: [] for key in calls}
        for number in range(options.rounds):
            print(f"round {number + 1}/{options.rounds}", file=sys.stderr, flush=True)
            for key in random.Random(number).sample(list(calls), len(calls)):
                rates[key].append(key[0] / seconds_per_call(calls[key], options.seconds))
        connection.close()

    print(header(("uvicorn", "fastapi", "onnxruntime", "orjson", "numpy")))
    print(f"\nMedian of {options.rounds} rounds of {options.seconds:g} s (least-greatest).\n")
    rows = []
    for (size, way), values in rates.items():
        ratios = [value / bare for value, bare in zip(values, rates[size, BARE], strict=True)]
        milliseconds = 1000 * size / statistics.median(values)
        rows.append([way, str(size), spread(values), f"{milliseconds:.2f}", f"{statistics.median(ratios):.3g}"])
    print(table(["way", "pictures", "images/s", "ms a request", "x bare pass"], rows))


if __name__ == "__main__":
    main()
