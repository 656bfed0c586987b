"""Imports between packages, folders and modules only point downwards."""

import ast
import graphlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, fresh_python

PACKAGES = ("digits", "training", "app", "deploy", "cli", "benchmarks")


def module_name(file: Path) -> str:
    parts = file.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Each module of the project and the modules that it imports: anywhere in it, in functions and under
    `TYPE_CHECKING` too.
    """
    files = {
        module_name(file): file
        for package in PACKAGES
        for file in (REPOSITORY / package).rglob("*.py")
        if ".peers" not in file.parts  # the environments of the services that `benchmarks` compares
    }
    graph: dict[str, set[str]] = {}
    for module, file in files.items():
        names: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file} has a relative import"
                base = str(node.module)
                submodules = {f"{base}.{alias.name}" for alias in node.names} & files.keys()
                names.update(submodules or {base})
        graph[module] = names & files.keys()
    return graph


def test_no_modules_import_each_other_in_a_circle(imports: dict[str, set[str]]) -> None:
    sorter = graphlib.TopologicalSorter(imports)

    sorter.prepare()  # raises CycleError, which names the circle


def test_imports_in_functions_count_as_imports(imports: dict[str, set[str]]) -> None:
    assert "app.main" in imports["app.start"]


def test_nothing_imports_a_main_module(imports: dict[str, set[str]]) -> None:
    importers = {module for module, names in imports.items() if any(name.endswith("__main__") for name in names)}

    assert importers == set()


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
            {"numpy.f2py", "numpy.testing", "numpy.ma", "unittest", "markdown_it", "grpc", "google.protobuf"},
            id="serving pays for nothing that it has no use for",
        ),
        pytest.param(
            "cli.commands",
            {"rich", "pydantic_settings", "numpy", "onnxruntime", "app", "digits", "training", "deploy"},
            id="listing the commands needs none of them",
        ),
        pytest.param("cli.main", {"typer"}, id="a spawned process needs no command line"),
        pytest.param("cli.serve", {"rich", "onnxruntime"}, id="parsing the settings needs no model"),
        pytest.param(
            "digits.model.classifier",
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
            "digits.pictures.decode",
            {"fastapi", "starlette", "uvicorn", "onnxruntime", "app", "training"},
            id="decoding pictures needs no model",
        ),
        pytest.param(
            "digits.model.artifact",
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
