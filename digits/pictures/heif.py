"""What a HEIF says of its stored pictures before they are decoded: their sizes, and how often others repeat them.

A photo of an iPhone is a grid of tiles. A file may name one huge tile thousands of times, and decoding takes minutes.
"""

import math
import struct
from collections.abc import Iterator

from digits.errors import InvalidImage

_MAX_BOXES = 10_000
"""Maximum number of boxes of one level. An iPhone's photo has about a hundred properties."""

_SPARE_PIXELS = 4_000_000
"""Tiles may have this many pixels more than four times the largest picture."""


def largest_stored(data: bytes) -> int:
    """Return the number of pixels of the largest picture in a HEIF, which decoding it may take memory for.

    Raises InvalidImage if the file is broken, or decodes the same pixels many times.
    """
    try:
        meta = next((content for kind, content in _boxes(data) if kind == b"meta"), b"")
        inner = list(_boxes(meta[4:]))
        properties = [box for kind, content in inner if kind == b"iprp" for box in _boxes(content)]
        (stored,) = (list(_boxes(content)) for kind, content in properties if kind == b"ipco")
        areas = [math.prod(struct.unpack_from(">II", box, 4)) if kind == b"ispe" else 0 for kind, box in stored]
        of_item: dict[int, int] = {}
        for kind, content in properties:
            if kind == b"ipma":
                for item, indices in _associations(content):
                    of_item[item] = max(of_item.get(item, 0), *(areas[index - 1] for index in indices if index), 0)
        derived = [pair for kind, content in inner if kind == b"iref" for pair in _derivations(content)]
    except (ValueError, IndexError, struct.error) as exc:
        raise InvalidImage("expected a whole HEIF picture, received one whose description is broken") from exc
    largest = max(areas, default=0)
    parts = [part for _, each in derived for part in each]
    if {item for item, _ in derived} & set(parts):
        raise InvalidImage("expected a HEIF picture of tiles, received one whose tiles have tiles")
    if sum(of_item.get(part, largest) for part in parts) > 4 * largest + _SPARE_PIXELS:
        raise InvalidImage("expected a HEIF picture of different tiles, received one that repeats large ones")
    return largest


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the content of each box."""
    position = 0
    for _ in range(_MAX_BOXES):
        if position >= len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, position)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, position + 8)
            head = 16
        end = position + size if size else len(data)
        if end < position + head or end > len(data):
            raise ValueError("a box is broken")
        yield kind, data[position + head : end]
        position = end
    raise ValueError("too many boxes")


def _associations(content: bytes) -> Iterator[tuple[int, list[int]]]:
    """Yield each item of an `ipma` box with the numbers of its properties. The first one is 1, and 0 means none."""
    version, has_wide_indices = content[0], content[3] & 1
    (count,) = struct.unpack_from(">I", content, 4)
    position = 8
    for _ in range(count):
        item, number = struct.unpack_from(">IB" if version else ">HB", content, position)
        position += 5 if version else 3
        indices = struct.unpack_from(f">{number}{'H' if has_wide_indices else 'B'}", content, position)
        position += number * (2 if has_wide_indices else 1)
        yield item, [index & (0x7FFF if has_wide_indices else 0x7F) for index in indices]


def _derivations(content: bytes) -> Iterator[tuple[int, list[int]]]:
    """Yield each derived item of an `iref` box with the items that it consists of."""
    identifier = "I" if content[0] else "H"
    for kind, reference in _boxes(content[4:]):
        if kind == b"dimg":
            item, count = struct.unpack_from(f">{identifier}H", reference)
            yield item, list(struct.unpack_from(f">{count}{identifier}", reference, struct.calcsize(f">{identifier}H")))
