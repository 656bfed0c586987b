"""Teach Schemathesis to send pictures: digits, blank pictures and noise in every format, some of them damaged."""

import numpy as np
import schemathesis
from hypothesis import strategies as st
from PIL import Image

from app.input.pictures import IMAGE_TYPES, RAW
from app.openapi.example_pictures import EXAMPLES
from tests.conftest import encoded

SEVEN = Image.open(EXAMPLES / "seven.png").convert("L")
BLANK = Image.new("L", (28, 28))
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8))


@st.composite
def pictures(draw: st.DrawFn, media_type: str) -> bytes:
    """Draw a picture file: dark on light or light on dark, anywhere on a page, grey or in colour."""
    picture = draw(st.sampled_from([SEVEN, SEVEN, BLANK, NOISE]))
    if draw(st.booleans()):
        page = Image.new("L", (draw(st.integers(28, 200)), draw(st.integers(28, 200))))
        page.paste(picture, (draw(st.integers(0, page.width - 28)), draw(st.integers(0, page.height - 28))))
        picture = page.point([255 - level for level in range(256)]) if draw(st.booleans()) else page
    picture = picture.convert(draw(st.sampled_from(["L", "RGB"])))
    content = bytearray(encoded(picture, format=media_type.removeprefix("image/")))
    for position in draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[position] = draw(st.integers(0, 255))
    return bytes(content)


for media_type in IMAGE_TYPES:
    schemathesis.openapi.media_type(media_type, pictures(media_type))

raw = st.sampled_from([SEVEN.tobytes(), BLANK.tobytes(), NOISE.tobytes()])
schemathesis.openapi.media_type(RAW, st.lists(raw, min_size=1, max_size=3).map(b"".join) | st.binary(max_size=1000))
