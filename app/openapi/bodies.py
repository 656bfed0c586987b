"""The request bodies of `POST /predict` and `POST /read`, in eight media types that FastAPI cannot describe."""

from typing import Any

from app.input.pictures import FORM, IMAGE_TYPES, JSON, RAW
from app.openapi.example_pictures import json_examples
from digits.features import FEATURES, SIDE


def _picture_bodies(description: str, reply: str) -> dict[str, Any]:
    """Return the bodies of encoded pictures: a form, or one picture, which gets `reply`."""
    text = f"Send one picture to get {reply}, or several to get a list."
    files = {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}, "description": text}
    form = {
        "schema": {"type": "object", "required": ["file"], "properties": {"file": files}},
        "encoding": {"file": {"contentType": ", ".join(IMAGE_TYPES)}},
    }
    return {FORM: form, **{kind: _binary(description) for kind in IMAGE_TYPES}}


def _binary(description: str) -> dict[str, Any]:
    return {"schema": {"type": "string", "format": "binary", "description": description}}


def _json_body(title: str, name: str, scale: str) -> dict[str, Any]:
    """Return the schema of a JSON body with pixels of one scale. Only the scale 0-255 may be left out."""
    is_whole = scale == "0-255"
    number = {"type": "integer" if is_whole else "number", "minimum": 0, "maximum": 255 if is_whole else 1}
    row, flat = ({"type": "array", "minItems": size, "maxItems": size, "items": number} for size in (SIDE, FEATURES))
    picture = {
        "description": f"{SIDE} rows of {SIDE} numbers, or {FEATURES} numbers row by row",
        "oneOf": [row | {"items": row}, flat],
    }
    text = "Whole numbers like MNIST's raw data." if is_whole else "Floats: the raw data divided by 255."
    scale_schema = {"type": "string", "enum": [scale], "description": text}
    return {
        "type": "object",
        "title": f"{title}, {scale.replace('-', ' to ')}",
        "required": [name] if is_whole else [name, "scale"],
        "properties": {
            name: picture if name == "pixels" else {"type": "array", "minItems": 1, "items": picture},
            "scale": scale_schema | ({"default": scale} if is_whole else {}),
        },
        "additionalProperties": False,
    }


_JSON_BODIES = [
    _json_body(title, name, scale)
    for title, name in (("One picture", "pixels"), ("Several pictures", "instances"))
    for scale in ("0-255", "0-1")
]

PREDICT_BODY = {
    "required": True,
    "content": {
        **_picture_bodies("An encoded picture of one digit, of any size.", "one prediction"),  # first in /docs
        JSON: {"schema": {"oneOf": _JSON_BODIES}, "examples": json_examples()},
        RAW: _binary(
            f"Exactly {FEATURES} bytes: the grey values row by row. For several pictures, a multiple of {FEATURES} "
            "bytes."
        ),
    },
}

READ_BODY = {"required": True, "content": _picture_bodies("An encoded picture of digits, of any size.", "one number")}
