"""The format of the log on stderr, and the service's own lines in it."""

import logging
import os
import sys
from contextlib import suppress

import orjson

from app.settings import LogFormat
from app.telemetry.access_log import timestamp

_STDERR = 2

_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
"""The control characters of ASCII and of Latin-1."""


def format_in_use(setting: LogFormat | None) -> LogFormat:
    """Return the format of the setting. If it is unset, a terminal gets text and everything else gets JSON."""
    # Ask the buffer, because Ray Serve replaces `sys.stderr` by an object that claims to be a terminal.
    return setting or ("text" if sys.stderr.buffer.isatty() else "json")


def configure(log_format: LogFormat) -> None:
    """Write the log to stderr: lines of `app` from level INFO on, and lines of libraries from WARNING on.

    Text has uvicorn's format.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter("%(levelname)s:     %(message)s"))
    logger = logging.getLogger("app")
    if not logger.handlers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    libraries = logging.getLogger()
    if not libraries.handlers:
        libraries.addHandler(handler)


def announce(line: str) -> None:
    """Write a line about the start. A service without a log still serves."""
    with suppress(OSError):
        print(f"digits: {line}", file=sys.stderr, flush=True)


def ensure_stderr() -> None:
    """Open stderr if this process was started without one. Otherwise a connection would get its number."""
    if sys.stderr is None:
        descriptor = os.open(os.devnull, os.O_WRONLY)
        if descriptor != _STDERR:
            os.dup2(descriptor, _STDERR)
            os.close(descriptor)
        sys.stderr = open(_STDERR, "w", closefd=False)  # noqa: SIM115 - as long as the process


class TextFormatter(logging.Formatter):
    """Formats a line about the service itself as text, without control characters that a client may have sent."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging calls it so
        """Return the line without its traceback."""
        return super().formatMessage(record).rstrip().translate(_ESCAPES)


class JsonFormatter(logging.Formatter):
    """Formats a line about the service itself as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {"time": timestamp(), "level": record.levelname, "message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()
