"""The errors that Digits raises on purpose.

Every message says what was expected and what was received. `app/errors.py` maps each error to an HTTP status.
"""


class DigitsError(Exception):
    """The base class of all errors that this project raises on purpose.

    `pointer` is the JSON pointer (RFC 6901) to the invalid part of the input. "" means the whole input.
    """

    def __init__(self, message: str, pointer: str = "") -> None:
        super().__init__(message)
        self.pointer = pointer


class InvalidImage(DigitsError):
    """The bytes are not a readable picture."""


class UnsupportedImage(DigitsError):
    """The bytes are in a known format that is not accepted."""


class ImageTooLarge(DigitsError):
    """The picture declares more pixels than the limit, or decoding it would take too much memory."""


class WrongSize(DigitsError):
    """The picture is not 28x28."""


class NoInk(DigitsError):
    """The picture is blank, of one colour or noise, so it has no digit."""


class TooManyDigits(DigitsError):
    """The picture, or the pictures of one request together, have more digits than the limit."""


class OtherClasses(DigitsError):
    """The served model cannot read numbers, because its classes are not the digits."""


class InvalidPixels(DigitsError):
    """The pixel values have a wrong type, range, scale or count."""


class ArtifactError(DigitsError):
    """A model artifact cannot be used."""


class DamagedArtifact(ArtifactError):
    """A file is missing or differs from the published one, or the graph differs from what the manifest declares."""


class GoldenMismatch(ArtifactError):
    """The network does not reproduce its golden predictions."""


class NoUsableModel(ArtifactError):
    """No folder has a version that loads. The message gives the reason for each version that was tried."""


class PublishFailed(ArtifactError):
    """The artifact could not be written. The message says whether a version is visible that a power cut may destroy."""
