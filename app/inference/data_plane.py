"""The data plane: it answers every request with pictures, whatever its protocol.

A dialect parses its request into a `PictureBatch`, gives it to `infer` or `read`, and renders the result.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.inference import decoding
from app.inference.batching import PASS_ROWS, Batcher, Inference
from app.inference.decode_threads import DecodeThreads
from app.inference.memory_budget import MemoryBudget, Reservation
from app.inference.model_registry import ModelRegistry
from app.inference.picture_batch import PictureBatch
from app.settings import Settings
from app.telemetry.metrics import Metrics
from digits.errors import TooManyDigits
from digits.features import SIDE, to_features
from digits.finder.read import Number, PreparedNumber, ReadNumber, prepare
from digits.model.classifier import Classifier
from digits.model.predictions import Judged, pixels_of, to_json
from digits.normalization.mnist_form import Preparation, are_mnist_form, are_normalized
from digits.normalization.normalize import Normalized
from digits.picture import Picture

T = TypeVar("T")


@dataclass(slots=True)
class Numbers:
    """The numbers on the pictures of one request."""

    numbers: list[Number]
    """The record of each picture."""
    digits: Inference
    """The predictions for the digits of all numbers, in their order. The numbers' records contain these records."""


class DataPlane:
    """Owns the models, the memory budget, the threads, the batches and the metrics of a process."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Create a data plane without models. `registry.refresh` loads them."""
        self.metrics = metrics
        self.registry = ModelRegistry(settings, metrics)
        self.memory_budget = MemoryBudget(settings.max_body_bytes)
        self.decode_threads = DecodeThreads(self.memory_budget)
        self._max_image_pixels = settings.max_image_pixels
        self._max_digits = settings.max_batch
        self._served = Batcher(lambda: self.registry.classifier, metrics)
        self._batchers: dict[int, Batcher] = {}

    async def infer(self, batch: PictureBatch) -> Inference:
        """Classify all pictures of a request, but those with an error that the reply reports.

        Raises NoUsableModel, UnknownModel if the version that the request names is not loaded, and Overloaded if too
        many pictures wait already. A picture raises InvalidImage, UnsupportedImage, ImageTooLarge, NoInk or WrongSize.
        """
        batcher = self._served if batch.version is None else self._batcher(batch.version)
        found_by_parsing = batch.errors
        while True:
            batch.errors = {**found_by_parsing}
            preparation = batcher.classifier().preparation(batch.mode)
            inference = await self._infer(batch, preparation, batcher)
            # If a version with another preprocessing is served meanwhile, prepare the pictures for that version.
            if inference.classifier.preparation(batch.mode) == preparation:
                return inference

    async def saliency(self, inference: Inference, memory: Reservation) -> list[bytes]:
        """Return the saliency of each picture as JSON text, 28 rows of 28 numbers, and reserve the memory for it.

        Raises BatchTooLarge, NoRoom and Overloaded.
        """
        pixels, classifier = inference.pixels, inference.classifier
        texts: list[bytes] = []
        for start in range(0, len(pixels), PASS_ROWS):
            part = pixels[start : start + PASS_ROWS]
            part_texts = await self.decode_threads.run(part.size, _saliency_texts, classifier, part)
            # A thousand pictures of noise are 9 MB of text, ten times what was sent.
            memory.reserve(sum(map(len, part_texts)))
            texts += part_texts
        return texts

    async def _infer(self, batch: PictureBatch, preparation: Preparation, batcher: Batcher) -> Inference:
        pixels = decoding.decode_tiny(batch, self._max_image_pixels) if batch.pixels is None else batch.pixels
        if pixels is not None and preparation != "always" and len(pixels) <= PASS_ROWS and not batch.errors:
            # Pixels are 28x28, so that there is nothing to resize.
            found = await (batcher.classify_if_in_form(pixels) if preparation == "auto" else batcher.classify(pixels))
            if found is not None:
                return found
        return await self._prepare_and_classify(batch, pixels, preparation, batcher)

    async def read(self, batch: PictureBatch) -> Numbers:
        """Read the digits on all encoded pictures of a request, but those with an error that the reply reports.

        Raises what `infer` raises, and OtherClasses.

        TooManyDigits means more than `digits.finder.centres.MAX_CENTRES` on a picture, or MNIST_MAX_BATCH in the
        request. BatchTooLarge and NoRoom mean that a view takes more memory than there is, or than is left.
        """
        pictures = await self._open(batch, decoding.open_pictures)
        batch.memory.reserve(decoding.prepared_bytes(pictures.values()))
        found_by_opening = batch.errors
        while True:
            batch.errors = {**found_by_opening}
            parts = [part async for part in self._read_all(batch, pictures)]
            if all(part.digits.classifier is parts[0].digits.classifier for part in parts):
                break  # else another version is served meanwhile
        digits = Inference.joined([part.digits for part in parts]) if parts else _of_nothing(self.registry.classifier)
        self.metrics.count_predictions(to_features(digits.pixels), digits.scores)
        self.metrics.count_doubts(number["doubts"] for part in parts for number in part.numbers)
        return Numbers([number for part in parts for number in part.numbers], digits)

    async def _read_all(self, batch: PictureBatch, pictures: dict[int, Picture]) -> AsyncIterator[Numbers]:
        """Read the pictures one after the other, so that only one of them needs memory for what the finder sees."""
        digits = held = 0
        for index, picture in pictures.items():
            with batch.picture(index):
                prepared = await self.decode_threads.read(picture.cost, prepare, picture)
                needed = prepared.nbytes
                batch.memory.reserve(max(0, needed - held))
                held = max(held, needed)
                numbers = await self._read_prepared(picture, prepared)
            if index in batch.errors:
                continue
            digits += len(numbers.digits.pixels)
            if digits > self._max_digits:
                raise TooManyDigits(
                    f"expected pictures of at most {self._max_digits} digits together, found {digits} on the first "
                    f"{index + 1}"
                )
            yield numbers

    async def _read_prepared(self, picture: Picture, prepared: PreparedNumber) -> Numbers:
        judged = await self._served.classify(prepared.pixels, only_scores=True)
        judged.classifier.require_digits()
        read = ReadNumber.of(prepared, judged.classifier, judged.scores)
        if read.is_doubtful:
            other = await self.decode_threads.read(picture.cost, read.look_again, picture)
            if other is not None:
                again = await self._served.classify(other.pixels, only_scores=True)
                if again.classifier is judged.classifier:  # else another version is served meanwhile
                    read = read.after(other, again.scores)
        number = read.number()
        own = read.pixels, read.normalized, [read.ink], read.others
        return Numbers([number], Inference(read.classifier, read.scores, number["digits"], judged.pass_rows, *own))

    def _batcher(self, version: int) -> Batcher:
        """Return the batcher of one version. Different versions cannot share a pass."""
        self.registry.version(version)
        if version not in self._batchers:
            self._batchers[version] = Batcher(partial(self.registry.version, version), self.metrics)
        return self._batchers[version]

    async def _prepare_and_classify(
        self, batch: PictureBatch, pixels: NDArray[Any] | None, preparation: Preparation, batcher: Batcher
    ) -> Inference:
        """Prepare the pictures of a request and classify them in one batch, and the doubtful ones again in another.

        `pixels` are the pictures if they were sent as pixels. None means that `batch` has encoded pictures.
        """
        if pixels is None:
            pictures, prepared = await self._open(batch, decoding.open_and_prepare_small, preparation)
            if not prepared:
                batch.memory.reserve(decoding.prepared_bytes(pictures.values()))
                prepared = await self._prepare(batch, pictures, [*pictures], preparation)
        else:
            ready = await _are_ready(pixels, preparation)
            if ready.all() and not batch.errors:
                return await batcher.classify(pixels)
            valid = [index for index in range(len(pixels)) if index not in batch.errors]
            pictures = {index: Picture.of_pixels(pixels[index]) for index in valid}
            others = [index for index in valid if not ready[index]]
            normalized = await self._prepare(batch, pictures, others, preparation, decoding.JOB_PICTURES)
            unchanged = {index: Normalized(pixels[index], ()) for index in valid if index not in batch.errors}
            prepared = unchanged | normalized  # in the order of the pictures
        if not prepared:
            return _of_nothing(batcher.classifier())
        sent, looks = [*map(pictures.__getitem__, prepared)], [*prepared.values()]
        rows = pixels_of(looks)
        first = await batcher.classify(rows, only_scores=True)
        judged = Judged.at_first_look(first.classifier, looks, first.scores)
        again: dict[int, Normalized] = {}
        for index in judged.doubtful():
            other = await self.decode_threads.read(sent[index].cost, sent[index].look_again)
            again |= {} if other is None else {index: other}
        if again:
            more = await batcher.classify(pixels_of(again.values()), only_scores=True)
            if more.classifier is first.classifier:  # else another version is served meanwhile
                judged, rows = judged.after_second_look(again, more.scores), pixels_of([*looks, *again.values()])
        chosen = [each.normalized for each in judged.seen]
        inference = Inference(
            first.classifier,
            judged.scores,
            judged.records,
            first.pass_rows,
            rows[[each.row for each in judged.seen]],
            are_normalized([each.steps for each in chosen]),
            [each.ink for each in chosen],
            [each.other for each in judged.seen],
        )
        self.metrics.count_predictions(to_features(inference.pixels), inference.scores)
        self.metrics.count_doubts(record["doubts"] for record in judged.records)
        return inference

    async def _open(self, batch: PictureBatch, open_all: Callable[..., T], *args: Any) -> T:
        size = sum(map(len, batch.encoded))
        return await self.decode_threads.run(size, open_all, batch, self._max_image_pixels, *args)

    async def _prepare(
        self,
        batch: PictureBatch,
        pictures: Mapping[int, Picture],
        indices: Sequence[int],
        preparation: Preparation,
        per_job: int = 1,
    ) -> dict[int, Normalized]:
        """Decode and prepare some of the pictures, several of them in a job if all are small."""
        prepared: dict[int, Normalized] = {}
        for start in range(0, len(indices), per_job):
            part = indices[start : start + per_job]
            size = sum(pictures[index].cost for index in part)
            prepared |= await self.decode_threads.run(
                size, decoding.prepare_pictures, batch, pictures, part, preparation
            )
        return prepared


def _saliency_texts(classifier: Classifier, pixels: NDArray[Any]) -> list[bytes]:
    # One text at a time: encoding a whole batch at once would hold the interpreter lock for 20 ms.
    return [to_json(saliency.reshape(SIDE, SIDE)) for saliency in classifier.saliency(to_features(pixels))]


def _of_nothing(classifier: Classifier) -> Inference:
    """Return the result of a request in which every picture has an error."""
    nothing = np.empty((0, SIDE, SIDE), np.uint8)
    return Inference(classifier, classifier.scores(to_features(nothing)), [], 0, nothing)


async def _are_ready(pixels: NDArray[Any], preparation: Preparation) -> NDArray[np.bool_]:
    """Return which pictures the network sees unchanged, bool (N,).

    Let other requests run after every `PASS_ROWS` pictures.
    """
    if preparation != "auto":
        return np.full(len(pixels), preparation != "always")
    parts = []
    for start in range(0, len(pixels), PASS_ROWS):
        parts.append(are_mnist_form(to_features(pixels[start : start + PASS_ROWS])))
        await asyncio.sleep(0)
    return np.concatenate(parts)
