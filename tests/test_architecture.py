"""The arrows between the rooms never turn round."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, fresh_python


def test_the_import_contracts_of_pyproject_hold() -> None:
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip("import-linter is not installed")

    linted = subprocess.run([command, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False)

    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize(
    ("module", "strangers"),
    [
        pytest.param(
            "app.main",
            {"tensorflow", "keras", "training", "onnx", "tf2onnx", "matplotlib", "sklearn", "mlxtend", "typer"},
            id="serving needs neither TensorFlow nor training",
        ),
        pytest.param(
            "app.main",
            {"numpy.f2py", "numpy.testing", "numpy.ma", "unittest", "markdown_it"},
            id="serving pays for nothing that it has no use for",
        ),
        pytest.param(
            "digits.classifier",
            {
                "fastapi",
                "starlette",
                "uvicorn",
                "pydantic_settings",
                "orjson",
                "app",
                "training",
                "tensorflow",
                "keras",
            },
            id="classifying needs no web",
        ),
        pytest.param(
            "digits.images",
            {"fastapi", "starlette", "uvicorn", "onnxruntime", "app", "training"},
            id="decoding pictures needs no model",
        ),
        pytest.param(
            "digits.artifact",
            {"fastapi", "starlette", "uvicorn", "onnxruntime", "PIL", "app", "training"},
            id="publishing needs no ONNX Runtime",
        ),
    ],
)
def test_a_fresh_interpreter_loads_no_strangers(module: str, strangers: set[str]) -> None:
    probe = f"import {module}, sys; print(*{strangers!r} & set(sys.modules))"

    ran = fresh_python("-c", probe)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == []
