"""The way into this package: an encoded picture to the network's input.

Picture(data).prepare("auto")     one digit: 28x28 pixels, with the steps that brought it there
read_number(classifier, picture)  several digits, in `digits.numbers.read`
"""

from contextlib import closing
from pathlib import Path

from digits.normalization.mnist_form import Preparation
from digits.normalization.normalize import Normalized
from digits.normalization.prepare import prepare_picture
from digits.pictures.decode import MAX_PIXELS, open_picture, read


class Picture:
    """An encoded picture whose header was read and checked. No pixel is decoded yet."""

    def __init__(self, data: bytes, *, max_pixels: int = MAX_PIXELS) -> None:
        """Read the header.

        Args:
            data: the encoded picture, in one of `digits.pictures.decode.FORMATS`.
            max_pixels: maximum width times height.

        Raises:
            InvalidImage, UnsupportedImage, ImageTooLarge.
        """
        self.image = open_picture(data, max_pixels=max_pixels)

    @property
    def pixel_count(self) -> int:
        """Width times height."""
        return self.image.width * self.image.height

    def prepare(self, preparation: Preparation) -> Normalized:
        """Decode the picture, bring it to the network's form and close it.

        Args:
            preparation: from `Classifier.preparation`.

        Raises:
            InvalidImage, NoInk, WrongSize.
        """
        with closing(self.image):
            return prepare_picture(self.image, preparation)


def read_file(file: Path) -> bytes:
    """Return the content of a picture file. Raises InvalidImage and ImageTooLarge."""
    return read(file)
