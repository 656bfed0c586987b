"""Fixtures for the tests of the command `digits`."""

from collections.abc import Callable

import pytest
from typer.testing import CliRunner

import app.start
from app.settings import Settings
from cli import commands
from tests.conftest import Outcome, Published

Digits = Callable[..., Outcome]

each_command = pytest.mark.parametrize("command", ["predict", "read"])


@pytest.fixture
def digits(published: Published, monkeypatch: pytest.MonkeyPatch) -> Digits:
    """Run `digits` in this process, with the tiny published model."""
    monkeypatch.setenv("MNIST_MODEL_DIR", str(published.root))

    def run(*arguments: object, stdin: bytes = b"") -> Outcome:
        ran = CliRunner().invoke(
            commands.app, [str(argument) for argument in arguments], input=stdin, prog_name="digits"
        )
        if ran.exception is not None and not isinstance(ran.exception, SystemExit):
            raise ran.exception
        return Outcome(ran.exit_code, ran.stdout, ran.stderr)

    return run


StartedWith = Callable[..., Settings]


@pytest.fixture
def started_with(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> StartedWith:
    """Run `digits serve` up to the start of the service, and return its settings."""
    settings: list[Settings] = []

    def start(given: Settings) -> int:
        settings.append(given)
        return 0

    monkeypatch.setattr(app.start, "start", start)

    def run(*options: object) -> Settings:
        ran = digits("serve", *options)
        assert (ran.code, ran.err) == (0, "")
        return settings[-1]

    return run
