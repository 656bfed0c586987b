"""The format of the log on stderr, and the service's own lines in it."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import orjson

from app.settings import LogFormat
from app.telemetry.access_log import timestamp
from app.telemetry.stderr import STDERR

_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
"""The control characters of ASCII and of Latin-1."""


def format_in_use(setting: LogFormat | None) -> LogFormat:
    """Return the format of the setting. If it is unset, a terminal gets text and everything else gets JSON."""
    # Ask the buffer, because Ray Serve replaces `sys.stderr` by an object that claims to be a terminal.
    return setting or ("text" if sys.stderr.buffer.isatty() else "json")


def configure(log_format: LogFormat) -> None:
    """Write the log to stderr, text as uvicorn does: `app` from level INFO on, and libraries from WARNING on."""
    handler = logging.StreamHandler(STDERR)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter("%(levelname)s:     %(message)s"))
    logger = logging.getLogger("app")
    if not logger.handlers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    libraries = logging.getLogger()
    if not libraries.handlers:
        libraries.addHandler(handler)


def announce(line: str, log_format: LogFormat, level: str = "INFO") -> None:
    """Write a line about the start or the end. A service without a log still serves."""
    STDERR.write((_json(level, line) if log_format == "json" else f"digits: {line}") + "\n")


@contextmanager
def last_line(setting: LogFormat | None) -> Iterator[LogFormat]:
    """Write why the block ends the process as a line of the log: the message of a SystemExit, or a bug's traceback.

    The block gets the format of the log. If it did not end well, SystemExit has the exit code, and no message.
    """
    if sys.stderr is None:  # without this, a client could take its place and receive the log
        number = os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.stderr = open(number, "w", closefd=False)  # noqa: SIM115 - as long as the process
    configure(log_format := format_in_use(setting))
    logging.captureWarnings(True)
    try:
        yield log_format
    except SystemExit as stopped:
        if not isinstance(stopped.code, str):
            raise
        announce(stopped.code.removeprefix("digits: "), log_format, "CRITICAL")
        raise SystemExit(2) from None
    except KeyboardInterrupt:  # during the start. Later, the server handles it.
        raise SystemExit(0) from None
    except Exception:
        logging.getLogger(__name__).critical("the service ended; this is a bug", exc_info=True)
        raise SystemExit(1) from None


class TextFormatter(logging.Formatter):
    """Formats a line about the service itself as text, without control characters that a client may have sent."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging calls it so
        """Return the line without its traceback."""
        return super().formatMessage(record).rstrip().translate(_ESCAPES)


class JsonFormatter(logging.Formatter):
    """Formats a line about the service itself as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        more = {"exception": self.formatException(record.exc_info)} if record.exc_info else {}
        return _json(record.levelname, record.getMessage(), **more)


def _json(level: str, message: str, **more: str) -> str:
    message = message.encode(errors="backslashreplace").decode()  # a path may not be UTF-8
    return orjson.dumps({"time": timestamp(), "level": level, "message": message, **more}).decode()
