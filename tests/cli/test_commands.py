"""`digits` lists its commands, and says which extra a command needs."""

from importlib.util import find_spec

import pytest

from app.main import VERSION
from cli.train import NAMES
from tests.cli.conftest import Digits
from tests.conftest import Published, fresh_python, publish_tiny

WITHOUT = "import sys; sys.modules[sys.argv.pop(1)] = None; from cli.main import main; main()"
"""Runs `digits` as if a package were not installed."""


def listed(printed: str) -> list[str]:
    return [line.split()[0] for line in printed.partition("Commands:\n")[2].splitlines()]


def test_the_help_lists_the_same_commands_with_and_without_tensorflow(digits: Digits) -> None:
    without = fresh_python("-c", WITHOUT, "tensorflow", "--help")

    own = ["serve", "settings", "predict", "read", "versions"]
    assert set(listed(without.stdout)) == {*own, *NAMES}
    if find_spec("tensorflow") is not None:
        assert set(listed(digits("--help").out)) == {*own, *NAMES}


def test_the_version_is_that_of_the_package(digits: Digits) -> None:
    shown = digits("--version")

    assert (shown.code, shown.out) == (0, f"digits {VERSION}\n")


@pytest.mark.parametrize(
    ("package", "arguments", "needs"),
    [
        ("typer", ["serve"], "the command needs Typer, which the extra `cli` brings"),
        ("tensorflow", ["train", "--help"], "`digits train` needs TensorFlow, which the extra `train` brings"),
        ("pyarrow", ["predict", ".", "--output", "a.parquet"], "needs pyarrow, which the extra `parquet` brings"),
    ],
)
def test_without_an_extra_one_line_says_how_to_install_it(package: str, arguments: list[str], needs: str) -> None:
    ran = fresh_python("-c", WITHOUT, package, *arguments)

    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert f"{needs}. Run in the repository's folder: uv tool install '.[" in ran.stderr


def test_versions_reports_a_damaged_version(digits: Digits, published: Published) -> None:
    newer = publish_tiny(published.root)
    (newer.folder / "manifest.json").write_text("{")

    listed = digits("versions")

    assert listed.code == 0
    assert listed.out.splitlines()[-1] == f"In use: version 1000 in {published.folder}, the newest usable one."
    assert f"digits: {newer.folder / 'manifest.json'}: " in listed.err
