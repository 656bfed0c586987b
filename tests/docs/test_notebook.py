"""The tutorial's notebook runs, and its page shows the same cells."""

import re

import pytest

from docs import notebook
from tests.conftest import WITHOUT_COVERAGE

RESULT = re.compile(r"```text\n.*?\n```\n\n|!\[[^]]*\]\(\.\./images/[^)]*\)\n\n", re.DOTALL)


@pytest.mark.timeout(900)
def test_every_cell_of_the_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    short = notebook.read()
    for cell in short.cells:
        for slow, fast in (
            ("epochs=20", "epochs=2"),
            ("y_more, epochs=5", "y_more, epochs=1"),
            ("range(6)", "range(2)"),
        ):
            cell.source = cell.source.replace(slow, fast)
    monkeypatch.setattr(notebook, "read", lambda: short)
    for name, value in WITHOUT_COVERAGE.items():
        monkeypatch.setenv(name, value)

    page, figures = notebook.render(notebook.run())

    assert "digit: 4\n" in page
    assert set(figures) == {file.name for file in notebook.IMAGES.glob("*.png")}


def test_the_page_shows_the_cells_of_the_notebook_which_is_kept_without_results() -> None:
    without_results = RESULT.sub("", notebook.PAGE.read_text())

    assert without_results == notebook.render(notebook.read())[0], "run: python -m docs.notebook"
