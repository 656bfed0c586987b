"""Decode, normalize and classify the pictures of a request. All dialects share this code."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect

from app.inference.batching import PASS_ROWS, Batcher, BatchResult
from app.inference.decode_threads import DecodeThreads
from app.inference.decoding import (
    JOB_PICTURES,
    decode_and_normalize,
    decode_and_segment,
    decode_tiny,
    normalize_pixels,
    open_and_normalize_small,
    open_pictures,
)
from app.inference.model_registry import ModelRegistry
from app.inference.picture_batch import PictureBatch
from app.settings import Settings
from app.telemetry.metrics import Metrics
from digits.errors import TooManyDigits
from digits.features import FEATURES, SIDE, to_features
from digits.mnist_form import Mode, Preparation, are_mnist_form, are_normalized
from digits.numbers import PreparedNumber
from digits.reading import Reading

T = TypeVar("T")

Disconnected = Callable[[], Awaitable[None]]
"""Returns an awaitable that completes when the client has disconnected."""


@dataclass(slots=True)
class InferenceResult:
    """The predictions for one request, and the pictures that they are for."""

    batch: BatchResult
    pixels: NDArray[Any]
    """The network's input: (N, 28, 28), uint8, or float32 in [0, 1]."""
    steps: Iterable[tuple[str, ...]]
    """The normalization steps of each picture. The iterable may be infinite."""
    normalized: NDArray[np.bool_] | None = None
    """Which pictures were normalized, (N,). None if all of them came in MNIST form."""
    left_out: Sequence[int] = ()
    """For each picture, the number of marks that look like further digits. Empty if no picture was normalized."""


@dataclass(slots=True)
class ReadingResult:
    """The readings of the pictures of one request."""

    readings: list[Reading]
    """The reading of each picture, with boxes in its pixels."""
    digits: InferenceResult
    """The predictions for the digits of all readings, in their order."""


class Predictor:
    """Decodes, normalizes and classifies pictures."""

    def __init__(self, settings: Settings, registry: ModelRegistry, metrics: Metrics) -> None:
        """Use the models of `registry` within the limits of `settings`."""
        self._max_image_pixels = settings.max_image_pixels
        self._max_digits = settings.max_batch
        self._metrics = metrics
        self._registry = registry
        self._served = Batcher(lambda: registry.classifier, metrics)
        # Most candidates are no digits, so they would spoil the metrics of predictions.
        self._candidates = Batcher(lambda: registry.classifier, metrics, count_predictions=False)
        self._batchers: dict[int, Batcher] = {}
        self.decode_threads = DecodeThreads()

    async def predict(
        self, batch: PictureBatch, mode: Mode, disconnected: Disconnected, version: int | None = None
    ) -> InferenceResult:
        """Classify all pictures of a request.

        Args:
            batch: at least one picture.
            mode: which pictures to normalize.
            disconnected: called when the work may take long. The work is cancelled when its awaitable completes.
            version: number of a loaded version. None means the served one.

        Raises:
            NoUsableModel: no version is served.
            UnknownModel: the version is not loaded.
            Overloaded: too many pictures wait already.
            InvalidImage, UnsupportedImage, ImageTooLarge, NoInk, WrongSize: with the index of the picture.
            ClientDisconnect: the client has disconnected.
        """
        batcher = self._served if version is None else self._batcher(version)
        while True:
            preparation = batcher.preparation(mode)
            result = await self._predict(batch, preparation, disconnected, batcher)
            # If a version with another preprocessing is served meanwhile, prepare the pictures for that version.
            if result.batch.classifier.preparation(mode) == preparation:
                return result

    async def _predict(
        self, batch: PictureBatch, preparation: Preparation, disconnected: Disconnected, batcher: Batcher
    ) -> InferenceResult:
        pixels = batch.pixels
        if pixels is None:
            pixels = decode_tiny(batch, self._max_image_pixels)
        if pixels is not None and preparation != "always" and len(pixels) <= PASS_ROWS:
            # The next pass answers the usual request, so that watching for a disconnect would cost more than it saves.
            # Pixels are 28x28, so that there is nothing to resize.
            must_be_in_form = preparation == "auto"
            result = await (batcher.classify_if_in_form(pixels) if must_be_in_form else batcher.classify(pixels))
            if result is not None:
                return InferenceResult(result, pixels, repeat(()))
        return await _until_disconnect(self._prepare_and_classify(batch, pixels, preparation, batcher), disconnected)

    async def read(self, batch: PictureBatch, disconnected: Disconnected) -> ReadingResult:
        """Read the digits on all pictures of a request.

        Args:
            batch: at least one encoded picture.
            disconnected: as for `predict`.

        Raises:
            NoUsableModel, Overloaded, InvalidImage, UnsupportedImage, ImageTooLarge, NoInk, ClientDisconnect: as
                `predict` does.
            OtherClasses: the model's classes are not the digits.
            TooManyDigits: a picture has more than `digits.reading.MAX_DIGITS` digits, or the request more than
                MNIST_MAX_BATCH.
        """
        return await _until_disconnect(self._segment_and_read(batch), disconnected)

    async def _segment_and_read(self, batch: PictureBatch) -> ReadingResult:
        encoded_bytes = sum(map(len, batch.encoded))
        images = await self.decode_threads.run(encoded_bytes, open_pictures, batch, self._max_image_pixels)
        prepared = [
            await self.decode_threads.run(image.width * image.height, decode_and_segment, batch, index, image)
            for index, image in enumerate(images)
        ]
        pixels = np.concatenate([each.pixels for each in prepared])
        judged = await self._candidates.classify(pixels)
        judged.classifier.require_digits()
        readings = await self.decode_threads.run(len(pixels), _read_all, batch, prepared, judged)
        starts = np.cumsum([0, *(len(each.pixels) for each in prepared)]).tolist()
        chosen = [
            start + found.candidate
            for start, reading in zip(starts, readings, strict=False)
            for found in reading.digits
        ]
        if len(chosen) > self._max_digits:
            raise TooManyDigits(f"expected pictures of at most {self._max_digits} digits together, found {len(chosen)}")
        steps = [each.steps for each, reading in zip(prepared, readings, strict=True) for _ in reading.digits]
        digits = judged.select(chosen)
        result = InferenceResult(digits, pixels[chosen], steps, are_normalized(steps))
        ink = to_features(result.pixels).mean(axis=1)
        self._metrics.count_predictions(digits.digits, digits.probabilities, ink, digits.novelty)
        return ReadingResult(readings, result)

    def _batcher(self, version: int) -> Batcher:
        """Return the batcher of one version. Different versions cannot share a pass."""
        self._registry.version(version)
        if version not in self._batchers:
            self._batchers[version] = Batcher(partial(self._registry.version, version), self._metrics)
        return self._batchers[version]

    async def _prepare_and_classify(
        self, batch: PictureBatch, pixels: NDArray[Any] | None, preparation: Preparation, batcher: Batcher
    ) -> InferenceResult:
        """Prepare the pictures of a request and classify them in one batch.

        `pixels` are the pictures if they were sent as pixels. None means that `batch` has encoded pictures.
        """
        if pixels is None:
            prepared = await self._decode(batch, preparation)
        else:
            prepared = await self._normalize(batch, pixels, preparation)
        result = await batcher.classify(prepared.pixels)
        normalized = are_normalized(prepared.steps)
        return InferenceResult(result, prepared.pixels, prepared.steps, normalized, prepared.left_out)

    async def _decode(self, batch: PictureBatch, preparation: Preparation) -> "_Prepared":
        """Decode and prepare the encoded pictures."""
        encoded_bytes = sum(map(len, batch.encoded))
        opened = await self.decode_threads.run(
            encoded_bytes, open_and_normalize_small, batch, preparation, self._max_image_pixels
        )
        normalized = opened.normalized or [
            await self.decode_threads.run(
                image.width * image.height, decode_and_normalize, batch, index, image, preparation
            )
            for index, image in enumerate(opened.images)
        ]
        return _Prepared(
            np.array([each.pixels for each in normalized]),
            [each.steps for each in normalized],
            [each.left_out for each in normalized],
        )

    async def _normalize(self, batch: PictureBatch, pixels: NDArray[Any], preparation: Preparation) -> "_Prepared":
        """Normalize the pictures that `preparation` selects: those not in MNIST form, all of them, or none."""
        is_auto = preparation == "auto"
        in_form = await _are_in_form(pixels) if is_auto else np.full(len(pixels), preparation != "always")
        steps: list[tuple[str, ...]] = [()] * len(pixels)
        if in_form.all():
            return _Prepared(pixels, steps)
        prepared = np.array(to_features(pixels)).reshape(pixels.shape)
        others = np.flatnonzero(~in_form).tolist()
        for start in range(0, len(others), JOB_PICTURES):
            part = others[start : start + JOB_PICTURES]
            normalized = await self.decode_threads.run(
                len(part) * FEATURES, normalize_pixels, batch, pixels, part, preparation
            )
            for index, each in zip(part, normalized, strict=True):
                prepared[index] = to_features(each.pixels[None]).reshape(SIDE, SIDE)
                steps[index] = each.steps
        return _Prepared(prepared, steps)


@dataclass(slots=True)
class _Prepared:
    """The network's input for one request."""

    pixels: NDArray[Any]
    """(N, 28, 28), uint8, or float32 in [0, 1]."""
    steps: list[tuple[str, ...]]
    """The normalization steps of each picture."""
    left_out: Sequence[int] = ()
    """As in `InferenceResult`."""


def _read_all(batch: PictureBatch, prepared: list[PreparedNumber], judged: BatchResult) -> list[Reading]:
    """Return the reading of each picture.

    Args:
        batch: the pictures, to name one in an error.
        prepared: the candidates of each picture.
        judged: the predictions for the candidates of all pictures.

    Raises:
        NoInk, TooManyDigits: with the picture's index.
    """
    novelty = None if judged.novelty is None else np.array(judged.novelty)
    readings, start = [], 0
    for index, each in enumerate(prepared):
        part = slice(start, start := start + len(each.pixels))
        with batch.errors_of(index):
            readings.append(each.read(judged.probabilities[part], None if novelty is None else novelty[part]))
    return readings


async def _are_in_form(pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which pictures are in MNIST form, bool (N,). Let other requests run after every `PASS_ROWS` pictures."""
    parts = []
    for start in range(0, len(pixels), PASS_ROWS):
        parts.append(are_mnist_form(to_features(pixels[start : start + PASS_ROWS])))
        await asyncio.sleep(0)
    return np.concatenate(parts)


async def _until_disconnect(work: Awaitable[T], disconnected: Disconnected) -> T:
    """Return the result of the work, or cancel it when the client disconnects first.

    Raises:
        ClientDisconnect: the client has disconnected.
    """
    task = asyncio.current_task()
    assert task is not None
    has_left = False

    async def cancel_when_the_client_leaves() -> None:
        nonlocal has_left
        await disconnected()
        has_left = True
        task.cancel()

    watching = asyncio.ensure_future(cancel_when_the_client_leaves())
    try:
        return await work
    except asyncio.CancelledError:
        if not has_left or task.uncancel():  # something else has cancelled the request
            raise
        raise ClientDisconnect from None
    finally:
        watching.cancel()
