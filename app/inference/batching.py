"""Batch the pictures of several requests into one pass through the network.

A pass reads the network's weights (1.6 MB) once, whatever the number of pictures. It takes 29 us for one picture, and
8 us per picture for sixteen. Requests that arrive in the same turn of the event loop share a pass at its end. There is
no timer, so a lone request does not wait.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from app.errors import Overloaded
from app.telemetry.metrics import Metrics
from digits.features import SIDE, Floats, Grey, to_features
from digits.model.classifier import Classifier, Scores
from digits.model.predictions import Prediction, complete, predictions
from digits.normalization.mnist_form import are_mnist_form

PASS_ROWS = 128
"""Maximum number of pictures in one pass, which then takes about a millisecond. Larger requests need several."""

MAX_WAITING_ROWS = 8192
"""Maximum number of pictures that wait for a pass, 25 MB as float32. More are refused."""


@dataclass(slots=True)
class Inference:
    """The network's results for the N pictures of a request. For numbers: for those of their digits."""

    classifier: Classifier
    """The version that computed them."""
    scores: Scores
    """Of N pictures."""
    predictions: list[Prediction]
    """A complete record for each picture. Empty if only the scores were asked for."""
    pass_rows: int
    """The number of pictures in the pass, from all requests together."""
    pixels: NDArray[Any]
    """The network's input: (N, 28, 28), uint8, or float32 in [0, 1]."""
    normalized: NDArray[np.bool_] | None = None
    """Which pictures were normalized, (N,). None if all of them came in MNIST form."""
    ink: Sequence[Grey | None] = ()
    """For each picture, where the finder saw ink (`Normalized.ink`). Empty if nothing was normalized."""
    others: Sequence[int | None] = ()
    """For each prediction, what another look at the picture shows. Empty if there was none."""

    @classmethod
    def joined(cls, parts: Sequence["Inference"]) -> Self:
        """Return the results of one or several passes of the same version as one."""
        normalized = [part.normalized for part in parts if part.normalized is not None]
        return cls(
            parts[0].classifier,
            Scores.joined([part.scores for part in parts]),
            [record for part in parts for record in part.predictions],
            max(part.pass_rows for part in parts),
            np.concatenate([part.pixels for part in parts]),
            np.concatenate(normalized) if normalized else None,
            [ink for part in parts for ink in part.ink],
            [other for part in parts for other in part.others],
        )


@dataclass(slots=True, eq=False)
class _WaitingRequest:
    pixels: NDArray[Any]
    """(N, 28, 28), uint8, or float32 in [0, 1]."""
    result: "asyncio.Future[Any]"
    """Completes with an `Inference`, or with None if `only_mnist_form` is set and a picture is not in MNIST form."""
    since: float
    """When the wait began (`time.perf_counter`)."""
    only_mnist_form: bool
    """Whether the request wants a result only if all its pictures are in MNIST form."""
    only_scores: bool
    """Whether the pictures are candidates, among which the request chooses. They do not count as predictions."""


class Batcher:
    """Collects the pictures of all requests and classifies them together. It serves one event loop at a time."""

    def __init__(self, classifier: Callable[[], Classifier], metrics: Metrics) -> None:
        """Ask `classifier` for the version before each pass."""
        self.classifier = classifier
        self._metrics = metrics
        self._waiting: deque[_WaitingRequest] = deque()
        self._waiting_rows = 0
        self._flush_is_due = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def classify(self, pixels: NDArray[Any], *, only_scores: bool = False) -> Awaitable[Inference]:
        """Classify pictures, (N, 28, 28), N at least 1, uint8, or float32 in [0, 1].

        Other requests in the same pass change the result by less than 1e-6. Cancelling the awaitable removes the
        pictures from the queue. With `only_scores`, they are candidates, which do not count as predictions. Raises
        Overloaded if too many pictures wait already. The awaitable raises NoUsableModel.
        """
        if len(pixels) > PASS_ROWS:
            return self._classify_in_parts(pixels, only_scores=only_scores)
        return self._enqueue(pixels, only_scores=only_scores)

    def classify_if_in_form(self, pixels: NDArray[Any]) -> Awaitable[Inference | None]:
        """Classify at most `PASS_ROWS` pictures as `classify` does if all of them are in MNIST form, else return None.

        The check covers all requests of a pass at once, because for one picture it takes half as long as the network.
        """
        assert len(pixels) <= PASS_ROWS, len(pixels)
        return self._enqueue(pixels, only_mnist_form=True)

    async def _classify_in_parts(self, pixels: NDArray[Any], *, only_scores: bool) -> Inference:
        while True:
            parts = [
                await self.classify(pixels[start : start + PASS_ROWS], only_scores=only_scores)
                for start in range(0, len(pixels), PASS_ROWS)
            ]
            # All predictions of a reply must come from one version. If the version has changed meanwhile, start again.
            if len({part.classifier for part in parts}) == 1:
                return Inference.joined(parts)

    def _enqueue(
        self, pixels: NDArray[Any], *, only_mnist_form: bool = False, only_scores: bool = False
    ) -> "asyncio.Future[Any]":
        assert pixels.shape[1:] == (SIDE, SIDE), pixels.shape
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # the previous loop has ended, and its requests with it
            self._loop, self._waiting_rows, self._flush_is_due = loop, 0, False
            self._waiting.clear()
        if self._waiting_rows + len(pixels) > MAX_WAITING_ROWS:
            raise Overloaded(f"{self._waiting_rows} pictures wait already; try again later")
        result: asyncio.Future[Any] = loop.create_future()
        self._waiting.append(_WaitingRequest(pixels, result, time.perf_counter(), only_mnist_form, only_scores))
        self._waiting_rows += len(pixels)
        if not self._flush_is_due:
            self._flush_is_due = True
            # Run the pass two turns later, not one. The loop then polls the sockets once more, without waiting, and
            # requests that arrived during this turn join the pass. With 16 clients this doubles the size of a pass and
            # raises the throughput by a fifth. A lone request takes no longer (`python -m benchmarks.speed.requests`).
            loop.call_soon(loop.call_soon, self._flush)
        return result

    def _flush(self) -> None:
        """Run one pass, and schedule another one if more requests wait."""
        requests = self._take_requests()
        self._flush_is_due = bool(self._waiting)
        if self._flush_is_due:
            assert self._loop is not None
            self._loop.call_soon(self._flush)
        if not requests:
            return
        began = time.perf_counter()
        try:
            pixels = [request.pixels for request in requests]
            if len({each.dtype for each in pixels}) > 1:  # some came as floats; one division for all takes a third
                pixels = [to_features(each).reshape(each.shape) for each in pixels]
            features = to_features(np.concatenate(pixels))
            if any(request.only_mnist_form for request in requests):
                requests, features = _return_unready(requests, features)
                if not requests:
                    return
            classifier = self.classifier()
            scores = classifier.scores(features)
            records: list[Prediction] = []
            if not all(request.only_scores for request in requests):
                records = predictions(classifier, scores)
                complete(records, classifier, repeat(()), repeat(()))
        except Exception as exc:  # noqa: BLE001 - whatever the error is, every request of the pass raises it
            for request in requests:
                request.result.set_exception(exc)
            return
        seconds = time.perf_counter() - began
        start = 0
        for request in requests:
            rows = slice(start, start := start + len(request.pixels))
            own = scores.select(rows), records[rows], len(features), request.pixels
            request.result.set_result(Inference(classifier, *own))
        waits = [began - request.since for request in requests]
        self._metrics.count_pass(classifier.manifest.version, len(features), waits, seconds)
        if records:
            if any(request.only_scores for request in requests):
                sizes = [len(request.pixels) for request in requests]
                counted = np.flatnonzero(np.repeat([not request.only_scores for request in requests], sizes))
                features, scores = features[counted], scores.select(counted)
            self._metrics.count_predictions(features, scores)

    def _take_requests(self) -> list[_WaitingRequest]:
        """Take the oldest requests that fit into one pass. Cancelled requests are dropped."""
        requests: list[_WaitingRequest] = []
        rows = 0
        while self._waiting and rows + len(self._waiting[0].pixels) <= PASS_ROWS:
            request = self._waiting.popleft()
            self._waiting_rows -= len(request.pixels)
            if not request.result.done():
                rows += len(request.pixels)
                requests.append(request)
        return requests


def _return_unready(requests: list[_WaitingRequest], features: Floats) -> tuple[list[_WaitingRequest], Floats]:
    """Complete a request with None if it must be in MNIST form and is not. Return the others and their features."""
    in_form = are_mnist_form(features)
    if in_form.all():
        return requests, features
    ready = []
    ready_rows = np.ones(len(features), dtype=bool)
    start = 0
    for request in requests:
        rows = slice(start, start := start + len(request.pixels))
        if request.only_mnist_form and not in_form[rows].all():
            request.result.set_result(None)
            ready_rows[rows] = False
        else:
            ready.append(request)
    return ready, features[ready_rows]
