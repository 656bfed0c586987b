"""The expected answers of `digits read --expected`, and which rows are right. The page grades by the same rules."""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

_HEADINGS = frozenset(("path", "picture", "file", "name"))
"""Names of the first column, if the first line of a CSV file names the columns."""


class UnusableAnswers(ValueError):
    """The answers cannot be used. The message is one line."""


@dataclass(frozen=True, slots=True)
class ExpectedAnswers:
    for_all: str | None
    by_path: Mapping[str, str]
    """The expected answers by path, such as `a.png` or `sheets/a.png`, which is how the path of the picture ends."""

    @classmethod
    def read(cls, answer_or_file: str) -> "ExpectedAnswers":
        """Return one number for all pictures, or the answers of a CSV file. Raises UnusableAnswers and OSError."""
        if re.fullmatch(r"[\d\s/]+", answer_or_file):
            return cls(_lines(answer_or_file), {})
        with Path(answer_or_file).open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            separator = next((sign for sign in "\t;" if sign in first), ",")
            return cls._of_rows(csv.reader(stream, delimiter=separator), answer_or_file)

    @classmethod
    def _of_rows(cls, rows: Iterable[list[str]], file: str) -> "ExpectedAnswers":
        column = 1
        by_path: dict[str, str] = {}
        for number, row in enumerate(rows, 1):
            if number == 1 and row and row[0].strip().lower() in _HEADINGS:
                column = row.index("expected") if "expected" in row else 1
                continue
            path, answer = (row[index].strip() if index < len(row) else "" for index in (0, column))
            if not answer:
                continue
            if path in by_path:
                raise UnusableAnswers(f"{file}: row {number}: {path} has an answer already")
            try:
                by_path[path] = _lines(answer)
            except UnusableAnswers as exc:
                raise UnusableAnswers(f"{file}: row {number}: {exc}") from None
        return cls(None, by_path)

    def grade(self, path: str, row: Mapping[str, Any]) -> dict[str, str | None]:
        """Return the expected answer of a row and its grade: right, wrong, or open if a person should check it."""
        parts = PurePath(path).parts
        ends = ("/".join(parts[start:]) for start in range(len(parts)))
        expected = self.for_all or next((self.by_path[end] for end in ends if end in self.by_path), None)
        if expected is None:
            return {"expected": None, "grade": None}
        grade = "right" if row.get("text") == expected else "wrong"
        return {"expected": expected, "grade": grade if row.get("accept") else "open"}


def _lines(answer: str) -> str:
    """Return an answer as rows have it, with a line break between lines. Raises UnusableAnswers."""
    lines = [line.strip() for line in re.split(r"[/\n]", answer)]
    if not all(re.fullmatch(r"[0-9]+", line) for line in lines):
        raise UnusableAnswers(f"expected only digits, and “/” between lines, received “{answer}”")
    return "\n".join(lines)
