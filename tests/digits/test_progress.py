"""Work that takes time says what runs and how far it is."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

import pytest

from tests.conftest import REPOSITORY

WORK = """
import time
from digits import progress
progress._TERMINAL_SECONDS = progress._FILE_SECONDS = 0.05
with progress.progress("learning"):
    time.sleep(0.2)
    for part in progress.track(range(4), "drawing", 4):
        time.sleep(0.2)
    progress.say("a message")
"""


def parts(reader: BinaryIO) -> Iterator[bytes]:
    """Yield what a process has written to a pipe or a terminal, of which one read gets a part."""
    with suppress(OSError):  # the end of a terminal
        while part := reader.read(100_000):
            yield part


@pytest.mark.parametrize("is_terminal", [pytest.param(False, id="a file"), pytest.param(True, id="a terminal")])
def test_a_terminal_rewrites_one_line_and_a_file_gets_lines(is_terminal: bool) -> None:
    ours, its = os.openpty() if is_terminal else os.pipe()

    subprocess.run([sys.executable, "-c", WORK], check=True, cwd=REPOSITORY, stderr=its, env={"COLUMNS": "120"})

    os.close(its)
    with os.fdopen(ours, "rb", buffering=0) as reader:
        shown = b"".join(parts(reader)).decode()
    lines = shown.split("\r\x1b[2K" if is_terminal else "\n")
    for expected in (r"digits: learning, \d+ s", r"digits: .*: drawing, 75 % done, \d+ s left", r"a message\s*"):
        assert any(re.fullmatch(expected, line) for line in lines), shown
    assert lines[-1] == ""
