"""Read a multipart/form-data body as a batch of pictures."""

import math
from io import BytesIO

from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, parse_options_header

from app.errors import BatchTooLarge, InvalidBody, MalformedBody
from app.inference.picture_batch import PictureBatch

POINTER = "#/file/{}"
"""JSON pointer to a file, with {} in place of its index."""

_CONFIG = {"MAX_MEMORY_FILE_SIZE": math.inf, "UPLOAD_ERROR_ON_BAD_CTE": True}
"""Keep all files in memory. `MNIST_MAX_BODY_BYTES` limits them. Refuse unknown encodings of a part."""


def read_form(body: bytes, content_type: bytes, max_batch: int) -> PictureBatch:
    """Read a form whose parts are all files named 'file'. The Content-Type header contains its boundary.

    Raises MalformedBody without a form with this boundary, BatchTooLarge, and InvalidBody if the form has no part, or a
    part is not a file or has another name.
    """
    parts = _Parts(max_batch)
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    try:
        if not boundary:
            raise FormParserError("no boundary")
        parser = FormParser(
            "multipart/form-data", parts.add_field, parts.add_file, parts.end, boundary=boundary, config=_CONFIG
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as exc:
        raise MalformedBody("expected multipart/form-data, received a body that is not a valid form") from exc
    if not parts.complete:
        raise MalformedBody("expected multipart/form-data with a closing boundary, received a body without it")
    if not parts.contents:
        raise InvalidBody("expected a part named 'file', received none")
    return PictureBatch(encoded=parts.contents, names=parts.names, single=len(parts.contents) == 1, pointer=POINTER)


class _Parts:
    """Collects the contents of a form's parts. Its methods are the parser's callbacks."""

    def __init__(self, max_batch: int) -> None:
        self.contents: list[bytes] = []
        self.names: list[str] = []
        self.complete = False
        """Whether the closing boundary was found."""
        self._max_batch = max_batch

    def add_file(self, file: File) -> None:
        _check_name(file.field_name)
        if len(self.contents) == self._max_batch:
            raise BatchTooLarge(f"expected at most {self._max_batch} pictures, received {self._max_batch + 1} or more")
        assert isinstance(file.file_object, BytesIO)
        self.contents.append(file.file_object.getvalue())
        self.names.append((file.file_name or b"")[:40].decode("utf-8", "replace"))

    def add_field(self, field: Field) -> None:
        _check_name(field.field_name)
        raise InvalidBody(
            "expected 'file' to be an uploaded file, received a text field", POINTER.format(len(self.contents))
        )

    def end(self) -> None:
        self.complete = True


def _check_name(name: bytes | None) -> None:
    if name != b"file":
        received = (name or b"")[:40].decode("utf-8", "replace")
        raise InvalidBody(f"expected every part to be named 'file', received one named {received!r}")
