"""Write an inference result as a TensorFlow Serving reply."""

from typing import Any

from app.asgi.route import Reply
from app.inference.batching import BatchResult


def predict_reply(key: str, result: BatchResult) -> Reply:
    """Return a JSON object that maps `key` to the probabilities of each picture.

    If the key is "results", each probability comes with its label.
    """
    values: Any = result.probabilities
    if key == "results":
        values = [list(zip(result.classifier.manifest.classes, row, strict=True)) for row in values]
    return Reply.of({key: values}, result.classifier.model_id, result.pass_rows)
