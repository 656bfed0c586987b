"""The documents build as a site, and every link in the repository's Markdown files leads somewhere."""

import re
from pathlib import Path
from urllib.parse import unquote

from tests.conftest import REPOSITORY, fresh_python

DOCS = REPOSITORY / "docs"
SITE = REPOSITORY / "reports/site"
FOLDERS = ("app", "benchmarks", "deploy", "digits", "docs", "models", "tests", "training")
LINK = re.compile(r"!?\[[^]]*\]\(<?([^)\s>]+)>?\)")
PATH = re.compile(r"`((?:app|benchmarks|cli|deploy|digits|docs|tests|training)/[\w./-]+)`")
MODULE = re.compile(r"python -m ((?:app|benchmarks|cli|deploy|digits|tests|training)[\w.]*)")
CODE_BLOCK = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)

DOCUMENTS = [
    path
    for path in (
        *REPOSITORY.glob("*.md"),
        *(path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.md")),
    )
    if not any(part.startswith(".") for part in path.relative_to(REPOSITORY).parts)
]


def anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub and the site give to a document's headings."""
    headings = re.findall(r"^#{1,6} +(.+?) *$", CODE_BLOCK.sub("", document.read_text()), re.MULTILINE)
    texts = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    return {re.sub(r"[^\w -]", "", text).replace(" ", "-") for text in texts}


def broken_links(document: Path) -> list[str]:
    """Return the relative links of a document that lead to no file, or to no heading in it."""
    broken = []
    for link in LINK.findall(re.sub(r"`[^`\n]+`", "", CODE_BLOCK.sub("", document.read_text()))):
        path, _, anchor = unquote(link).partition("#")
        target = (document.parent / path).resolve() if path else document
        if not re.match(r"[a-z]+:", link) and (
            not target.exists() or (anchor and anchor not in anchors(target))
        ):  # fmt: skip
            broken.append(link)
    return broken


def test_every_relative_link_leads_to_a_file_and_a_heading() -> None:
    assert {document: broken for document in DOCUMENTS if (broken := broken_links(document))} == {}


def test_every_path_and_module_that_a_document_names_exists() -> None:
    missing = []
    for document in DOCUMENTS:
        if "models/mnist-dense" in document.as_posix():  # the model cards never change
            continue
        text = document.read_text()
        modules = [REPOSITORY / module.rstrip(".").replace(".", "/") for module in MODULE.findall(text)]
        missing += [module for module in modules if not module.with_suffix(".py").exists() and not module.is_dir()]
        missing += [REPOSITORY / path for path in PATH.findall(text) if not (REPOSITORY / path).exists()]

    assert missing == []


def test_the_site_has_no_script_of_ours_and_no_link_without_a_name_and_loads_nothing_from_other_servers() -> None:
    built = fresh_python("-m", "zensical", "build", "--strict", timeout_seconds=120)

    assert built.returncode == 0, re.sub(r"\x1b\[[\d;]*m", "", built.stderr)[:2000]
    assert (SITE / "reference/http-api/index.html").exists()
    assert list(SITE.rglob("*.py*")) == []
    assert [page for page in SITE.rglob("*.html") if re.search("<a [^>]*href[^>]*></a>", page.read_text())] == []
    page = (SITE / "index.html").read_text()
    assert re.findall(r"""(?:src|href)="(https?://[^"]*\.(?:js|css|woff2?)[^"]*)""", page) == []


def test_every_page_is_in_the_navigation() -> None:
    navigation = (REPOSITORY / "zensical.toml").read_text()
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}

    listed = set(re.findall(r'"([\w/.-]+\.md)"', navigation))
    decisions = set(re.findall(r"\((\d{4}-[\w-]+\.md)\)", (DOCS / "decisions/README.md").read_text()))

    assert listed | {f"decisions/{name}" for name in decisions} == pages
