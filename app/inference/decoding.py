"""Open and prepare the pictures of a request. No other module of the service does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.inference.decode_threads import SMALL_SIZE
from app.inference.picture_batch import PictureBatch
from digits.errors import ImageTooLarge
from digits.features import FEATURES, SIDE, Grey
from digits.normalization.mnist_form import Preparation
from digits.normalization.normalize import Normalized
from digits.numbers.read import PreparedNumber, look_again, prepare
from digits.numbers.work import Work
from digits.picture import Picture, prepare_pixels
from digits.pictures.decode import decode_tiny_png
from digits.pictures.decode_limits import PNG_SIGNATURE

TINY_BYTES = 4096
"""Largest total size of encoded pictures that the event loop decodes itself. A thread would take longer to start."""

TINY_PICTURES = 5
"""Maximum number of pictures that the event loop decodes itself, each in about 0.06 ms."""

JOB_PICTURES = 16
"""Number of 28x28 pictures that a thread normalizes in one job, in about 10 ms.

A job for each picture would take 1.4 times as long, and longer jobs would delay the pictures of other requests.
"""

MAX_PIXELS_RATIO = 2
"""The pictures of one request may have this many times as many pixels together as one picture may have."""


@dataclass(slots=True)
class OpenedPictures:
    """The encoded pictures of one request after their headers were read and checked."""

    pictures: list[Picture]
    normalized: list[Normalized]
    """The pictures in the network's form, or an empty list if they are too large together to be decoded at once."""


def open_and_normalize_small(batch: PictureBatch, preparation: Preparation, max_image_pixels: int) -> OpenedPictures:
    """Open encoded pictures. If they are small together, also bring them to the network's form.

    A drawing then needs one hand-over to a thread instead of two.

    Raises:
        InvalidImage, UnsupportedImage, ImageTooLarge, NoInk, WrongSize: with the picture's index.
    """
    pictures = open_pictures(batch, max_image_pixels)
    if sum(picture.pixel_count for picture in pictures) > SMALL_SIZE:
        return OpenedPictures(pictures, [])
    return OpenedPictures(
        pictures, [decode_and_normalize(batch, index, picture, preparation) for index, picture in enumerate(pictures)]
    )


def open_pictures(batch: PictureBatch, max_image_pixels: int) -> list[Picture]:
    """Read the headers of encoded pictures and check their sizes.

    Raises:
        InvalidImage, UnsupportedImage, ImageTooLarge: with the picture's index.
    """
    pictures: list[Picture] = []
    pixels, max_pixels = 0, MAX_PIXELS_RATIO * max_image_pixels
    for index, encoded in enumerate(batch.encoded):
        with batch.errors_of(index):
            picture = Picture(encoded, max_pixels=max_image_pixels)
        pixels += picture.pixel_count
        if pixels > max_pixels:  # checked before the next picture is opened, because opening a GIF allocates its pixels
            raise ImageTooLarge(
                f"expected at most {max_pixels} pixels in all pictures together, received {pixels} or more"
            )
        pictures.append(picture)
    return pictures


def decode_tiny(batch: PictureBatch, max_image_pixels: int) -> Grey | None:
    """Decode small 28x28 PNG files on the event loop, which takes less time than handing them to a thread.

    Other formats need a thread, because a few bytes of them can take a second to decode.

    Returns:
        uint8 (N, 28, 28), or None when at least one of the pictures is not a small PNG of 28x28 pixels.

    Raises:
        InvalidImage, ImageTooLarge: with the picture's index.
    """
    if not _are_tiny(batch.encoded):
        return None
    if max_image_pixels >= FEATURES:
        decoded = [decode_tiny_png(encoded) for encoded in batch.encoded]  # in 3 us less than as a `Picture`
        usual = [pixels for pixels in decoded if pixels is not None]
        if len(usual) == len(batch):
            return np.array(usual)
    pictures = open_pictures(batch, max_image_pixels)
    if any(picture.size != (SIDE, SIDE) for picture in pictures):
        return None
    pixels = []
    for index, picture in enumerate(pictures):
        with batch.errors_of(index):
            pixels.append(picture.grey())
    return np.array(pixels)


def _are_tiny(encoded: Sequence[bytes]) -> bool:
    return (
        len(encoded) <= TINY_PICTURES
        and sum(map(len, encoded)) <= TINY_BYTES
        and all(picture.startswith(PNG_SIGNATURE) for picture in encoded)
    )


def decode_and_normalize(batch: PictureBatch, index: int, picture: Picture, preparation: Preparation) -> Normalized:
    """Bring an opened picture to the network's form.

    Raises:
        InvalidImage, NoInk, WrongSize: with the picture's index.
    """
    with batch.errors_of(index):
        return picture.prepare(preparation)


def decode_and_segment(batch: PictureBatch, index: int, picture: Picture, work: Work) -> PreparedNumber:
    """Propose candidates for the digits of an opened picture, within the limit of `work`.

    Raises:
        InvalidImage, NoInk, TooManyDigits: with the picture's index.
    """
    with batch.errors_of(index):
        return prepare(picture, work)


def decode_again(encoded: bytes, max_image_pixels: int) -> Normalized | None:
    """Decode a picture again, and prepare it after another look. Return None if there is no other look."""
    return Picture(encoded, max_pixels=max_image_pixels).look_again()


def segment_again(encoded: bytes, max_image_pixels: int, first: PreparedNumber, work: Work) -> PreparedNumber | None:
    """Decode a picture again, and segment it after another look. Return None if there is no other look."""
    return look_again(Picture(encoded, max_pixels=max_image_pixels), first, work)


def normalize_pixels(
    batch: PictureBatch, pixels: NDArray[Any], indices: Sequence[int], preparation: Preparation
) -> list[Normalized]:
    """Bring some of the pictures to the network's form.

    Args:
        batch: the pictures of the request, to name one in an error.
        pixels: (N, 28, 28), uint8, or float32 in [0, 1].
        indices: which of the N pictures to normalize.
        preparation: as for `prepare_pixels`.

    Raises:
        NoInk: with the picture's index.
    """
    normalized = []
    for index in indices:
        with batch.errors_of(index):
            normalized.append(prepare_pixels(pixels[index], preparation))
    return normalized
