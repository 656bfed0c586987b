"""What the README and docs/ show, run as it stands there, prints what they say it does."""

import json
import math
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.app.conftest import Service
from tests.conftest import REPOSITORY, lacks, needs

ADDRESSES = ("127.0.0.1:8000", "127.0.0.1:8501")
"""Whom the programs ask: this service or Triton, and TensorFlow Serving."""

TIMEOUT_SECONDS = 60


class Example(NamedTuple):
    """A program, and the block after it."""

    place: str
    language: str
    program: str
    shown: str


def blocks(document: str) -> list[tuple[str, str]]:
    """A document's fenced blocks: language, and text."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", (REPOSITORY / document).read_text(), re.DOTALL | re.MULTILINE)


def examples(document: str, *languages: str) -> list[Example]:
    """The programs of a document that ask the service, each with what is shown below it."""
    found: list[Example] = []
    variables = ""  # which a reader's shell keeps
    for (language, program), (_, shown) in pairwise([*blocks(document), ("", "")]):
        if language in languages and (language != "sh" or "curl " in program):
            found.append(Example(f"{document}, {language} {len(found) + 1}", language, variables + program, shown))
        if language == "sh":
            variables += "".join(f"{line}\n" for line in re.findall(r"^\w+=\S+$", program, re.MULTILINE))
    return found


CLIENTS = examples("docs/how-to/clients.md", "python", "r", "js")
ENGINES = examples("docs/how-to/other-engines.md", "python")
CURLS = examples("README.md", "sh") + examples("docs/how-to/clients.md", "sh")


def run(example: Example, service: Service, folder: Path) -> str:
    """What it prints, asking this service from the repository's root."""
    program = example.program
    for address in ADDRESSES:
        program = program.replace(address, service.url.removeprefix("http://"))
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
                lacks(f"R's package {package}")


def replies(text: str) -> list[Any]:
    """JSON after JSON, with or without space between."""
    found, at = [], 0
    while text[at:].strip():
        reply, at = json.JSONDecoder().raw_decode(text, len(text) - len(text[at:].lstrip()))
        found.append(reply)
    return found


def understood(shown: str) -> Any:
    """Shown JSON; `...` at the end of an object or a list stays there as a key or a value."""
    return json.loads(shown.replace("...}", '"...":0}').replace("...]", '"..."]'))


def agrees(shown: Any, came: Any) -> bool:
    """Whether what came is as shown, and no more unless `...` says so. The last digits depend on the processor."""
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


def test_each_client_is_a_program_and_what_it_prints() -> None:
    languages = [language for language, _ in blocks("docs/how-to/clients.md")]

    assert set(languages[::2]) == {"python", "r", "js", "sh"}
    assert set(languages[1::2]) == {"text", "json"}
    assert len(CLIENTS) + len(CURLS) == len(languages[::2]) + len(examples("README.md", "sh"))


def test_there_is_a_program_for_each_other_engine() -> None:
    asked = [[address in example.program for address in ADDRESSES] for example in ENGINES]

    assert asked == [[True, False], [False, True]]


def test_the_readme_has_some() -> None:
    assert CURLS[0].place.startswith("README.md")


@pytest.mark.parametrize("example", CLIENTS, ids=lambda example: example.place)
def test_a_client_prints_what_is_shown(example: Example, service: Service, tmp_path: Path) -> None:
    needs_what_runs(example)

    printed = run(example, service, tmp_path)

    assert printed == example.shown


@pytest.mark.parametrize("example", ENGINES, ids=lambda example: example.place)
def test_what_asks_another_engine_is_answered_here_too(example: Example, service: Service, tmp_path: Path) -> None:
    """So it is in the form of that engine's protocol."""
    printed = run(example, service, tmp_path)

    assert printed == example.shown


@pytest.mark.parametrize("example", CURLS, ids=lambda example: example.place)
def test_each_curl_gets_the_reply_that_is_shown(example: Example, service: Service, tmp_path: Path) -> None:
    needs_what_runs(example)
    shown = understood(example.shown)

    came = replies(run(example, service, tmp_path))

    assert len(came) == example.program.count("curl ")
    assert [reply for reply in came if not agrees(shown, reply)] == []


@pytest.mark.parametrize(
    ("shown", "came", "agree"),
    [
        pytest.param("[7, 0.5]", [7, 0.50001], True, id="a last digit"),
        pytest.param("[7, 0.5]", [7, 0.501], False, id="more than that"),
        pytest.param("[7, 1e-17]", [7, 1e-9], True, id="next to nothing"),
        pytest.param("[7]", [8], False, id="another digit"),
        pytest.param("[7]", [7, 7], False, id="more in a list"),
        pytest.param("[7, ...]", [7, 7], True, id="more in an open list"),
        pytest.param("[7, ...]", [], False, id="less in an open list"),
        pytest.param('{"digit":7}', {"digit": 7, "more": 1}, False, id="more in an object"),
        pytest.param('[{"digit":7, ...}]', [{"digit": 7, "more": 1}], True, id="more in an open object"),
        pytest.param('{"digit":7, ...}', {"more": 1}, False, id="less in an open object"),
        pytest.param('{"digit":7}', [7], False, id="something else"),
    ],
)
def test_agreeing_is_neither_too_strict_nor_too_kind(shown: str, came: Any, agree: bool) -> None:
    assert agrees(understood(shown), came) is agree
