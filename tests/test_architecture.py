"""Imports between packages, folders and modules only point downwards."""

import graphlib
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from tests.conftest import REPOSITORY, fresh_python

PACKAGES = ("digits", "training", "app", "deploy", "cli", "benchmarks")


def test_no_modules_import_each_other_in_a_circle_and_nothing_imports_a_main_module() -> None:
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)  # with imports in functions and under `TYPE_CHECKING`
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}

    sorter = graphlib.TopologicalSorter(imports)

    sorter.prepare()  # raises CycleError, which names the circle
    assert "app.main" in imports["app.start"]  # which imports it in a function
    assert [name for names in imports.values() for name in names if name.endswith("__main__")] == []


def test_the_import_contracts_of_pyproject_hold() -> None:
    command = Path(sys.executable).with_name("lint-imports")

    linted = subprocess.run([command, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False)

    assert linted.returncode == 0, linted.stdout + linted.stderr


TRAINING = {"tensorflow", "keras", "training", "onnx", "tf2onnx", "matplotlib", "sklearn", "mlxtend"}
COMMANDS = {"typer", "rich", "markdown_it"}
UNUSED = {"numpy.f2py", "numpy.testing", "numpy.ma", "unittest"}
EXTRAS = {"grpc", "google.protobuf", "opentelemetry.sdk"}


@pytest.mark.parametrize(
    ("module", "strangers"),
    [
        pytest.param(
            "app.main; app.main.create_app(); import app",
            TRAINING | COMMANDS | UNUSED | EXTRAS,
            id="serving needs neither training nor what it has no use for",
        ),
        pytest.param(
            "cli.commands",
            {"tensorflow", "keras", "sklearn", "matplotlib", "ray", "fastapi", "uvicorn", "grpc"},
            id="listing the commands needs none of what they run",
        ),
        pytest.param("cli.main", {"typer", "pydantic", "numpy"}, id="the processes of a run need no command line"),
    ],
)
def test_a_fresh_interpreter_loads_no_strangers(module: str, strangers: set[str]) -> None:
    probe = f"import {module}, sys; print(*{strangers!r} & set(sys.modules))"

    ran = fresh_python("-c", probe)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == []
