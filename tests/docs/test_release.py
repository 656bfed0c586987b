"""All files that name the release agree."""

import re
import tomllib

import yaml

from app.main import VERSION
from tests.conftest import REPOSITORY


def test_every_file_names_the_same_version_and_date() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    changelog = (REPOSITORY / "CHANGELOG.md").read_text()
    (image,) = re.findall(r"^ARG .*\bVERSION=(\S+)", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)

    newest, date = re.findall(r"^## \[(\d.*?)\] - (.*)$", changelog, re.MULTILINE)[0]

    assert {project["version"], citation["version"], image, newest} == {VERSION}
    assert citation["date-released"] == date
