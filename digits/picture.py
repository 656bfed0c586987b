"""The way into this package: an encoded picture to the network's input.

Picture(data).prepare("auto")     one digit: 28x28 pixels, with the steps that brought it there
read_number(classifier, picture)  several digits, in `digits.finder.read`
"""

import math
import os
import stat
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from digits.errors import ImageTooLarge, InvalidImage
from digits.features import FEATURES, SIDE, Grey
from digits.finder.find import Finder
from digits.finder.network import FinderNetwork, shipped
from digits.normalization.look import Look
from digits.normalization.mnist_form import Preparation
from digits.normalization.normalize import Normalized, normalize
from digits.normalization.resize import resize
from digits.pictures.decode import MAX_PIXELS, REDUCED_SIDE, decode_tiny_png, open_image, upright_grey, upright_size
from digits.pictures.decode_limits import DECODE_BYTES, MAX_DECODE_BYTES

SMALL_COPY_SIDE = 160
"""Minimum longer side of a large JPEG that is decoded at a fraction of its size. Normalization locates the digit in as
many pixels."""

BYTES_PER_PIXEL = 6
"""Memory that decoding a usual picture takes at most per pixel, with the work on its pixels."""

_MAX_OPEN_BYTES = 1_000_000
"""Pictures with more bytes, and those of WEBP and HEIF, are opened again to be decoded."""


class Picture:
    """An encoded picture, after its header was read and checked. `of_pixels` makes one of pixels instead.

    No pixel is decoded before `grey` or `prepare`, except those of a 28x28 PNG, which take less time than its header.
    No pixel that these two decode is kept after them.
    """

    def __init__(self, data: bytes, *, max_pixels: int = MAX_PIXELS) -> None:
        """Read the header of an encoded picture in one of `digits.pictures.decode.FORMATS`.

        Values of `max_pixels` above 2 * MAX_PIXELS have no effect.

        Raises:
            InvalidImage: not a picture, a broken header, or decoding would take far longer than the pixels explain.
            UnsupportedImage: a known format that is not accepted.
            ImageTooLarge: the picture declares more than `max_pixels` pixels, or decoding it would take more than 150
                MB. This allows 10 million pixels of WEBP, 37 million of another format in colour.
        """
        self._data = data
        self._pixels: NDArray[Any] | None = decode_tiny_png(data) if max_pixels >= FEATURES else None
        self._image = open_image(data, max_pixels) if self._pixels is None else None
        self.size = (SIDE, SIDE) if self._image is None else self._image.size
        """Width and height in pixels, as stored."""
        self.pixel_count = math.prod(self.size)
        self.is_large_jpeg = isinstance(self._image, JpegImageFile) and max(self.size) >= 2 * SMALL_COPY_SIDE
        """Whether the picture is worth decoding at a fraction of its size first, and again if that is not enough."""
        needed = 0 if self._image is None else self._image.info[DECODE_BYTES]
        self.cost = max(self.pixel_count, int(needed) // BYTES_PER_PIXEL)
        """Its pixels, or more in a format that takes more memory than usual to decode."""

    @classmethod
    def of_pixels(cls, pixels: NDArray[Any]) -> Self:
        """Return a picture of grey pixels, (28, 28), uint8 or floats in [0, 1]."""
        picture = cls.__new__(cls)
        picture._pixels, picture._image, picture.is_large_jpeg = pixels, None, False
        picture.size = (SIDE, SIDE)
        picture.cost = picture.pixel_count = SIDE * SIDE
        return picture

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height in pixels, as displayed: after the turn that the EXIF data asks for."""
        return self.size if self._pixels is not None else upright_size(self._open())

    def prepare(self, preparation: Preparation) -> Normalized:
        """Decode the picture and bring it to the network's form.

        Raises:
            InvalidImage, NoInk, WrongSize: the picture cannot be prepared.
        """
        if not self.is_large_jpeg or preparation not in ("auto", "always"):
            pixels = self.grey() if self._pixels is None else self._pixels
            return resize(pixels) if preparation == "resize" else normalize(pixels, preparation)
        # A fraction of its size takes half the time. If its digit is small, or no ink is visible, the picture is
        # decoded again, and only looked at where the digit is.
        copy = self.grey(min_jpeg_side=SMALL_COPY_SIDE)
        look = Look.at(copy)
        return normalize(copy if look.shows_large_digit(copy) else self.grey(), preparation, look)

    def look_again(self) -> Normalized | None:
        """Decode the picture and cut out the digit that the finder sees best. None if it sees none."""
        return self.finder().one_digit()

    def finder(self, network: FinderNetwork | None = None) -> Finder:
        """Decode the picture, and let the finder that comes with the code, or another one, look at it."""
        size = self.upright_size  # before decoding, which closes the picture
        if self.is_large_jpeg:
            return Finder(network or shipped(), size, self._copy)
        grey = self.grey()
        return Finder(network or shipped(), size, lambda _side: grey)

    def _copy(self, side: int) -> Grey:
        """Decode a large JPEG at the size that is needed."""
        return self.grey(min_jpeg_side=min(side, REDUCED_SIDE))

    def grey(self, *, min_jpeg_side: int = REDUCED_SIDE) -> Grey:
        """Decode the first frame to upright grey pixels, uint8 (height, width). See `upright_grey`."""
        if self._pixels is not None:
            return self._pixels if self._pixels.dtype == np.uint8 else np.rint(self._pixels * 255).astype(np.uint8)
        with closing(self._open()) as image:
            self._image = None
            return upright_grey(image, min_jpeg_side)

    def close_costly(self) -> None:
        """Close a picture that waits for its turn, if its decoder has allocated room for its pixels or copied much."""
        image = self._image
        if image is not None and (image.format in ("WEBP", "HEIF") or len(self._data) > _MAX_OPEN_BYTES):
            image.close()
            self._image = None

    def _open(self) -> Image.Image:
        """Return the opened picture, with no pixel decoded. Decoding a JPEG at a fraction changes it for good."""
        if self._image is None:
            self._image = open_image(self._data, self.pixel_count)
        return self._image


def read_file(file: Path) -> bytes:
    """Return the content of a picture file.

    Raises:
        InvalidImage: the file cannot be read.
        ImageTooLarge: the file is larger than MAX_DECODE_BYTES. Nothing of it was read.
    """
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # reading a pipe would wait for its writer
            raise InvalidImage("cannot be read: Not a regular file")
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_DECODE_BYTES:
                raise ImageTooLarge(f"expected a file of at most {MAX_DECODE_BYTES} bytes, received {size}")
            return stream.read()
    except OSError as exc:
        raise InvalidImage(f"cannot be read: {exc.strerror}") from exc
