"""From what a request asks about to the network's answer: the one core of all dialects."""

import asyncio
import importlib
from collections.abc import Awaitable, Iterable
from contextlib import closing
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from app.errors import Overloaded
from app.inference.batching import PASS_ROWS, Batcher, BatchResult
from app.inference.decode_threads import DecodeThreads
from app.inference.model_registry import ModelRegistry
from app.input.body import MemoryBudget, PictureBatch
from app.settings import Settings
from app.telemetry.metrics import Metrics
from digits.errors import DigitsError
from digits.features import SIDE, Grey, to_features
from digits.images import to_grey
from digits.mnist_form import Mode

if TYPE_CHECKING:
    from digits.normalize import Normalized

T = TypeVar("T")


class InferenceResult(NamedTuple):
    """What the network says, and to what."""

    answered: BatchResult
    pixels: NDArray[Any]
    """(N, 28, 28), what the network saw; uint8, or float32 in [0, 1]."""
    steps: Iterable[tuple[str, ...]]
    """What was done to each picture before; as many, or without end."""


class Predictor:
    """Decodes, normalizes and classifies."""

    def __init__(self, settings: Settings, registry: ModelRegistry, metrics: Metrics) -> None:
        """With the model of `serving`, within the limits of the settings."""
        self._metrics = metrics
        self._registry = registry
        self._served = Batcher(lambda: registry.classifier, metrics)
        self._batchers: dict[int, Batcher] = {}
        self.decode_threads = DecodeThreads()
        self.memory_budget = MemoryBudget(settings)

    async def warm(self) -> None:
        """Load what only pictures need: SciPy takes 0.1 s, which the first answer to pixels need not wait for."""
        await self.decode_threads.of(0).run(importlib.import_module, "digits.normalize")

    async def answer(
        self, asked: PictureBatch, mode: Mode, receive: Receive, version: int | None = None
    ) -> InferenceResult:
        """The answer to all pictures, of the served version or of another one that is loaded.

        Raises:
            NoUsableModel, UnknownModel, Overloaded, and what can be wrong with a picture.
            ClientDisconnect: the client is gone, by what `receive` says; no more is done.
        """
        batcher = self._served if version is None else self._of(version)
        pixels = asked.pixels
        if pixels is not None and mode != "always":
            answer = batcher.classify(pixels, form=mode == "auto")
            # The usual is answered by the next pass: too soon for a look at whether the client is still there.
            answered = await (answer if len(pixels) <= PASS_ROWS else _while_connected(receive, answer))
            if mode == "never" or all(answered.in_form):
                self._metrics.predicted(answered.digits, answered.probabilities, answered.ink, answered.novelty)
                return InferenceResult(answered, pixels, repeat(()))
        return await _while_connected(receive, self._after_normalizing(asked, mode, batcher))

    def _of(self, version: int) -> Batcher:
        """A version's own: a pass is made by one network."""
        self._registry.version(version)
        if version not in self._batchers:
            self._batchers[version] = Batcher(partial(self._registry.version, version), self._metrics)
        return self._batchers[version]

    async def _after_normalizing(self, asked: PictureBatch, mode: Mode, batcher: Batcher) -> InferenceResult:
        """The longer way: some are to be decoded or normalized."""
        pixels = asked.pixels
        digits = []
        for index, picture in enumerate(asked.images if pixels is None else pixels):
            size = picture.width * picture.height if isinstance(picture, Image.Image) else picture.size
            try:
                digits.append(await self.decode_threads.of(size).run(_normalized, picture, mode))
            except Overloaded:
                raise
            except DigitsError as exc:
                raise asked.named(exc, index) from exc
        # As floats, since some that passed through untouched may be floats.
        pixels = np.concatenate([to_features(digit.pixels[None]) for digit in digits]).reshape(-1, SIDE, SIDE)
        answered = await batcher.classify(pixels, form=False)
        self._metrics.predicted(answered.digits, answered.probabilities, answered.ink, answered.novelty)
        return InferenceResult(answered, pixels, [digit.steps for digit in digits])


def _normalized(picture: Image.Image | Grey, mode: Mode) -> "Normalized":
    from digits.normalize import normalize  # noqa: PLC0415 - `warm` has loaded it

    if not isinstance(picture, Image.Image):
        return normalize(picture, mode)
    with closing(picture):  # its memory is given back before the next is decoded
        grey = to_grey(picture)
    return normalize(grey, mode)


async def _while_connected(receive: Receive, work: Awaitable[T]) -> T:
    """The work's result, unless the client goes away before it is there: then no more is done.

    Raises:
        ClientDisconnect: it went away.
    """

    async def disconnect() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(disconnect())
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        gone.cancel()
