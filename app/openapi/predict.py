"""`POST /predict` in the OpenAPI document."""

from typing import Any

from pydantic import BaseModel

from app.input.pictures import FORM, IMAGE_TYPES, JSON, RAW
from app.openapi.example_pictures import json_examples
from app.openapi.example_replies import PREDICTIONS
from app.openapi.replies import UNAVAILABLE, header, problem, reference
from digits.features import FEATURES, SIDE


def predict_paths(options: type[BaseModel]) -> dict[str, Any]:
    """Return the path item of `POST /predict`.

    Args:
        options: the model of the query parameters.
    """
    return {
        "/predict": {
            "post": {
                "tags": ["Predict"],
                "summary": "Recognize digits",
                "description": "Recognize the digit in a picture that was drawn, scanned or photographed, dark on "
                "light or light on dark. Several pictures get a list of predictions, in the order sent.",
                "operationId": "predict",
                "parameters": query_parameters(options),
                "requestBody": {"required": True, "content": _body()},
                "responses": {
                    "200": answer(
                        "One prediction, or a list of predictions for several pictures",
                        ["Prediction", "Predictions"],
                        PREDICTIONS,
                    ),
                    **REFUSALS,
                },
            }
        }
    }


def query_parameters(options: type[BaseModel]) -> list[dict[str, Any]]:
    """Return one optional parameter per field."""
    parameters = []
    for name, field in options.model_json_schema()["properties"].items():
        schema = {key: value for key, value in field.items() if (key, value) != ("default", None)}
        parameters.append(
            {"name": name, "in": "query", "required": False, "schema": schema, "description": field["description"]}
        )
    return parameters


def _body() -> dict[str, Any]:
    pictures = picture_bodies("An encoded picture of one digit, of any size.", "one prediction")
    return {
        FORM: pictures.pop(FORM),
        JSON: {"schema": _JSON_BODY, "examples": json_examples()},
        **pictures,
        RAW: _binary(
            f"Exactly {FEATURES} bytes: the grey values row by row. For several pictures, a multiple of {FEATURES} "
            "bytes."
        ),
    }


def picture_bodies(description: str, reply: str) -> dict[str, Any]:
    """Return the bodies of encoded pictures: a form, or one picture, which gets `reply`."""
    form = {
        "schema": {
            "type": "object",
            "required": ["file"],
            "properties": {
                "file": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "string", "format": "binary"},
                    "description": f"Send one picture to get {reply}, or several to get a list.",
                }
            },
        },
        "encoding": {"file": {"contentType": ", ".join(IMAGE_TYPES)}},
    }
    return {FORM: form, **{kind: _binary(description) for kind in IMAGE_TYPES}}


def _binary(description: str) -> dict[str, Any]:
    return {"schema": {"type": "string", "format": "binary", "description": description}}


def _json_body(title: str, name: str, scale: str) -> dict[str, Any]:
    """Return the schema of a JSON body with pixels of one scale. Only the scale 0-255 may be left out."""
    is_whole = scale == "0-255"
    number = {"type": "integer" if is_whole else "number", "minimum": 0, "maximum": 255 if is_whole else 1}
    row = {"type": "array", "minItems": SIDE, "maxItems": SIDE, "items": number}
    picture = {
        "description": f"{SIDE} rows of {SIDE} numbers, or {FEATURES} numbers row by row",
        "oneOf": [
            {"type": "array", "minItems": SIDE, "maxItems": SIDE, "items": row},
            {"type": "array", "minItems": FEATURES, "maxItems": FEATURES, "items": number},
        ],
    }
    scale_schema: dict[str, Any] = {
        "type": "string",
        "enum": [scale],
        "description": "Whole numbers like MNIST's raw data." if is_whole else "Floats: the raw data divided by 255.",
    }
    if is_whole:
        scale_schema["default"] = scale
    return {
        "type": "object",
        "title": f"{title}, {scale.replace('-', ' to ')}",
        "required": [name] if is_whole else [name, "scale"],
        "properties": {
            name: picture if name == "pixels" else {"type": "array", "minItems": 1, "items": picture},
            "scale": scale_schema,
        },
        "additionalProperties": False,
    }


_JSON_BODY = {
    "oneOf": [
        _json_body(title, name, scale)
        for title, name in (("One picture", "pixels"), ("Several pictures", "instances"))
        for scale in ("0-255", "0-1")
    ]
}


def answer(description: str, schemas: list[str], examples: dict[str, Any]) -> dict[str, Any]:
    """Return the reply of a request that is answered with one of the schemas."""
    return {
        "description": description,
        "content": {JSON: {"schema": {"anyOf": [reference(name) for name in schemas]}, "examples": examples}},
        "headers": {"X-Model-Version": header("The version that answered.", type="integer", minimum=1)},
    }


REFUSALS: dict[str, Any] = {
    "400": problem(400, "The body cannot be parsed"),
    "408": problem(408, "The body did not arrive in time"),
    "413": problem(413, "Too many bytes, pixels, pictures or digits"),
    "415": problem(415, "The content type or picture format is not accepted"),
    "422": problem(422, "The body can be parsed, but its content is wrong"),
    "503": UNAVAILABLE,
}
"""The error replies of requests with pictures."""
