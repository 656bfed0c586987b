"""Read a multipart/form-data body as a batch of pictures."""

import math
from io import BytesIO

from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, parse_options_header

from app.errors import BatchTooLarge, InvalidBody, MalformedBody
from app.inference.picture_batch import PictureBatch

POINTER = "#/file/{}"  # JSON pointer to a file, with {} in place of its index

_CONFIG = {"MAX_MEMORY_FILE_SIZE": math.inf, "UPLOAD_ERROR_ON_BAD_CTE": True}
"""Keep all files in memory. `MNIST_MAX_BODY_BYTES` limits them. Refuse unknown encodings of a part."""


def read_form(body: bytes, content_type: bytes, max_batch: int) -> PictureBatch:
    """Read a form whose parts are all files named 'file'. The Content-Type header contains its boundary.

    Raises MalformedBody without a form with this boundary, InvalidBody for no part or another one, and BatchTooLarge.
    """
    contents: list[bytes] = []
    names: list[str] = []
    is_complete = False

    def add_file(file: File) -> None:
        _check_name(file.field_name)
        if len(contents) == max_batch:
            raise BatchTooLarge(f"expected at most {max_batch} pictures, received {max_batch + 1} or more")
        assert isinstance(file.file_object, BytesIO)
        contents.append(file.file_object.getvalue())
        names.append((file.file_name or b"")[:40].decode("utf-8", "replace"))

    def add_field(field: Field) -> None:
        _check_name(field.field_name)
        raise InvalidBody(
            "expected 'file' to be an uploaded file, received a text field", POINTER.format(len(contents))
        )

    def end() -> None:  # the closing boundary was found
        nonlocal is_complete
        is_complete = True

    boundary = parse_options_header(content_type)[1].get(b"boundary")
    try:
        if not boundary:
            raise FormParserError("no boundary")
        parser = FormParser("multipart/form-data", add_field, add_file, end, boundary=boundary, config=_CONFIG)
        parser.write(body)
        parser.finalize()
    except FormParserError as exc:
        raise MalformedBody("expected multipart/form-data, received a body that is not a valid form") from exc
    if not is_complete:
        raise MalformedBody("expected multipart/form-data with a closing boundary, received a body without it")
    if not contents:
        raise InvalidBody("expected a part named 'file', received none")
    return PictureBatch(encoded=contents, names=names, single=len(contents) == 1, pointer=POINTER)


def _check_name(name: bytes | None) -> None:
    if name != b"file":
        received = (name or b"")[:40].decode("utf-8", "replace")
        raise InvalidBody(f"expected every part to be named 'file', received one named {received!r}")
