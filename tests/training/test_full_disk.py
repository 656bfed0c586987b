"""A training whose disk is full ends with one line that says so, wherever it writes."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import REPOSITORY, WITHOUT_COVERAGE, Mnist
from tests.training.conftest import saved

SMALL_DISKS = ("unshare", "--mount", "--map-root-user")
"""Begins a command that mounts disks. Only this command sees them, and they are gone when it ends."""

TRAIN_ON_EACH = """
import io, json, os, subprocess, sys, tempfile
from contextlib import redirect_stderr, redirect_stdout
from cli.main import main
from training import progress

progress._SECONDS = 600  # no lines about the progress on a busy machine

def train(kilobytes, disk, temporary, arguments):
    os.mkdir(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", disk], check=True)
    tempfile.tempdir = temporary
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as errors:
        try:
            main(["train", *arguments])
        except SystemExit as stopped:
            return stopped.code, errors.getvalue()

print(json.dumps([train(*each) for each in json.loads(sys.argv[1])]))
"""
"""Mounts small disks and trains on each, in one process, as the import of TensorFlow takes longer than the training."""

STATE = "{disk}/mnist-dense/.training/[0-9a-f]{{16}}: the training state cannot be saved"
CONVERSION = "the network cannot be converted to ONNX"
NOTHING = "nothing was published below {disk}/mnist-dense: No space left on device"

FULL = {
    "the settings of the run": (4, "output", f"{STATE}: No space left on device"),
    "the state after an epoch": (1000, "output", f"{STATE} or read: No space left on device; .*"),
    "a figure of the report": (3204, "output", NOTHING),
    "model.onnx": (4000, "output", NOTHING),
    "model.keras": (6000, "output", NOTHING),
    "temporary files": (400, "temporary", rf"{CONVERSION}: \[Errno 28\] No space left on device"),
}
"""What does not fit on the disk: the disk's kilobytes, what is written to it, and the message."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("disks")


@pytest.fixture(scope="module")
def ended(folder: Path, mnist: Mnist) -> dict[str, tuple[int, str]]:
    """The exit code and the errors of a training on each disk."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        pytest.skip("needs unshare from util-linux")
    tried = subprocess.run(
        [*SMALL_DISKS, "mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if tried.returncode != 0:
        pytest.skip(f"needs the right to mount a small disk: {tried.stderr.strip()}")
    x, y = mnist.pixels[::20], mnist.labels[::20].astype(np.uint8)
    few = saved(folder / "few.npz", {"x_train": x, "y_train": y, "x_test": x, "y_test": y})
    options = ("--allow-other-data", "--recipe", "lecture", "--epochs", "1", "--validation-split", "0", "--force")
    trainings = []
    for name, (kilobytes, full, _) in FULL.items():
        disk, elsewhere = str(folder / name), str(folder / "models")
        output, temporary = (disk, None) if full == "output" else (elsewhere, disk)
        trainings.append((kilobytes, disk, temporary, ("--data", str(few), *options, "--output", output)))

    ran = subprocess.run(
        [*SMALL_DISKS, sys.executable, "-c", TRAIN_ON_EACH, json.dumps(trainings)],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin", **WITHOUT_COVERAGE},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    return dict(zip(FULL, json.loads(ran.stdout), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_a_training_on_a_full_disk_ends_with_one_line(
    name: str, folder: Path, ended: dict[str, tuple[int, str]]
) -> None:
    code, errors = ended[name]

    message = FULL[name][2].format(disk=folder / name)
    assert code == 2
    assert re.fullmatch(f"digits: {message}\n", errors), errors
