"""Fixtures for the tests of the command `digits`."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cli.serve
from app.settings import Settings
from cli.commands import app
from tests.conftest import REPOSITORY, Published


@dataclass(frozen=True, slots=True)
class Result:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


Digits = Callable[..., Result]


@pytest.fixture
def digits(published: Published, monkeypatch: pytest.MonkeyPatch) -> Digits:
    """Run `digits` in this process, with the tiny published model."""
    monkeypatch.setenv("MNIST_MODEL_DIR", str(published.root))

    def run(*arguments: object, stdin: bytes = b"") -> Result:
        ran = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, prog_name="digits")
        if ran.exception is not None and not isinstance(ran.exception, SystemExit):
            raise ran.exception
        return Result(ran.exit_code, ran.stdout, ran.stderr)

    return run


StartedWith = Callable[..., Settings]


@pytest.fixture
def started_with(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> StartedWith:
    """Run `digits serve` up to the start of the service, and return its settings."""
    settings: list[Settings] = []

    def start(given: Settings) -> int:
        settings.append(given)
        return 0

    monkeypatch.setattr(cli.serve, "start", start)

    def run(*options: object) -> Settings:
        ran = digits("serve", *options)
        assert (ran.code, ran.err) == (0, "")
        return settings[-1]

    return run


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment in which the wheel is installed."""

    environment: Path

    @property
    def program(self) -> Path:
        return self.environment / "bin/digits"

    def run(self, *arguments: object, cwd: Path) -> Result:
        """Run the installed command in a folder, without the settings of this process."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("MNIST_", "PYTHON"))}
        command = [str(self.program), *map(str, arguments)]
        ran = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=120, check=False)
        return Result(ran.returncode, ran.stdout, ran.stderr)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """A new environment with the wheel. Its other packages are those of the tests, so it needs no network."""
    uv = shutil.which("uv") or shutil.which("uv", path=REPOSITORY / ".uv/bin")
    if uv is None:
        pytest.skip("needs uv, which `make test` installs")
    folder = tmp_path_factory.mktemp("installed")
    environment = folder / "venv"
    for command in (
        [uv, "build", "--quiet", "--offline", "--wheel", "--out-dir", str(folder), str(REPOSITORY)],
        [sys.executable, "-m", "venv", "--without-pip", str(environment)],
    ):
        subprocess.run(command, check=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    python = environment / "bin/python"
    install = [uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", str(python), str(wheel)]
    subprocess.run(install, check=True, timeout=120)
    (packages,) = environment.glob("lib/python*/site-packages")
    # Folders in a .pth file come after the environment's own packages, and their .pth files are not read.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    return Installed(environment)
