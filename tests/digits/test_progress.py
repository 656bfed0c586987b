"""Work that takes time says what runs and how far it is."""

import os
import re
import subprocess
import sys

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


@pytest.mark.parametrize("is_terminal", [pytest.param(False, id="a file"), pytest.param(True, id="a terminal")])
def test_a_terminal_rewrites_one_line_and_a_file_gets_lines(is_terminal: bool) -> None:
    ours, its = os.openpty() if is_terminal else os.pipe()

    subprocess.run([sys.executable, "-c", WORK], check=True, cwd=REPOSITORY, stderr=its, env={"COLUMNS": "120"})

    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    os.close(its)
    lines = shown.split("\r\x1b[2K" if is_terminal else "\n")
    for expected in (
        r"digits: learning, \d s",
        r"digits: learning, \d s: drawing, 75 % done, \d s left",
        r"a message\s*",
    ):
        assert any(re.fullmatch(expected, line) for line in lines), shown
    assert lines[-1] == ""
