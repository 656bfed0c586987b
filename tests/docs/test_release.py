"""All files that name the release agree with `pyproject.toml`, and CI can publish it."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from trove_classifiers import classifiers

from tests.conftest import REPOSITORY, fresh_python

PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
WORKFLOWS = {file.stem: file for file in (REPOSITORY / ".github/workflows").glob("*.yml")}

IMAGE = r'\bdigits(?:-train)?:(?=\d)([\w.]+)|newTag: "([\w.]+)"'
PLACES = {
    "CITATION.cff": r"^version: (.+)$",
    "Dockerfile": r"^ARG .*\bVERSION=(\S+)",
    "app/main.py": r'^VERSION = "(.+)"$',
    "uv.lock": r'^name = "digits"\nversion = "(.+)"$',
    "deploy/kubernetes/**/kustomization.yaml": IMAGE,
    "docs/how-to/kubernetes.md": IMAGE,
    "docs/how-to/docker.md": IMAGE,
    "docs/how-to/upgrade.md": IMAGE,
    "docs/reference/openapi.json": r'^    "version": "(.+)"$',
}


@pytest.mark.parametrize(("files", "pattern"), PLACES.items(), ids=PLACES)
def test_every_file_names_the_version_of_the_project(files: str, pattern: str) -> None:
    texts = [file.read_text() for file in REPOSITORY.glob(files)]

    named = [match[match.lastindex or 0] for text in texts for match in re.finditer(pattern, text, re.MULTILINE)]

    assert set(named) == {PROJECT["version"]}


def test_the_newest_release_of_the_changelog_has_the_version_and_date_of_the_citation() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    changelog = (REPOSITORY / "CHANGELOG.md").read_text()

    newest = re.findall(r"^## \[(\d.*?)\] - (.*)$", changelog, re.MULTILINE)[0]

    assert newest == (citation["version"], citation["date-released"])


def test_the_classifiers_exist_and_name_the_versions_of_python_that_ci_tests() -> None:
    matrix = yaml.safe_load(WORKFLOWS["ci"].read_text())["jobs"]["make"]["strategy"]["matrix"]
    named = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if "Python ::" in each]

    assert set(PROJECT["classifiers"]) <= classifiers
    assert named == matrix["python"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_fits_the_schema_and_names_actions_by_their_hash(name: str) -> None:
    checked = fresh_python("-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", WORKFLOWS[name])

    actions = re.findall(r"uses: (\S+@.*)", WORKFLOWS[name].read_text())
    assert checked.returncode == 0, checked.stdout
    assert actions
    assert [each for each in actions if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", each)] == []


def test_a_published_package_has_the_address_of_its_repository_and_no_relative_link(tmp_path: Path) -> None:
    steps = yaml.safe_load(WORKFLOWS["publish"].read_text())["jobs"]["publish"]["steps"]
    (script,) = (step["run"] for step in steps if step.get("name") == "Add the repository's address")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(REPOSITORY / name, tmp_path)
    place = {"GITHUB_SERVER_URL": "https://git.example", "GITHUB_REPOSITORY": "we/digits", "GITHUB_REF_NAME": "v1"}

    subprocess.run(["bash", "-ec", script], cwd=tmp_path, env=os.environ | place, check=True)

    urls = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]["urls"]
    readme = (tmp_path / "README.md").read_text()
    assert urls["Repository"] == "https://git.example/we/digits"
    assert "](https://git.example/we/digits/blob/v1/docs/how-to/docker.md)" in readme
    assert "](https://git.example/we/digits/raw/v1/docs/images/number.png)" in readme
    assert re.findall(r"\]\((?!https://)[^)]*\)", readme) == []
