"""Open and prepare the pictures of a request. No other module of the service does."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from app.inference.decode_threads import SMALL_SIZE
from app.inference.picture_batch import PictureBatch
from digits.errors import ImageTooLarge
from digits.features import FEATURES, Grey
from digits.normalization.ink_map import REDUCED_SIDE
from digits.normalization.mnist_form import Preparation
from digits.normalization.normalize import Normalized
from digits.picture import Picture
from digits.pictures.decode import decode_tiny_png

TINY_BYTES = 4096
"""Largest total size of encoded pictures that the event loop decodes itself. A thread would take longer to start."""

TINY_PICTURES = 5
"""Maximum number of pictures that the event loop decodes itself, each in about 0.06 ms."""

JOB_PICTURES = 16
"""Number of 28x28 pictures that a thread normalizes in one job, in about 10 ms.

A job for each picture would take 1.4 times as long, and longer jobs would delay the pictures of other requests.
"""


def open_pictures(batch: PictureBatch, max_image_pixels: int) -> dict[int, Picture]:
    """Read the headers of encoded pictures and check their sizes. Return the pictures without an error, by index.

    All pictures together may have twice as many pixels as one picture may have.
    """
    pictures: dict[int, Picture] = {}
    pixels, most = 0, 2 * max_image_pixels
    for index, encoded in enumerate(batch.encoded):
        with batch.picture(index):
            pictures[index] = picture = Picture(encoded, max_pixels=max_image_pixels)
            pixels += picture.pixel_count
            picture.close_costly()
        if pixels > most:
            raise ImageTooLarge(f"expected at most {most} pixels in all pictures together, received {pixels} or more")
    return pictures


def open_and_prepare_small(
    batch: PictureBatch, max_image_pixels: int, preparation: Preparation
) -> tuple[dict[int, Picture], dict[int, Normalized]]:
    """Open pictures as `open_pictures` does. If there is a single small one, prepare it, too, in the same job."""
    pictures = open_pictures(batch, max_image_pixels)
    is_small = len(batch) == 1 and all(picture.cost <= SMALL_SIZE for picture in pictures.values())
    return pictures, prepare_pictures(batch, pictures, [*pictures], preparation) if is_small else {}


def prepare_pictures(
    batch: PictureBatch, pictures: Mapping[int, Picture], indices: Sequence[int], preparation: Preparation
) -> dict[int, Normalized]:
    """Bring some of the pictures to the network's form. Return those without an error, by index."""
    prepared: dict[int, Normalized] = {}
    for index in indices:
        with batch.picture(index):
            prepared[index] = pictures[index].prepare(preparation)
    return prepared


def prepared_bytes(pictures: Iterable[Picture]) -> int:
    """Return the memory that pictures take at most once they are prepared, with their ink, without candidates."""
    return sum(2 * FEATURES + min(picture.pixel_count, REDUCED_SIDE**2) for picture in pictures)


def decode_tiny(batch: PictureBatch, max_image_pixels: int) -> Grey | None:
    """Decode usual 28x28 PNG files on the event loop. Handing them to a thread would take longer.

    Return uint8 (N, 28, 28), or None if one of the pictures is anything else.
    """
    encoded = batch.encoded
    if len(encoded) > TINY_PICTURES or sum(map(len, encoded)) > TINY_BYTES or max_image_pixels < FEATURES:
        return None
    decoded = [pixels for each in encoded if (pixels := decode_tiny_png(each)) is not None]
    return np.array(decoded) if len(decoded) == len(encoded) else None
