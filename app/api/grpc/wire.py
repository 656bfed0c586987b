"""Parse protobuf messages, and count what is in a message before it is parsed.

A parsed message can take fifty times the memory of its bytes: an empty input has two bytes, and an object of 90 bytes.
https://protobuf.dev/programming-guides/encoding/
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError

from app.errors import BatchTooLarge, InvalidBody, MalformedBody
from digits.features import FEATURES

_OTHER_FIELDS = 1000  # that a message may have besides two for each picture
_VARINT, _64_BITS, _BYTES, _GROUP, _END_GROUP, _32_BITS = range(6)  # the wire types

_PACKED_SIZES = {FieldDescriptor.TYPE_FLOAT: 4, FieldDescriptor.TYPE_DOUBLE: 8}
"""Bytes of a packed value, by the type of its field. All other numbers of open_inference.proto are varints."""

_TEXT_TYPES = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)


def parse_message(kind: Any, content: bytes) -> Any:
    """Parse a message of this class. Raises MalformedBody."""
    try:
        return kind.FromString(content)
    except DecodeError as exc:
        raise _not_a(kind.DESCRIPTOR, content) from exc


def check_contents(descriptor: Any, content: bytes, max_batch: int) -> None:
    """Check that a message has no more fields and numbers than a request with pictures needs.

    Raises InvalidBody above 1000 fields and two for each picture, BatchTooLarge above the numbers of twice as many
    pictures as allowed, and MalformedBody if it is not a message.
    """
    max_fields, max_values = _OTHER_FIELDS + 2 * max_batch, 2 * max_batch * FEATURES
    counts = _Counts(max_fields, max_values)
    try:
        counts.add(descriptor, content, 0, len(content))
    except IndexError as exc:
        raise _not_a(descriptor, content) from exc
    if counts.fields_left < 0:
        raise InvalidBody(f"expected at most {max_fields} fields in a message, received more")
    if counts.values_left < 0:
        raise BatchTooLarge(f"expected at most {max_batch} pictures, received more than {max_values} numbers")


def _not_a(descriptor: Any, content: bytes) -> MalformedBody:
    return MalformedBody(f"expected a {descriptor.full_name}, received {len(content)} bytes that are not one")


@dataclass(slots=True)
class _Counts:
    fields_left: int
    values_left: int

    def add(self, descriptor: Any, content: bytes, position: int, end: int) -> None:
        """Count the fields from `position` to `end`, until too many are found. Raises IndexError if they end later."""
        fields = descriptor.fields_by_number
        while position < end and self.fields_left >= 0 and self.values_left >= 0:
            self.fields_left -= 1
            tag, position = _varint(content, position)
            wire_type = tag & 7
            if wire_type == _VARINT:
                _, position = _varint(content, position)
            elif wire_type == _64_BITS:
                position += 8
            elif wire_type == _32_BITS:
                position += 4
            elif wire_type == _BYTES:
                size, position = _varint(content, position)
                if position + size > end:
                    raise IndexError
                field = fields.get(tag >> 3)
                if field is not None and field.type == FieldDescriptor.TYPE_MESSAGE:
                    self.add(field.message_type, content, position, position + size)
                elif field is not None and field.type not in _TEXT_TYPES:
                    self.values_left -= _packed_values(field.type, content, position, size)
                position += size
            elif wire_type not in (_GROUP, _END_GROUP):  # the fields of a group follow like others
                raise IndexError
        if position > end:
            raise IndexError


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """Return the number at a position, and the position behind it."""
    number = shift = 0
    while shift < 70:
        byte = content[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
    raise IndexError


def _packed_values(kind: int, content: bytes, position: int, size: int) -> int:
    """Return the number of values of a type in a packed field."""
    if kind in _PACKED_SIZES:
        return size // _PACKED_SIZES[kind]
    return int(np.count_nonzero(np.frombuffer(content, np.uint8, size, position) < 0x80))
