"""Write the service's OpenAPI document to docs/reference/openapi.json.

python -m docs.openapi

Run it whenever the API or its documentation changes.
"""

import asyncio
import json
import re
from pathlib import Path

import httpx

from app.main import create_app
from app.settings import Settings

FILE = Path(__file__).resolve().parent / "reference/openapi.json"


async def download() -> dict[str, object]:
    """Return the document as the service with default settings replies it."""
    transport = httpx.ASGITransport(create_app(Settings()))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        reply = await client.get("/openapi.json")
    document: dict[str, object] = reply.raise_for_status().json()
    return document


if __name__ == "__main__":
    text = json.dumps(asyncio.run(download()), indent=2, ensure_ascii=False)
    # Each list of numbers takes one line. Otherwise the example pictures would take thousands.
    text = re.sub(r"\[[\s\d.e,-]+\]", lambda numbers: re.sub(r"\s+", "", numbers[0]), text)
    FILE.write_text(text + "\n")
