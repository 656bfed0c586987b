"""The request bodies that the benchmarks send."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from digits.artifact import SHIPPED
from digits.classifier import Golden
from digits.features import Grey

MODEL = SHIPPED / "mnist-dense/1"
"""The model version that every service loads."""
GOLDEN = Golden.from_json((MODEL / "golden.json").read_bytes())
"""The ten digits that are sent, with the probabilities that a service must reply."""


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """One way to send a picture."""

    name: str
    headers: Mapping[str, str]
    encode: Callable[[Grey], bytes]
    path: str = "/predict"


def compact_json(document: Any) -> bytes:
    """Encode JSON without spaces, as browsers and httpx do."""
    return json.dumps(document, separators=(",", ":")).encode()


def png(pixels: Grey) -> bytes:
    """Encode a picture as a PNG file."""
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "png")
    return encoded.getvalue()


def _drawing(pixels: Grey) -> bytes:
    """Encode a picture as the drawing page does: dark on white, 280x280 pixels, PNG."""
    large = Image.fromarray(pixels).resize((280, 280), Image.Resampling.BICUBIC)
    return png(255 - np.asarray(large))


JSON = Body("JSON", {"Content-Type": "application/json"}, lambda pixels: compact_json({"pixels": pixels.tolist()}))
RAW = Body("raw bytes", {"Content-Type": "application/octet-stream"}, lambda pixels: pixels.tobytes())
PNG = Body("PNG", {"Content-Type": "image/png"}, png)
DRAWING = Body("drawing, 280x280", PNG.headers, _drawing)
