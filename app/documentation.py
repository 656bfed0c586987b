"""What OpenAPI says of the routes: bodies, replies and worked examples."""

from pathlib import Path
from typing import Any, Literal

import orjson
from fastapi import FastAPI
from pydantic import BaseModel, Field

from app.bodies import FORM, IMAGE_TYPES, JSON, RAW
from app.keys import open_paths
from app.settings import Settings
from digits.features import CLASSES, FEATURES, SIDE

EXAMPLES = Path(__file__).parent / "static" / "examples"
"""seven.png, seven.json and seven.bin, the first MNIST test image in three forms; photo.jpg, a four on paper."""

DESCRIPTION = """
Which handwritten digit is on the picture? A dense network, trained on MNIST as a statistics lecture teaches it, answers
with ten probabilities.

Pictures to try it with: [seven.png](examples/seven.png), [seven.json](examples/seven.json) and
[seven.bin](examples/seven.bin) (784 bytes) are one and the same handwritten seven; [photo.jpg](examples/photo.jpg) is a
four on paper, in uneven light.
"""


class ModelName(BaseModel):
    """The version that made the answer."""

    name: str
    version: int


class Prediction(BaseModel):
    """The answer for one picture."""

    digit: int = Field(ge=0, le=9, description="The most probable digit.")
    probability: float = Field(ge=0, le=1, description="Its probability.")
    probabilities: list[float] = Field(
        min_length=CLASSES, max_length=CLASSES, description="Of the digits 0 to 9, in this order; they sum to 1."
    )
    preprocessing: list[str] = Field(
        description="What was done to the picture before the network saw it, in order; empty for one in MNIST form."
    )
    model: ModelName
    pixels: list[list[int]] | None = Field(
        None, description="With `?include=pixels`: the 28 rows of 28 grey values that the network saw, 255 full ink."
    )


class Predictions(BaseModel):
    """The answers for several pictures, in the order sent."""

    predictions: list[Prediction]


class KnownVersion(BaseModel):
    """One version of the model."""

    version: int
    shipped: bool = Field(description="It came with the code, else it was published below `MNIST_MODEL_DIR`.")
    state: Literal["serving", "available", "refused"] = Field(
        description="`serving`: it answers. `available`: others come before it, and nobody has looked whether it is "
        "whole; that is done when its turn comes. `refused`: it is damaged, and nothing is served from it."
    )
    reason: str | None = Field(
        description="Why it was refused. Of the serving one: why it could not be loaded once more, from its folder as "
        "it is now."
    )


class Versions(BaseModel):
    """What there is to serve."""

    pinned: int | None = Field(description="The only version that may be served (`MNIST_MODEL_VERSION`).")
    versions: list[KnownVersion] = Field(
        description="Highest first, at most a thousand of each place. Published ones are served before shipped ones."
    )


class Culprit(BaseModel):
    """One part of the body that is at fault."""

    pointer: str = Field(description="JSON pointer (RFC 6901) to it.")
    detail: str


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = Field(description="Names the error for programs; `about:blank` where the status says it all.")
    title: str
    status: int
    detail: str = Field(description="What was expected and what came.")
    errors: list[Culprit] | None = None


def _problem(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


PROBLEM = _problem("No model is ready, or too much is asked at once; `Retry-After` says when to ask again")
NOT_FOUND = _problem("The report of the served version has no such file")
REPORT: dict[str, Any] = {
    "description": "The file",
    "content": {
        kind: {"schema": {"type": "string"} | ({"format": "binary"} if kind == "image/png" else {})}
        for kind in ("image/png", "text/plain", "text/csv")
    },
}

_NUMBER = {"type": "number", "minimum": 0, "maximum": 255}
_PICTURE = {
    "description": f"{SIDE} rows of {SIDE} numbers, or {FEATURES} numbers row by row",
    "oneOf": [
        {
            "type": "array",
            "minItems": SIDE,
            "maxItems": SIDE,
            "items": {"type": "array", "minItems": SIDE, "maxItems": SIDE, "items": _NUMBER},
        },
        {"type": "array", "minItems": FEATURES, "maxItems": FEATURES, "items": _NUMBER},
    ],
}
_SCALE = {
    "type": "string",
    "enum": ["0-255", "0-1"],
    "default": "0-255",
    "description": "`0-255`: whole numbers, as MNIST's raw data; `0-1`: floats, as after the division by 255.",
}
_JSON_BODY = {
    "oneOf": [
        {
            "type": "object",
            "title": "One picture",
            "required": ["pixels"],
            "properties": {"pixels": _PICTURE, "scale": _SCALE},
            "additionalProperties": False,
        },
        {
            "type": "object",
            "title": "Several pictures",
            "required": ["instances"],
            "properties": {"instances": {"type": "array", "minItems": 1, "items": _PICTURE}, "scale": _SCALE},
            "additionalProperties": False,
        },
    ]
}


def _json_examples() -> dict[str, Any]:
    rows = orjson.loads((EXAMPLES / "seven.json").read_bytes())["pixels"]
    flat = [value for row in rows for value in row]
    return {
        "rows": {"summary": "28 rows of 28, 0 to 255", "value": {"pixels": rows}},
        "flat": {"summary": "784 numbers, 0 to 255", "value": {"pixels": flat}},
        "floats": {
            "summary": "784 floats, 0 to 1",
            "value": {"pixels": [round(value / 255, 4) for value in flat], "scale": "0-1"},
        },
        "batch": {"summary": "two pictures", "value": {"instances": [rows, flat]}},
    }


def _binary(description: str) -> dict[str, Any]:
    return {"schema": {"type": "string", "format": "binary", "description": description}}


_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer KEY`"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def install(app: FastAPI, settings: Settings) -> None:
    """Have OpenAPI know what no route says itself: the schema of error replies, and where a key is wanted."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["schemas"] |= {**schema.pop("$defs"), "Problem": schema}
        if settings.api_keys:
            document["components"]["securitySchemes"] = _KEYS
            for path in document["paths"].keys() - open_paths(settings):
                for operation in document["paths"][path].values():
                    operation["security"] = [{"bearer": []}, {"header": []}]
                    operation["responses"]["401"] = _problem("No known API key")
        return document

    app.openapi = openapi  # type: ignore[method-assign]


PREDICT: dict[str, Any] = {
    "summary": "Which digit is on the picture?",
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": _JSON_BODY, "examples": _json_examples()},
                FORM: {
                    "schema": {
                        "type": "object",
                        "required": ["file"],
                        "properties": {
                            "file": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"type": "string", "format": "binary"},
                                "description": "One encoded picture gives one prediction, several give a list.",
                            }
                        },
                    },
                },
                **{kind: _binary("An encoded picture of one digit, of any size.") for kind in IMAGE_TYPES},
                RAW: _binary(
                    f"Exactly {FEATURES} bytes, the grey values, row by row; a multiple of it for several pictures."
                ),
            },
        }
    },
    "responses": {
        200: {
            "description": "One prediction, or a list of them where several pictures were sent",
            "model": Prediction | Predictions,
        },
        400: _problem("The body cannot be parsed"),
        408: _problem("The body did not come in time"),
        413: _problem("Too many bytes, pixels or pictures"),
        415: _problem("A content type or picture format that is not accepted"),
        422: _problem("The body parses and is not what was asked for"),
        503: PROBLEM,
    },
}
