"""Every example in the README and in docs/ prints what the page shows under it."""

import json
import math
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.app.conftest import Reloading, Service
from tests.conftest import REPOSITORY, needs, skip_without

pytestmark = pytest.mark.slow

ADDRESSES = ("127.0.0.1:8000", "127.0.0.1:8501")
"""The addresses in the examples: this service or Triton, and TensorFlow Serving."""

GRPC_ADDRESS = "127.0.0.1:8001"

TIMEOUT_SECONDS = 60

SAFE_COMMAND = re.compile(r"\A(?:\w+=.*\n)*(?:curl |echo |\.venv/bin/digits (?!train))")
"""How the shell programs begin that the tests run: they install and train nothing."""


class Example(NamedTuple):
    place: str
    language: str
    program: str
    shown: str


def blocks(document: Path) -> list[tuple[str, str]]:
    """Return a document's fenced blocks, as language and text."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE)


def shows_output(language: str, program: str, shown_language: str) -> bool:
    """Return whether a block is a program and the next block its output."""
    if language == "sh":
        return shown_language == ("json" if "curl " in program else "text") and bool(SAFE_COMMAND.search(program))
    return language in {"python", "r", "js"} and shown_language == "text"


def examples(document: Path) -> list[Example]:
    programs: list[Example] = []
    place = document.relative_to(REPOSITORY).as_posix()
    variables = ""  # a reader's shell keeps them from one block to the next
    for (language, program), (shown_language, shown) in pairwise([*blocks(document), ("", "")]):
        if shows_output(language, program, shown_language):
            programs.append(Example(f"{place}, {language} {len(programs) + 1}", language, variables + program, shown))
        if language == "sh":
            variables += "".join(f"{line}\n" for line in re.findall(r"^\w+=\S+$", program, re.MULTILINE))
    return programs


NOTEBOOK = REPOSITORY / "docs/tutorial/the-lecture.md"
"""A notebook, of which `tests/docs/test_notebook.py` runs every cell."""

DOCUMENTS = [REPOSITORY / "README.md", *sorted({*(REPOSITORY / "docs").rglob("*.md")} - {NOTEBOOK})]
EXAMPLES = [example for document in DOCUMENTS for example in examples(document)]
CURLS = [example for example in EXAMPLES if "curl " in example.program]
PROGRAMS = [example for example in EXAMPLES if example not in CURLS]


def run(example: Example, service: Service, folder: Path) -> str:
    """Return what the example prints when it runs in the repository's root and asks `service`."""
    program = example.program
    for address in ADDRESSES:
        program = program.replace(address, service.url.removeprefix("http://"))
    if GRPC_ADDRESS in program:
        program = program.replace(GRPC_ADDRESS, service.grpc_target)
    script = folder / "program.R"
    script.write_text(program)
    command = {
        "python": [sys.executable, "-c", program],
        "r": ["Rscript", str(script)],
        "js": ["node", "--input-type=module", "-e", program],
        "sh": ["sh", "-ec", program],
    }[example.language]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def needs_what_runs(example: Example) -> None:
    if example.language != "python":
        needs({"r": "Rscript", "js": "node", "sh": "curl"}[example.language])
    if example.language == "r":
        for package in ("httr2", "jsonlite"):
            probe = ["Rscript", "-e", f"library({package})"]
            if subprocess.run(probe, capture_output=True, timeout=TIMEOUT_SECONDS, check=False).returncode:
                skip_without(f"R's package {package}")


def replies(text: str) -> list[Any]:
    """Parse JSON documents that follow each other, with or without space between them."""
    documents, at = [], 0
    while text[at:].strip():
        reply, at = json.JSONDecoder().raw_decode(text, len(text) - len(text[at:].lstrip()))
        documents.append(reply)
    return documents


def agrees(shown: Any, came: Any) -> bool:
    """Return whether a reply is the shown one. `...` allows more in it, and the last digits depend on the processor."""
    if isinstance(shown, dict) and isinstance(came, dict):
        named = shown.keys() - {"..."}
        whole = "..." in shown or named == came.keys()
        return whole and named <= came.keys() and all(agrees(shown[key], came[key]) for key in named)
    if isinstance(shown, list) and isinstance(came, list):
        some = shown[:-1] if shown[-1:] == ["..."] else shown
        whole = some is not shown or len(shown) == len(came)
        return whole and len(some) <= len(came) and all(map(agrees, some, came))
    if isinstance(shown, float) and isinstance(came, float):
        return math.isclose(shown, came, rel_tol=1e-4, abs_tol=1e-6)
    return type(shown) is type(came) and bool(shown == came)


@pytest.mark.parametrize("example", PROGRAMS, ids=lambda example: example.place)
def test_a_program_prints_what_is_shown(example: Example, service: Service, tmp_path: Path) -> None:
    """The programs for Triton and TensorFlow Serving ask this service, which speaks their protocols."""
    needs_what_runs(example)

    printed = run(example, service, tmp_path)

    assert printed == example.shown


READ_ACCEPT = [example for example in PROGRAMS if "accept" in example.program and "http://" in example.program]


@pytest.mark.parametrize("example", READ_ACCEPT, ids=lambda example: example.place)
def test_a_program_does_not_accept_an_answer_without_accept(
    example: Example, reloading: Reloading, tmp_path: Path
) -> None:
    needs_what_runs(example)

    printed = run(example, reloading.service, tmp_path)

    assert "have a person check it" in printed or "None" in printed
    assert "accepted" not in printed


@pytest.mark.parametrize("example", CURLS, ids=lambda example: example.place)
def test_each_curl_gets_the_reply_that_is_shown(example: Example, service: Service, tmp_path: Path) -> None:
    needs_what_runs(example)
    # `...` at the end of an object or a list becomes a key or a value.
    shown = json.loads(example.shown.replace("...}", '"...":0}').replace("...]", '"..."]'))

    came = replies(run(example, service, tmp_path))

    assert len(came) == example.program.count("curl ")
    assert [reply for reply in came if not agrees(shown, reply)] == []
