"""What can go wrong, by name.

Every message says what was expected and what came. Nothing here knows HTTP: `app/errors.py` gives each a status.
"""


class DigitsError(Exception):
    """The root of everything that this project raises on purpose.

    `pointer` is the JSON pointer (RFC 6901) to the part at fault of what was sent; "" is the whole of it.
    """

    def __init__(self, message: str, pointer: str = "") -> None:
        super().__init__(message)
        self.pointer = pointer


class InvalidImage(DigitsError):
    """The bytes are no readable picture."""


class UnsupportedImage(DigitsError):
    """The bytes are a picture, or look like one, of a format that is not accepted."""


class ImageTooLarge(DigitsError):
    """The picture declares more pixels than the limit."""


class WrongSize(DigitsError):
    """The picture is not 28x28."""


class NoInk(DigitsError):
    """The picture is blank, one colour or noise: there is nothing on it that could be a digit."""


class InvalidPixels(DigitsError):
    """The pixel values are not what they should be."""


class ArtifactError(DigitsError):
    """A model artifact cannot be used."""


class DamagedArtifact(ArtifactError):
    """A file is missing or is not the one that was published, or the graph is not as the manifest declares it."""


class GoldenMismatch(ArtifactError):
    """The network does not reproduce its golden predictions."""


class NoUsableModel(ArtifactError):
    """No folder holds a version that loads; the message has the reason for each that was tried."""


class PublishFailed(ArtifactError):
    """The artifact could not be written, and nothing of it is visible; or it is, and may not last: the message says."""
