"""Which constants of `digits/` matter: what happens when each is moved by a quarter, both ways?

    MNIST_DATA=mnist.npz python -m benchmarks.quality.constants digits/finder digits/normalization

Every positive number that has a name in a module, and every value that the finder's manifest decodes its maps with, is
moved in a copy of the project. A move is noticed by the tests if a golden reading or one of the module's package fails,
and by the pictures if more than one in 200 changes between right and not, or if one is accepted and wrong that was not.
These are pictures of every family of `families.py`, `papers.py`, `marks.py` and `number_pictures.py`. A constant that
nothing notices is not needed, or lacks the picture that needs it.
"""

import ast
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count as count_from
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from benchmarks.harness.command import parser, progress
from benchmarks.harness.report import header, table
from benchmarks.quality.families import FAMILIES, rng_of
from benchmarks.quality.marks import MARKED
from benchmarks.quality.mnist_digits import load_part
from benchmarks.quality.number_pictures import NUMBERS, numbers
from benchmarks.quality.numbers import read
from benchmarks.quality.papers import ON_PAPER
from digits.model.classifier import load_newest
from digits.picture import Picture

COPIED = "digits", "app", "cli", "training", "benchmarks", "tests", "docs", "models", "pyproject.toml"
LEAST_SHARE = 0.005
"""A move is noticed if the number of right pictures changes by more than this share of all pictures."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A number in a file, on one line."""

    file: str
    name: str
    value: float
    line: int
    """From 0."""
    start: int
    end: int

    def moved(self, text: str, factor: float) -> str:
        """Return the file's text with another value: at least 1 more or less if it is whole."""
        value: float = self.value * factor
        if isinstance(self.value, int):
            value = math.ceil(value) if factor > 1 else math.floor(value)
        lines = text.split("\n")
        lines[self.line] = lines[self.line][: self.start] + repr(value) + lines[self.line][self.end :]
        return "\n".join(lines)


def constants_of(file: Path) -> Iterator[Constant]:
    """Return the numbers that have a name in a module, or that a manifest's `decoding` has."""
    text = file.read_text()
    if file.suffix == ".json":
        lines = text.split("\n")
        for name, value in (json.loads(text).get("decoding") or {}).items():
            line = next(number for number, content in enumerate(lines) if f'"{name}": ' in content)
            start = lines[line].index(": ") + 2
            yield Constant(str(file), name, value, line, start, start + len(lines[line][start:].rstrip(",")))
        return
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.Assign):
            yield from _numbers(str(file), ast.unparse(statement.targets[0]), statement.value)


def _numbers(file: str, name: str, node: ast.expr) -> Iterator[Constant]:
    """Return a number, or those of a tuple, with the name or the names that are assigned."""
    if isinstance(node, ast.Tuple):
        for each in node.elts:
            yield from _numbers(file, name, each)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float) and node.end_col_offset:
        yield Constant(file, name, node.value, node.lineno - 1, node.col_offset, node.end_col_offset)


def write_pictures(folder: Path, count: int) -> None:
    """Write `count` pictures of each family, each named by its number and its digits."""
    images, labels = load_part("validation")
    written = count_from(0)
    made = FAMILIES | ON_PAPER | MARKED
    for name in [*made, *NUMBERS]:
        rng = rng_of(name)
        if name in made:
            rows = rng.integers(0, len(images), count)
            pictures = [(str(labels[row]), made[name](images[row], rng)) for row in rows]
        elif not name.startswith(("sheet", "five lines")):
            pictures = [(each.text, each.data) for each in numbers(name, images, labels, count, rng)]
        else:
            continue
        for text, data in pictures:
            digits = "+".join(text.splitlines())
            (folder / f"{next(written):04} {digits}").write_bytes(data)


def answers(folder: Path) -> str:
    """Read the pictures. Return whether each is right, and whether it is accepted and wrong, as JSON."""
    classifier, _ = load_newest(Path("models") / "mnist-dense", is_named=False)
    found = []
    for file in sorted(folder.iterdir()):
        text, is_accepted, _ = read(classifier, Picture(file.read_bytes()))
        is_right = text == file.name.partition(" ")[2].replace("+", "\n")
        found.append((is_right, is_accepted and not is_right))
    return json.dumps(found)


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of the project in which one constant at a time is moved."""

    folder: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a module in this copy."""
        environment = os.environ | {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    @contextmanager
    def with_moved(self, constant: Constant, factor: float) -> Iterator[None]:
        """Move a constant for a while."""
        file = self.folder / constant.file
        text = file.read_text()
        file.write_text(constant.moved(text, factor))
        try:
            yield
        finally:
            file.write_text(text)

    def notice(self, constant: Constant, factor: float, pictures: Path, before: Sequence[Sequence[bool]]) -> list[str]:
        """Return what notices a move: the tests, and the pictures with the numbers of right and accepted wrong ones."""
        package = "digits/finder" if constant.file.endswith(".json") else str(Path(constant.file).parent)
        tests = [f"tests/{package}", "tests/digits/test_golden.py"]
        with self.with_moved(constant, factor):
            by_tests = self.run("pytest", "-x", "-q", "-p", "no:cacheprovider", *tests).returncode
            found = self.run("benchmarks.quality.constants", "--answers", str(pictures))
        if found.returncode:
            return ["tests" if by_tests else "", "an error"]
        (right, wrong), (was_right, was_wrong) = (np.sum(each, axis=0) for each in (json.loads(found.stdout), before))
        is_noticed = abs(right - was_right) > LEAST_SHARE * len(before) or wrong > was_wrong
        return ["tests" if by_tests else "", f"{right - was_right:+d}, {wrong - was_wrong:+d}" if is_noticed else ""]


def main() -> None:
    """Print a table of the constants that are not noticed both ways, and the share of those that are."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("paths", nargs="*", type=Path, default=[Path("digits")], help="modules, folders, manifests")
    arguments.add_argument("--pictures", type=int, default=8, help="of each family (default: %(default)s)")
    arguments.add_argument("--answers", type=Path, help="only read the pictures of this folder")
    args = arguments.parse_args()
    if args.answers:
        print(answers(args.answers))
        return
    files = [file for path in args.paths for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    constants = [each for file in files for each in constants_of(file)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "pictures").mkdir()
        write_pictures(folder / "pictures", args.pictures)
        copies = SimpleQueue[Copy]()
        for number in range(os.cpu_count() or 1):
            copies.put(_copy(folder / str(number)))
        before = json.loads(answers(folder / "pictures"))

        def noticed(constant: Constant) -> list[list[str]]:
            copy = copies.get()
            try:
                found = [copy.notice(constant, factor, folder / "pictures", before) for factor in (0.75, 1.25)]
            finally:
                copies.put(copy)
            progress(f"{constant.file} {constant.name} = {constant.value}: {found}")
            return found

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            results = list(threads.map(noticed, constants))
    unnoticed = [each for each, found in zip(constants, results, strict=True) if not any(map(any, found))]
    print(header(["onnxruntime", "numpy"]), end="\n\n")
    print(f"{len(constants)} constants, {len(before)} pictures, {np.sum(before, axis=0)[0]} of them right.", end="\n\n")
    rows = [
        [name, str(sum(bool(ways[k][column]) for ways in results for k in (0, 1)) / (2 * len(constants)))[:5]]
        for column, name in enumerate(("moves that the tests notice", "moves that the pictures notice"))
    ]
    rows.append(["constants that are noticed, one way or both", f"{1 - len(unnoticed) / max(1, len(constants)):.3f}"])
    print(table(["", "share"], rows), end="\n\n")
    print(table(["nothing notices", "value"], [[f"{each.file} {each.name}", str(each.value)] for each in unnoticed]))


def _copy(folder: Path) -> Copy:
    for name in COPIED:
        source = Path(name)
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return Copy(folder)


if __name__ == "__main__":
    main()
