"""One forward pass for all requests that wait for one.

The weights are 1.6 MB. A pass reads them once whatever the number of pictures: 29 us for one, 8 us each for sixteen
(`python -m benchmarks.forward`). What requests hand in during a turn of the event loop is put through together when it
ends. There is no timer, so a request that is alone waits for nothing.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.errors import Overloaded
from app.telemetry.metrics import Metrics
from digits.classifier import Classifier
from digits.features import FEATURES, SIDE, Floats, to_features
from digits.mnist_form import are_mnist_form
from digits.prediction_sets import DEFAULT_COVERAGE, prediction_sets

PASS_ROWS = 128
"""Most pictures in one pass, about a millisecond: a larger request takes turns with the others."""

WAITING_ROWS = 8192
"""Most pictures that may wait, 25 MB; more is refused."""


_MEAN = np.full(FEATURES, 1 / FEATURES, dtype=np.float32)
"""Times features it is their mean, in a fifth of the time that NumPy's takes."""

_USUAL = (DEFAULT_COVERAGE, False)
"""Whose thresholds are asked for as a rule."""


class BatchResult(NamedTuple):
    """What a pass says of one request's pictures."""

    classifier: Classifier
    """The version that answered."""
    probabilities: Floats
    """(N, 10)"""
    digits: list[int]
    """The most probable one of each."""
    sets: list[list[int]] | None
    """Those that each may be, at `DEFAULT_COVERAGE`; None of a version that was not calibrated for it."""
    novelty: Floats | None
    """(N,), as of `Classifier.scores`."""
    ink: Floats
    """(N,): the mean of each one's features."""
    in_form: list[bool]
    """Whether each is in MNIST form; as good as true where nobody asked."""
    batch: int
    """Pictures in the pass, of all requests."""


_Waiting = tuple[NDArray[Any], "asyncio.Future[BatchResult]", float, bool]
"""Pictures, where their answer goes, since when they wait (`time.perf_counter`), whether their form is asked for."""


class Batcher:
    """Gathers what requests hand in, in one event loop at a time."""

    def __init__(self, classifier: Callable[[], Classifier], metrics: Metrics) -> None:
        """Ask `classifier` at the time of a pass which one makes it; `metrics` counts it."""
        self._classifier = classifier
        self._metrics = metrics
        self._waiting: deque[_Waiting] = deque()
        self._rows = 0
        self._flush_is_due = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def classify(self, pixels: NDArray[Any], *, form: bool = True) -> Awaitable[BatchResult]:
        """The answer for some pictures; the same to 1e-6 whatever else is in their pass.

        Cancelling the wait takes the pictures out of the queue.

        Args:
            pixels: (N, 28, 28), N at least 1; uint8, or float32 in [0, 1].
            form: whether it is asked which of them are in MNIST form.

        Raises:
            Overloaded: too many pictures wait already.
            NoUsableModel: there is no model; raised where it is awaited.
        """
        assert pixels.shape[1:] == (SIDE, SIDE), pixels.shape
        return self._in_one_pass(pixels, form) if len(pixels) <= PASS_ROWS else self._in_turns(pixels, form)

    async def _in_turns(self, pixels: NDArray[Any], form: bool) -> BatchResult:
        parts = [
            await self._in_one_pass(pixels[start : start + PASS_ROWS], form)
            for start in range(0, len(pixels), PASS_ROWS)
        ]
        if len({part.classifier for part in parts}) > 1:  # the version was changed meanwhile: one reply, one version
            return await self._in_turns(pixels, form)
        return BatchResult(
            parts[0].classifier,
            np.concatenate([part.probabilities for part in parts]),
            [digit for part in parts for digit in part.digits],
            None if parts[0].sets is None else [each for part in parts for each in part.sets or ()],
            _joined([part.novelty for part in parts]),
            np.concatenate([part.ink for part in parts]),
            [in_form for part in parts for in_form in part.in_form],
            max(part.batch for part in parts),
        )

    def _in_one_pass(self, pixels: NDArray[Any], form: bool) -> "asyncio.Future[BatchResult]":
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # the former one has ended, and with it what waited there
            self._loop, self._rows, self._flush_is_due = loop, 0, False
            self._waiting.clear()
        if self._rows + len(pixels) > WAITING_ROWS:
            raise Overloaded(f"{self._rows} pictures wait already; try again later")
        answer: asyncio.Future[BatchResult] = loop.create_future()
        self._waiting.append((pixels, answer, time.perf_counter(), form))
        self._rows += len(pixels)
        if not self._flush_is_due:
            self._flush_is_due = True
            # Not in the next turn but in the one after it: so the sockets are looked at once more, without waiting, and
            # what has come while this turn's requests were decoded joins them. At 16 clients a pass is twice as large
            # and a fifth more requests are answered; a lone one takes no longer (`python -m benchmarks.load`).
            loop.call_soon(loop.call_soon, self._flush)
        return answer

    def _flush(self) -> None:
        together = self._next_pass()
        self._flush_is_due = bool(self._waiting)
        if self._flush_is_due:
            assert self._loop is not None
            self._loop.call_soon(self._flush)
        if not together:
            return
        began = time.perf_counter()
        try:
            whole = self._pass([pixels for pixels, _, _, _ in together], form=any(form for _, _, _, form in together))
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is the answer of those who wait for one
            for _, answer, _, _ in together:
                answer.set_exception(exc)
            return
        took = time.perf_counter() - began
        classifier, probabilities, digits, sets, novelty, ink, in_form, batch = whole
        start = 0
        for pixels, answer, _, _ in together:
            part = slice(start, start := start + len(pixels))
            answer.set_result(
                BatchResult(
                    classifier,
                    probabilities[part],
                    digits[part],
                    None if sets is None else sets[part],
                    None if novelty is None else novelty[part],
                    ink[part],
                    in_form[part],
                    batch,
                )
            )
        waits = [began - since for _, _, since, _ in together]
        self._metrics.passed(classifier.manifest.version, batch, waits, took)

    def _pass(self, pixels: list[NDArray[Any]], *, form: bool) -> BatchResult:
        classifier = self._classifier()
        features = _features(pixels)
        probabilities, novelty = classifier.scores(features)
        thresholds = classifier.thresholds.get(_USUAL)
        # Lists, made once for all: NumPy takes a microsecond for each look at an array.
        return BatchResult(
            classifier,
            probabilities,
            probabilities.argmax(axis=1).tolist(),
            None if thresholds is None else prediction_sets(probabilities, thresholds),
            novelty,
            features @ _MEAN,
            are_mnist_form(features).tolist() if form else [True] * len(features),
            len(features),
        )

    def _next_pass(self) -> list[_Waiting]:
        """Those who came first and fit; who has gone is passed over."""
        together: list[_Waiting] = []
        rows = 0
        while self._waiting and rows + len(self._waiting[0][0]) <= PASS_ROWS:
            pixels, answer, _, _ = waiting = self._waiting.popleft()
            self._rows -= len(pixels)
            if not answer.done():
                rows += len(pixels)
                together.append(waiting)
        return together


def _joined(parts: list[Floats | None]) -> Floats | None:
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if there else None


def _features(pixels: list[NDArray[Any]]) -> Floats:
    """All pictures of a pass as features, (N, 784)."""
    if len(pixels) == 1:
        return to_features(pixels[0])
    if all(some.dtype == np.uint8 for some in pixels):  # as a rule: divided by 255 once for all
        return to_features(np.concatenate(pixels))
    return np.concatenate([to_features(some) for some in pixels])
