"""`digits` lists its commands, and says which extra a command needs."""

import sys

import pytest

from app.main import VERSION
from cli.commands import COMMANDS
from tests.cli.conftest import Digits
from tests.conftest import Published, publish_tiny


def test_the_help_lists_the_commands(digits: Digits) -> None:
    listed = digits("--help")

    commands = listed.out.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in commands] == list(COMMANDS)


def test_the_version_is_that_of_the_package(digits: Digits) -> None:
    shown = digits("--version")

    assert (shown.code, shown.out) == (0, f"digits {VERSION}\n")


@pytest.mark.parametrize(
    ("package", "arguments", "needs"),
    [
        ("tensorflow", ["train"], "`digits train` needs TensorFlow, which the extra `train` brings"),
        ("pyarrow", ["predict", ".", "--output", "a.parquet"], "needs pyarrow, which the extra `parquet` brings"),
    ],
)
def test_without_an_extra_one_line_says_how_to_install_it(
    digits: Digits, package: str, arguments: list[str], needs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    ran = digits(*arguments)

    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert f"{needs}. Run in the repository's folder: uv tool install '.[" in ran.err


def test_versions_reports_a_damaged_version(digits: Digits, published: Published) -> None:
    newer = publish_tiny(published.root)
    (newer.folder / "manifest.json").write_text("{")

    listed = digits("versions")

    assert listed.code == 0
    assert listed.out.splitlines()[-1] == f"In use: version 1000 in {published.folder}, the newest usable one."
    assert f"digits: {newer.folder / 'manifest.json'}: " in listed.err
