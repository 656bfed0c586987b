"""Let one training run at a time write to an output."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

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
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / "lock"  # it stays: a lock on a file that was removed would lock nothing
            stream = stack.enter_context(file.open("ab", buffering=0))  # closing writes nothing, and so cannot fail
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            stream.truncate(0)
            holder = f"process {os.getpid()} on {socket.gethostname()}, since {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
            stream.write(f"{holder}\n".encode())
        except BlockingIOError as exc:
            raise OutputInUse(
                f"{output}: expected no other training run that writes here, received "
                f"{file.read_text().strip() or 'one that has just started'}; wait for it, or choose another --output"
            ) from exc
        except OSError as exc:
            raise CannotWrite(f"{folder}: no training run can start here: {exc.strerror or exc}") from exc
        yield
