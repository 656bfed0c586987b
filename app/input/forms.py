"""Read a multipart/form-data body as a batch of pictures."""

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from app.errors import BatchTooLarge, InvalidBody, MalformedBody
from app.inference.picture_batch import PictureBatch

FILE_NAME = b"file"
"""The name that every part must have."""

POINTER = "#/file/{}"
"""JSON pointer to a file, with {} in place of its index."""


def read_form(body: bytes, content_type: bytes, max_batch: int) -> PictureBatch:
    """Read a form whose parts are all files named 'file'. The Content-Type header contains its boundary.

    Raises:
        MalformedBody: the body is not a form with this boundary.
        InvalidBody: the form has no part, or a part is not a file or has another name.
        BatchTooLarge: more than `max_batch` parts.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    parts = _Parts(max_batch)
    try:
        if not boundary:
            raise FormParserError("no boundary")
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.begin,
                "on_header_field": parts.add_header_name,
                "on_header_value": parts.add_header_value,
                "on_header_end": parts.end_header,
                "on_headers_finished": parts.end_headers,
                "on_part_data": parts.add_content,
                "on_part_end": parts.end,
                "on_end": parts.end_form,
            },
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
        self._header_name = self._header_value = self._disposition = b""
        self._content: list[bytes] = []

    def begin(self) -> None:
        if len(self.contents) == self._max_batch:
            raise BatchTooLarge(f"expected at most {self._max_batch} pictures, received {self._max_batch + 1} or more")
        self._disposition = b""
        self._content = []

    def add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def end_headers(self) -> None:
        """Refuse a part that is not a file named 'file'."""
        options = parse_options_header(self._disposition)[1]
        name = options.get(b"name")
        if name is None:
            raise FormParserError("no name")
        if name != FILE_NAME:
            raise InvalidBody(
                f"expected every part to be named 'file', received one named {name[:40].decode('utf-8', 'replace')!r}"
            )
        file_name = options.get(b"filename")
        if file_name is None:
            raise InvalidBody(
                "expected 'file' to be an uploaded file, received a text field", POINTER.format(len(self.contents))
            )
        self.names.append(file_name[:40].decode("utf-8", "replace"))

    def add_content(self, data: bytes, start: int, end: int) -> None:
        self._content.append(data[start:end])

    def end(self) -> None:
        self.contents.append(b"".join(self._content))

    def end_form(self) -> None:
        self.complete = True
