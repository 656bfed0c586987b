"""Write the log to stderr without waiting for whoever reads it.

A pipe that is not read is full after 64 KB, and a write would then stop the service.
"""

import faulthandler
import logging
import os
import select
import sys
import threading
import time

_MAX_HELD_BYTES = 1_000_000  # of the log are kept until they can be written; further lines are dropped


class Stderr:
    """A stream for `logging`, which the access log shares."""

    def __init__(self) -> None:
        self.dropped = 0
        """Number of lines that were dropped."""
        self._held = bytearray()
        self._lock = threading.Lock()

    def write(self, text: str) -> None:
        self.write_lines(text.encode(errors="backslashreplace"))

    def write_lines(self, lines: bytes) -> None:
        """Write whole lines now, or as soon as somebody reads. Too many are dropped."""
        with self._lock:
            if len(self._held) + len(lines) > _MAX_HELD_BYTES:
                self.dropped += lines.count(b"\n")
            else:
                self._held += lines
            self._write_held()

    def flush(self) -> None:
        """Write what is held, as far as stderr takes it at once."""
        if self._held:
            with self._lock:
                self._write_held()

    def _write_held(self) -> None:
        try:
            while self._held and select.select((), (sys.stderr.buffer,), (), 0)[1]:
                # Where a pipe has room at all, a piece of this size does not block.
                written = sys.stderr.buffer.write(self._held[: select.PIPE_BUF])
                sys.stderr.buffer.flush()
                del self._held[:written]
        except (OSError, ValueError):  # stderr is closed, but requests are still answered
            self._held.clear()


def log_native_lines() -> None:
    """Send what native libraries write to stderr through the log, at most a line each second.

    libtiff writes thousands of lines about one damaged picture, which are no JSON, and would wait for their reader.
    """
    descriptor = sys.stderr.fileno()
    sys.stderr = os.fdopen(os.dup(descriptor), "w", buffering=1, errors="backslashreplace")
    faulthandler.enable(sys.stderr)  # a crash ends the thread that reads the pipe
    readable, writable = os.pipe()
    os.dup2(writable, descriptor)
    os.close(writable)
    threading.Thread(target=_log_lines, args=(readable,), name="native log", daemon=True).start()


def _log_lines(readable: int) -> None:
    logged_at = -1.0
    while text := os.read(readable, 65536):
        if time.monotonic() >= logged_at + 1:
            logged_at = time.monotonic()
            line = text.partition(b"\n")[0][:400].decode(errors="backslashreplace")
            logging.getLogger("app.native").warning("a library reports: %s", line)


STDERR = Stderr()
"""The log of this process."""
