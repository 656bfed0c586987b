"""Complete FastAPI's OpenAPI document: groups, API keys, and the headers and errors of all operations."""

from typing import Any

from app.openapi import example_pictures
from app.openapi.replies import REQUEST_ID, unauthorized

DESCRIPTION = f"""
Which handwritten digit is in the picture? A dense network answers with ten probabilities. It was trained on MNIST as a
statistics lecture teaches it.

Example pictures: [seven.png](examples/seven.png), [seven.json](examples/seven.json) and
[seven.bin](examples/seven.bin) (784 bytes) contain the same handwritten seven. [photo.jpg](examples/photo.jpg) shows a
four on paper in uneven light, [number.jpg](examples/number.jpg) the number 4071. There are more:

{example_pictures.table()}
"""

_TAGS = {
    "Predict": "Recognize digits.",
    "Model": "What is served: manifest, versions, model card and report.",
    "Health": "Probes for orchestrators, a summary for people, and metrics.",
    "TensorFlow Serving": "The REST API of TensorFlow Serving, for its clients.",
    "Open Inference Protocol": "The protocol of KServe and Triton, for their clients.",
    "SageMaker and MLflow": "The two paths that these platforms call.",
}
"""The groups of operations, in the order in which the page shows them."""

_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer KEY`"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def complete(document: dict[str, Any], *, open_paths: frozenset[str], requires_keys: bool) -> dict[str, Any]:
    """Return FastAPI's OpenAPI document with what cannot be derived from the declarations of the routes.

    `open_paths` are those that never need an API key. If this service requires no keys, they are optional elsewhere, so
    that clients which are generated from its document know keys and the 401 of services that require them.
    """
    document["tags"] = [{"name": name, "description": text} for name, text in _TAGS.items()]
    schemas = document["components"]["schemas"]
    # The service leaves out the manifest's checksums.
    del schemas["Manifest"]["properties"]["files"]
    schemas["Manifest"]["required"].remove("files")
    # FastAPI's 422 reply never occurs, because the path parameters are plain strings.
    del schemas["HTTPValidationError"], schemas["ValidationError"]
    document["components"]["securitySchemes"] = _KEYS
    without_key: list[dict[str, list[str]]] = [] if requires_keys else [{}]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path not in open_paths:
                operation["security"] = [*without_key, {"bearer": []}, {"header": []}]
                operation["responses"]["401"] = unauthorized(path)
            for parameter in operation.get("parameters", []):
                if parameter["schema"].get("type") == "array":
                    parameter["explode"] = False  # commas between the values, instead of a parameter for each
            operation["responses"] = {
                status: reply | {"headers": reply.get("headers", {}) | REQUEST_ID}
                for status, reply in operation["responses"].items()
                if "HTTPValidationError" not in str(reply)
            }
    return document
