"""All files that name the release agree with `pyproject.toml`."""

import re
import tomllib

import pytest
import yaml

from tests.conftest import REPOSITORY

IMAGE = r'\bdigits(?:-train)?:(?=\d)([\w.]+)|newTag: "([\w.]+)"'
PLACES = {
    "CITATION.cff": r"^version: (.+)$",
    "Dockerfile": r"^ARG .*\bVERSION=(\S+)",
    "app/main.py": r'^VERSION = "(.+)"$',
    "uv.lock": r'^name = "digits"\nversion = "(.+)"$',
    "deploy/kubernetes/**/kustomization.yaml": IMAGE,
    "docs/how-to/kubernetes.md": IMAGE,
    "docs/how-to/docker.md": IMAGE,
}


@pytest.mark.parametrize(("files", "pattern"), PLACES.items(), ids=PLACES)
def test_every_file_names_the_version_of_the_project(files: str, pattern: str) -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    texts = [file.read_text() for file in REPOSITORY.glob(files)]

    named = [match[match.lastindex or 0] for text in texts for match in re.finditer(pattern, text, re.MULTILINE)]

    assert set(named) == {version}


def test_the_newest_release_of_the_changelog_has_the_version_and_date_of_the_citation() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    changelog = (REPOSITORY / "CHANGELOG.md").read_text()

    newest = re.findall(r"^## \[(\d.*?)\] - (.*)$", changelog, re.MULTILINE)[0]

    assert newest == (citation["version"], citation["date-released"])
