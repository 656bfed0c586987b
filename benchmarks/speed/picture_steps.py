"""Where does the time of a picture go?

    python -m benchmarks.speed.picture_steps

The unit is microseconds of processor time, which other programs change less than they change the rate. The steps run in
a thread of their own, as in the service. The last row is the service's time for a request of a single client. The row
above it is what the steps do not explain: HTTP, another hand-over, the batch, the reply, log, metrics and page faults.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar
from unittest.mock import patch

import uvloop
from numpy.typing import NDArray
from PIL import ImageFile

from app.inference.decode_threads import DecodeThreads
from benchmarks.harness import services
from benchmarks.harness.bodies import GOLDEN, MODEL, PICTURES, Body
from benchmarks.harness.command import parser, progress
from benchmarks.harness.report import header, table
from benchmarks.harness.rounds import alternate, median
from benchmarks.harness.servers import post
from digits.features import to_features
from digits.model.classifier import Classifier
from digits.normalization import normalize, prepare, redraw
from digits.pictures import decode

NORMALIZATION_STEPS: dict[str, tuple[object, str]] = {
    "locate": (normalize, "_locate"),
    "strokes": (redraw, "_set_strokes"),
    "fit": (redraw, "_fit"),
}
"""The module and its function for each row of the table."""
HAND_OVERS = 1000

P = ParamSpec("P")
T = TypeVar("T")


class Stopwatch:
    """The processor time in functions, by name, in seconds."""

    def __init__(self) -> None:
        """Start at 0."""
        self.seconds: dict[str, float] = defaultdict(float)

    def timed(self, name: str, function: Callable[P, T]) -> Callable[P, T]:
        """Return the function with its time added to the name's."""

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            began = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[name] += time.process_time() - began

        return call

    @contextmanager
    def on_inner_functions(self) -> Iterator[None]:
        """Time the decoders and the steps of normalization, until the block is left."""
        functions: dict[str, tuple[object, str]] = {
            "open": (decode, "open_picture"),
            "decode a PNG": (decode, "decode_png"),
            "decode another picture": (ImageFile.ImageFile, "load"),
            "to_grey": (prepare, "to_grey"),
        }
        functions |= NORMALIZATION_STEPS
        with ExitStack() as patches:
            for name, (owner, attribute) in functions.items():
                timed = self.timed(name, getattr(owner, attribute))
                patches.enter_context(patch.object(owner, attribute, timed))
            yield


def _prepare(data: bytes) -> NDArray[Any]:
    with decode.open_picture(data) as picture:
        return prepare.normalize_picture(picture).pixels


def time_steps(classifier: Classifier, body: Body, at_least_seconds: float) -> dict[str, float]:
    """Return the mean microseconds of each step for a picture, over the ten golden digits in turn."""
    watch, pictures = Stopwatch(), 0
    scores = watch.timed("network", classifier.scores)
    prepare = watch.timed("prepare", _prepare)
    encoded = [body.encode(pixels) for pixels in GOLDEN.pixels]
    began = time.perf_counter()
    with watch.on_inner_functions():
        while time.perf_counter() - began < at_least_seconds:
            for data in encoded:
                scores(to_features(prepare(data)[None]))
            pictures += len(encoded)
    us = {name: 1e6 * seconds / pictures for name, seconds in watch.seconds.items()}
    normalization = {step: us[step] for step in NORMALIZATION_STEPS}
    pixels = us.get("decode a PNG", 0.0) + us.get("decode another picture", 0.0)
    return {
        "decode": us["open"] + pixels,
        "grey": us["to_grey"] - pixels,
        **normalization,
        "the rest of normalization": us["prepare"] - us["open"] - us["to_grey"] - sum(normalization.values()),
        "network": us["network"],
    }


async def hand_over_us() -> float:
    """Return the mean microseconds of handing a job that does nothing to the service's thread, and its result back."""
    threads = DecodeThreads()
    began = time.process_time()
    for _ in range(HAND_OVERS):
        await threads.run(0, int)
    return 1e6 * (time.process_time() - began) / HAND_OVERS


def request_us(body: Body, at_least_seconds: float) -> float:
    """Return the mean microseconds of the service for one request. It is started for this."""
    encoded = [body.encode(pixels) for pixels in GOLDEN.pixels]
    with replace(services.own(), bodies=(body,)).started() as server, closing(server.connect()) as connection:
        requests, cpu_began, began = 0, server.cpu_seconds(), time.perf_counter()
        while time.perf_counter() - began < at_least_seconds:
            for data in encoded:
                post(connection, data, body.headers)
            requests += len(encoded)
        return 1e6 * (server.cpu_seconds() - cpu_began) / requests


def measure(classifier: Classifier, body: Body, seconds: float) -> Mapping[str, float]:
    """Measure every row of the table once."""
    progress(body.name)
    with ThreadPoolExecutor(1) as thread:
        steps = thread.submit(time_steps, classifier, body, seconds).result()
    hand_over, in_all = uvloop.run(hand_over_us()), request_us(body, seconds)
    return {
        **steps,
        "one hand-over to a thread and back": hand_over,
        "the rest of the service": in_all - sum(steps.values()) - hand_over,
        "in all": in_all,
    }


def main() -> None:
    """Print the table."""
    options = parser(__doc__, rounds=5, seconds=1.0).parse_args()
    classifier = Classifier.load(MODEL)
    results = alternate([PICTURES], options.rounds, lambda body: measure(classifier, body, options.seconds))
    print(header(("pillow", "opencv-python-headless", "numpy", "onnxruntime", "uvicorn")))
    print(f"\nMicroseconds of processor time for a picture, median of {options.rounds} rounds.\n")
    rows = [
        [step, *(median([measured[step] for measured in results[body]]) for body in PICTURES)]
        for step in results[PICTURES[0]][0]
    ]
    print(table(["step", *(body.name for body in PICTURES)], rows))


if __name__ == "__main__":
    main()
