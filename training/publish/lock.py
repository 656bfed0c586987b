"""Let one training run at a time write to an output."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from training.errors import CannotWrite, OutputInUse
from training.fit.epochs import STATES


@contextmanager
def exclusive(output: Path) -> Iterator[None]:
    """Hold the lock of an output, the parent of its versions. The kernel releases it, also after `kill -9`.

    Raises:
        OutputInUse: another run holds the lock. The message names it.
        CannotWrite: the file system refused.
    """
    folder = output / STATES
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / "lock").open("a+")  # it stays: a lock on a file that was removed would lock nothing
    except OSError as exc:
        raise _refused(folder, exc) from exc
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write_holder(stream)
        except BlockingIOError as exc:
            stream.seek(0)
            raise OutputInUse(
                f"{output}: expected no other training run that writes here, received "
                f"{stream.read().strip() or 'one that has just started'}; wait for it, or choose another --output"
            ) from exc
        except OSError as exc:
            raise _refused(folder, exc) from exc
        yield


def _write_holder(stream: TextIO) -> None:
    stream.truncate(0)
    now = datetime.now(UTC)
    print(f"process {os.getpid()} on {socket.gethostname()}, since {now:%Y-%m-%d %H:%M} UTC", file=stream, flush=True)


def _refused(folder: Path, exc: OSError) -> CannotWrite:
    return CannotWrite(f"{folder}: no training run can start here: {exc.strerror or exc}")
