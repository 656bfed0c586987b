"""The example pictures of the API documentation."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import orjson

EXAMPLES = Path(__file__).parent / "examples"
"""seven.png, seven.json and seven.bin are the first MNIST test image in three forms; photo.jpg is a four on paper.

number.jpg is a photo of the number 4071. docs/example_pictures.py makes the others, whose names say what they show.
"""

SEVEN_BASE64 = b64encode((EXAMPLES / "seven.png").read_bytes()).decode()


def table() -> str:
    """Return links to a photo, a scan and a drawing of each digit, and to pictures of numbers, as Markdown."""
    rows = ["| Kind | One digit | Numbers |", "| --- | --- | --- |"]
    for kind, suffix in (("photo", "jpg"), ("scan", "jpg"), ("drawing", "png")):
        digits = " ".join(f"[{digit}](examples/{kind}-{digit}.{suffix})" for digit in range(10))
        files = sorted(EXAMPLES.glob(f"{kind}-[0-9][0-9]*.*"))
        numbers = ", ".join(f"[{' / '.join(file.stem.split('-')[1:])}](examples/{file.name})" for file in files)
        rows.append(f"| {kind}s | {digits} | {numbers} |")
    return "\n".join(rows)


def json_examples() -> dict[str, Any]:
    """Return the JSON bodies that `POST /predict` offers for trying."""
    rows = orjson.loads((EXAMPLES / "seven.json").read_bytes())["pixels"]
    flat = [value for row in rows for value in row]
    floats = [round(value / 255, 4) for value in flat]
    return {
        "rows": {"summary": "28 rows of 28 numbers, 0 to 255", "value": {"pixels": rows}},
        "flat": {"summary": "784 numbers, 0 to 255", "value": {"pixels": flat}},
        "floats": {"summary": "784 floats, 0 to 1", "value": {"pixels": floats, "scale": "0-1"}},
        "batch": {"summary": "two pictures", "value": {"instances": [rows, flat]}},
    }
