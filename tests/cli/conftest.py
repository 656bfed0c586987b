"""Fixtures for the tests of the command `digits`."""

import io
import sys
from collections.abc import Callable

import pytest

import app.start
from app.settings import Settings
from cli.main import main
from tests.conftest import Outcome, Published

Digits = Callable[..., Outcome]

each_command = pytest.mark.parametrize("command", ["predict", "read"])


@pytest.fixture
def digits(published: Published, monkeypatch: pytest.MonkeyPatch) -> Digits:
    """Run `digits` in this process, with the tiny published model."""
    monkeypatch.setenv("MNIST_MODEL_DIR", str(published.root))

    def run(*arguments: object, stdin: bytes = b"") -> Outcome:
        streams = [io.TextIOWrapper(io.BytesIO(content), "utf-8") for content in (stdin, b"", b"")]
        with monkeypatch.context() as patch:
            for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
                patch.setattr(sys, name, stream)
            with pytest.raises(SystemExit) as stopped:
                main([str(argument) for argument in arguments])
        for stream in streams:
            stream.seek(0)
        return Outcome(int(stopped.value.code or 0), streams[1].read(), streams[2].read())

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
