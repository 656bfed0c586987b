"""The example replies of the API documentation: JSON files, which tests compare with what the service replies."""

from pathlib import Path
from typing import Any

import orjson

_FOLDER = Path(__file__).parent / "reply_examples"


def examples(name: str) -> dict[str, Any]:
    """Return the examples in a file of the folder `reply_examples`."""
    content: dict[str, Any] = orjson.loads((_FOLDER / f"{name}.json").read_bytes())
    return content
