"""`POST /read` in the OpenAPI document."""

from typing import Any

from pydantic import BaseModel

from app.openapi.example_replies import NUMBERS
from app.openapi.predict import REFUSALS, answer, picture_bodies, query_parameters


def read_paths(options: type[BaseModel]) -> dict[str, Any]:
    """Return the path item of `POST /read`.

    Args:
        options: the model of the query parameters.
    """
    return {
        "/read": {
            "post": {
                "tags": ["Predict"],
                "summary": "Recognize numbers of several digits",
                "description": "Read all digits on a picture: lines from top to bottom, and the digits of each line "
                "from left to right. Digits may touch. Each has a box and says how far to trust it.",
                "operationId": "read",
                "parameters": query_parameters(options),
                "requestBody": {
                    "required": True,
                    "content": picture_bodies("An encoded picture of digits, of any size.", "one number"),
                },
                "responses": {
                    "200": answer(
                        "The digits on a picture, or a list for several pictures", ["Number", "Numbers"], NUMBERS
                    ),
                    **REFUSALS,
                },
            }
        }
    }
