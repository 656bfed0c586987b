"""`digits` lists its commands, and runs those of `python -m training`."""

import re
import runpy
import sys
from pathlib import Path

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


def test_a_misspelled_command_is_corrected(digits: Digits) -> None:
    refused = digits("versoins")

    assert refused.code == 2
    assert "Did you mean 'versions'?" in refused.err


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(name, marks=[pytest.mark.training] * (command.module == "cli.train"))
        for name, command in COMMANDS.items()
    ],
)
def test_every_command_shows_its_options(digits: Digits, command: str) -> None:
    shown = digits(command, "--help")

    assert shown.code == 0
    assert shown.out.startswith(f"Usage: digits {command} [OPTIONS]")
    assert not re.search(r"<\w|\[\[", shown.out), "a type of Python instead of a word for readers"


@pytest.mark.training
def test_an_error_of_training_is_one_line(digits: Digits, tmp_path: Path) -> None:
    refused = digits("evaluate", "--model", tmp_path)

    assert (refused.code, refused.out) == (2, "")
    expected = "expected mnist-dense/<version>/ in this folder, found none"
    assert refused.err == f"digits: no usable version of mnist-dense in {tmp_path}; {expected}\n"


@pytest.mark.training
def test_training_publishes_below_the_working_directory_by_default(digits: Digits) -> None:
    shown = digits("train", "--help")

    assert "default: models]" in shown.out


def test_without_the_extra_train_one_line_says_how_to_install_it(
    digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)

    ran = digits("train")

    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "digits: `digits train` needs TensorFlow, which the extra `train` brings. Run in the repository's folder: "
        "uv tool install '.[train]', or make .venv/.train for .venv/bin/digits\n"
    )


def test_versions_reports_a_damaged_version(digits: Digits, published: Published) -> None:
    newer = publish_tiny(published.root)
    (newer.folder / "manifest.json").write_text("{")

    listed = digits("versions")

    assert listed.code == 0
    assert listed.out.splitlines()[0].endswith("  (in use: newest usable version)")
    assert f"digits: {newer.folder / 'manifest.json'}: " in listed.err


@pytest.mark.parametrize(
    ("module", "new_command"), [("digits", "digits predict FILE"), ("deploy.score", "digits predict SOURCE")]
)
def test_an_old_command_names_the_new_one_in_one_line(module: str, new_command: str) -> None:
    with pytest.raises(SystemExit, match=rf"^digits: .*`{new_command}[^\n]*$"):
        runpy.run_module(module, run_name="__main__")
