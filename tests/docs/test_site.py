"""The documents build as a site, and every link in the repository's Markdown files leads somewhere."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.conftest import REPOSITORY

DOCS = REPOSITORY / "docs"
SITE = REPOSITORY / "reports/site"
LINK = re.compile(r"!?\[[^]]*\]\(<?([^)\s>]+)>?\)")
PATH = re.compile(r"`((?:app|benchmarks|cli|deploy|digits|docs|tests|training)/[\w./-]+)`")
MODULE = re.compile(r"python -m ((?:app|benchmarks|cli|deploy|digits|tests|training)[\w.]*)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
CODE = re.compile(r"^ *```.*?^ *```$|`[^`\n]+`", re.DOTALL | re.MULTILINE)
BUILD_SECONDS = 120


FOLDERS = ("app", "benchmarks", "deploy", "digits", "docs", "models", "tests", "training")


def markdown_files() -> list[Path]:
    names = [path.relative_to(REPOSITORY) for folder in FOLDERS for path in sorted((REPOSITORY / folder).rglob("*.md"))]
    visible = [REPOSITORY / name for name in names if not any(part.startswith(".") for part in name.parts)]
    return [*sorted(REPOSITORY.glob("*.md")), *visible]


WRITTEN_BY_HAND = [path for path in markdown_files() if "models/mnist-dense" not in path.as_posix()]
"""The model cards are published files, which never change."""


def anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub and the site give to a document's headings."""
    text = re.sub(r"^ *```.*?^ *```$", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in HEADING.findall(text)]
    return {re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in headings}


def broken_links(document: Path) -> list[str]:
    """Return the relative links of a document that lead to no file, or to no heading in it."""
    broken = []
    for link in LINK.findall(CODE.sub("", document.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("document", markdown_files(), ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_every_relative_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    assert broken_links(document) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("# Here\n\n[a](#here) [b](page.md#here) [c](#there) [d](other.md) ![e](e.png) `[f](f.md)`\n")

    broken = broken_links(document)

    assert broken == ["#there", "other.md", "e.png"]


def missing_modules(text: str) -> list[str]:
    """Return the modules that a text runs with `python -m` and that do not exist."""
    modules = [REPOSITORY / module.rstrip(".").replace(".", "/") for module in MODULE.findall(text)]
    return [str(module) for module in modules if not module.with_suffix(".py").exists() and not module.is_dir()]


@pytest.mark.parametrize("document", WRITTEN_BY_HAND, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_every_path_and_module_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text()

    assert [path for path in PATH.findall(text) if not (REPOSITORY / path).exists()] == []
    assert missing_modules(text) == []


@pytest.mark.parametrize("package", ["app", "benchmarks", "deploy", "digits", "tests", "training"])
def test_every_module_that_the_code_tells_people_to_run_exists(package: str) -> None:
    texts = {file.name: file.read_text() for file in (REPOSITORY / package).rglob("*.py")}

    assert {name: missing for name, text in texts.items() if (missing := missing_modules(text))} == {}


@pytest.fixture(scope="module")
def build() -> subprocess.CompletedProcess[str]:
    """The result of `make docs`, which writes the site to reports/site."""
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)


def test_the_site_builds_without_a_warning(build: subprocess.CompletedProcess[str]) -> None:
    warnings = re.sub(r"\x1b\[[\d;]*m", "", build.stderr)

    assert build.returncode == 0, warnings[:2000]
    assert (SITE / "reference/http-api/index.html").exists()


@pytest.mark.usefixtures("build")
def test_the_site_loads_nothing_from_other_servers() -> None:
    page = (SITE / "index.html").read_text()

    assert re.findall(r"""(?:src|href)="(https?://[^"]*\.(?:js|css|woff2?)[^"]*)""", page) == []


def test_every_page_is_in_the_navigation() -> None:
    navigation = (REPOSITORY / "zensical.toml").read_text()
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}

    listed = set(re.findall(r'"([\w/.-]+\.md)"', navigation))
    decisions = set(re.findall(r"\((\d{4}-[\w-]+\.md)\)", (DOCS / "decisions/README.md").read_text()))

    assert listed | {f"decisions/{name}" for name in decisions} == pages


def test_the_readme_fits_on_one_page() -> None:
    lines = (REPOSITORY / "README.md").read_text().splitlines()

    assert len(lines) <= 120
