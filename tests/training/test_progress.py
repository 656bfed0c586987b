"""Work that takes time shows what runs and how far it is: as bars on a terminal, and as lines elsewhere."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

import pytest

from tests.conftest import REPOSITORY

TRAINING = """
import time
from training import progress
progress._SECONDS = 0.05
with progress.progress("learning"):
    time.sleep(0.2)
    for part in progress.track(range(4), "drawing", 4):
        time.sleep(0.2)
"""

BATCH = """
import time
from cli.batch import progress
progress._SECONDS = 0
with progress.shown(1500, 500) as shown:
    for _ in range(5):
        time.sleep(0.2)
        shown.advance(200, ["a \x1b[2Jpicture: [no] ink"])
"""


def parts(reader: BinaryIO) -> Iterator[bytes]:
    """Yield what a process has written to a pipe or a terminal, of which one read gets a part."""
    with suppress(OSError):  # the end of a terminal
        while part := reader.read(100_000):
            yield part


@pytest.mark.parametrize(
    ("work", "is_terminal", "expected"),
    [
        (TRAINING, False, (r"^digits: learning, \d+ s$", r"^digits: learning, \d+ s: drawing, 75 % done, \d+ s left$")),
        (TRAINING, True, (r"learning .*\d:\d\d", r"drawing .* 75% .*\d:\d\d")),
        (
            BATCH,
            False,
            (r"^digits: 1,300 of 1,500 pictures, \d+ pictures/s, \d s left$", r"^a \\x1b\[2Jpicture: \[no\] ink$"),
        ),
        (BATCH, True, (r" 87% .*1300/1500.* \d+ pictures/s .*0:00:00", r"a \\x1b\[2Jpicture: \[no\] ink")),
    ],
    ids=["training, a file", "training, a terminal", "a run, a file", "a run, a terminal"],
)
def test_a_terminal_gets_bars_and_a_file_gets_lines(work: str, is_terminal: bool, expected: tuple[str, ...]) -> None:
    ours, its = os.openpty() if is_terminal else os.pipe()

    environment = {"COLUMNS": "120", "TERM": "xterm", "NO_COLOR": "1"}
    subprocess.run([sys.executable, "-c", work], check=True, cwd=REPOSITORY, stderr=its, env=environment)

    os.close(its)
    with os.fdopen(ours, "rb", buffering=0) as reader:
        shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(parts(reader)).decode())
    for pattern in expected:
        assert re.search(pattern, shown, re.MULTILINE), shown
