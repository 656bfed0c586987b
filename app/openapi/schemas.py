"""What OpenAPI says of the routes: bodies, replies and worked examples."""

from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from fastapi import FastAPI
from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from app.input.pictures import FORM, IMAGE_TYPES, JSON, RAW
from digits.artifact import Manifest
from digits.features import CLASSES, FEATURES, SIDE

EXAMPLES = Path(__file__).parent / "examples"
"""seven.png, seven.json and seven.bin, the first MNIST test image in three forms; photo.jpg, a four on paper."""

DESCRIPTION = """
Which handwritten digit is on the picture? A dense network, trained on MNIST as a statistics lecture teaches it, answers
with ten probabilities.

Pictures to try it with: [seven.png](examples/seven.png), [seven.json](examples/seven.json) and
[seven.bin](examples/seven.bin) (784 bytes) are one and the same handwritten seven; [photo.jpg](examples/photo.jpg) is a
four on paper, in uneven light.
"""


def _without_default(schema: dict[str, Any]) -> None:
    """A field that is left out where there is nothing to say; it is never null."""
    del schema["default"]


_Row = Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=SIDE, max_length=SIDE)]
_Pixels = Annotated[list[_Row], Field(min_length=SIDE, max_length=SIDE)]
_Signed = Annotated[list[float], Field(min_length=SIDE, max_length=SIDE)]
_Saliency = Annotated[list[_Signed], Field(min_length=SIDE, max_length=SIDE)]
_Digit = Annotated[int, Field(ge=0, le=CLASSES - 1)]


class ModelName(BaseModel):
    """The version that made the answer."""

    name: str
    version: int = Field(ge=1)


class Prediction(BaseModel):
    """The answer for one picture."""

    digit: int = Field(ge=0, le=9, description="The most probable digit.")
    probability: float = Field(ge=0, le=1, description="Its probability.")
    probabilities: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        min_length=CLASSES, max_length=CLASSES, description="Of the digits 0 to 9, in this order; they sum to 1."
    )
    prediction_set: Annotated[list[_Digit], Field(max_length=CLASSES)] | SkipJsonSchema[None] = Field(
        None,
        description="The digits that it may be: of pictures like those that the version was calibrated on, the true "
        "one is among them as often as `coverage` says. Empty: no digit is probable enough for that. Left out where "
        "the version was not calibrated.",
        examples=[[4, 9]],
        json_schema_extra=_without_default,
    )
    coverage: Annotated[float, Field(gt=0, lt=1)] | SkipJsonSchema[None] = Field(
        None,
        description="What the set is made for: `?coverage=`, which is 0.99 unless it is given.",
        examples=[0.99],
        json_schema_extra=_without_default,
    )
    is_digit: bool | SkipJsonSchema[None] = Field(
        None,
        description="Whether the picture is enough like a digit: its novelty is at most 1. Left out where the version "
        "cannot tell.",
        json_schema_extra=_without_default,
    )
    novelty: float | SkipJsonSchema[None] = Field(
        None,
        description="How unlike a digit it is: about 0 is a usual one, above 1 it is taken for none.",
        examples=[0.31],
        json_schema_extra=_without_default,
    )
    preprocessing: list[str] = Field(
        description="What was done to the picture before the network saw it, in order; empty for one in MNIST form."
    )
    model: ModelName
    pixels: _Pixels | SkipJsonSchema[None] = Field(
        None,
        description="With `?include=pixels`: the 28 rows of 28 grey values that the network saw, 255 full ink.",
        json_schema_extra=_without_default,
    )
    saliency: _Saliency | SkipJsonSchema[None] = Field(
        None,
        description="With `?include=saliency`: 28 rows of 28, how much each of these pixels speaks for the digit "
        "(positive) or against it (negative): the pixel times the gradient of the digit's logit above the mean of all.",
        json_schema_extra=_without_default,
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


class State(BaseModel):
    """What a probe says."""

    status: Literal["alive", "starting", "started", "unready", "ready"]
    reason: str | SkipJsonSchema[None] = Field(
        None, description="Why it is unready.", json_schema_extra=_without_default
    )


class Health(BaseModel):
    """How the service is."""

    status: Literal["unready", "ready"]
    reason: str | None = Field(description="Why it is unready.")
    model: ModelName | None = Field(description="What is served.")
    version: str = Field(description="Of the service.")


class Culprit(BaseModel):
    """One part of the body that is at fault."""

    pointer: str = Field(description="JSON pointer (RFC 6901) to it.")
    detail: str


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = Field(description="Names the error for programs; `about:blank` where the status says it all.")
    title: str
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="What was expected and what came.")
    errors: Annotated[list[Culprit], Field(min_length=1)] | SkipJsonSchema[None] = Field(
        None, json_schema_extra=_without_default
    )


def _header(description: str, **schema: Any) -> dict[str, Any]:
    return {"description": description, "required": True, "schema": schema}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _problem(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": _reference("Problem")}},
    }


_RETRY = {"Retry-After": _header("Seconds after which to ask again.", type="integer", minimum=0)}
_CHALLENGE = {"WWW-Authenticate": _header("How to bring one.", type="string")}
_TAG = {"ETag": _header("Names the content, for `If-None-Match`.", type="string")}
_REQUEST_ID = {
    "X-Request-ID": _header("The request's name in the log: its own, if it has a usable one.", type="string")
}

PROBLEM = _problem("No model is ready, or too much is asked at once") | {"headers": _RETRY}
NOT_FOUND = _problem("The report of the served version has no such file")
NO_CARD = _problem("The served version has no model card")
UNCHANGED = {"description": "It is the one that `If-None-Match` named", "headers": _TAG}
MANIFEST = {"description": "The manifest", "content": {JSON: {"schema": _reference("Manifest")}}}
CARD: dict[str, Any] = {
    "description": "The page",
    "headers": _TAG,
    "content": {"text/html": {"schema": {"type": "string"}}},
}
REPORT: dict[str, Any] = {
    "description": "The file",
    "headers": _TAG,
    "content": {
        kind: {"schema": {"type": "string"} | ({"format": "binary"} if kind == "image/png" else {})}
        for kind in ("image/png", "text/plain", "text/csv")
    },
}


def unready(description: str, model: type[BaseModel] = State) -> dict[str, Any]:
    """A probe's 503."""
    return {"description": description, "model": model, "headers": _RETRY}


def _json_body(title: str, name: str, scale: str) -> dict[str, Any]:
    """An object with pixels of that scale; where the scale is 0-255 it need not be said."""
    as_bytes = scale == "0-255"
    number = {"type": "integer" if as_bytes else "number", "minimum": 0, "maximum": 255 if as_bytes else 1}
    row = {"type": "array", "minItems": SIDE, "maxItems": SIDE, "items": number}
    picture = {
        "description": f"{SIDE} rows of {SIDE} numbers, or {FEATURES} numbers row by row",
        "oneOf": [
            {"type": "array", "minItems": SIDE, "maxItems": SIDE, "items": row},
            {"type": "array", "minItems": FEATURES, "maxItems": FEATURES, "items": number},
        ],
    }
    pictures = picture if name == "pixels" else {"type": "array", "minItems": 1, "items": picture}
    said = {
        "type": "string",
        "enum": [scale],
        "description": "whole numbers, as MNIST's raw data" if as_bytes else "floats, as after the division by 255",
    }
    return {
        "type": "object",
        "title": f"{title}, {scale.replace('-', ' to ')}",
        "required": [name] if as_bytes else [name, "scale"],
        "properties": {name: pictures, "scale": said | ({"default": scale} if as_bytes else {})},
        "additionalProperties": False,
    }


_JSON_BODY = {
    "oneOf": [
        _json_body(title, name, scale)
        for title, name in (("One picture", "pixels"), ("Several pictures", "instances"))
        for scale in ("0-255", "0-1")
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


def install(app: FastAPI, *, without_key: frozenset[str] | None) -> None:
    """Have OpenAPI know what no route says itself: schemas of what is returned as it is, and where a key is wanted.

    Args:
        app: whose OpenAPI.
        without_key: the paths that need none; None where there are no keys.
    """
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document["components"]["schemas"]
        for model in (Problem, Manifest):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
            schemas |= {**schema.pop("$defs"), model.__name__: schema}
        del schemas["Manifest"]["properties"]["files"]
        schemas["Manifest"]["required"].remove("files")
        # FastAPI's own 422 never comes: a path parameter is any text, and what else there is we check.
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        for operations in document["paths"].values():
            for operation in operations.values():
                replies = operation["responses"]
                if "HTTPValidationError" in str(replies.get("422")):
                    del replies["422"]
                for reply in replies.values():
                    reply["headers"] = reply.get("headers", {}) | _REQUEST_ID
        if without_key is not None:
            document["components"]["securitySchemes"] = _KEYS
            for path in document["paths"].keys() - without_key:
                for operation in document["paths"][path].values():
                    operation["security"] = [{"bearer": []}, {"header": []}]
                    operation["responses"]["401"] = _problem("No known API key") | {"headers": _CHALLENGE | _REQUEST_ID}
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
                    "encoding": {"file": {"contentType": ", ".join(IMAGE_TYPES)}},
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
            "headers": {"X-Model-Version": _header("Of the version that answered.", type="integer", minimum=1)},
        },
        400: _problem("The body cannot be parsed"),
        408: _problem("The body did not come in time"),
        413: _problem("Too many bytes, pixels or pictures"),
        415: _problem("A content type or picture format that is not accepted"),
        422: _problem("The body parses and is not what was asked for"),
        503: PROBLEM,
    },
}
