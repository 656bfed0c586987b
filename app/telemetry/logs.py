"""The format of the log on stderr, and the service's own lines in it."""

import logging
import sys

import orjson

from app.settings import LogFormat
from app.telemetry.access_log import timestamp


def format_in_use(setting: LogFormat | None) -> LogFormat:
    """Return the format of the setting. If it is unset, a terminal gets text and everything else gets JSON."""
    # Ask the buffer, because Ray Serve replaces `sys.stderr` by an object that claims to be a terminal.
    return setting or ("text" if sys.stderr.buffer.isatty() else "json")


def configure(log_format: LogFormat) -> None:
    """Write the log to stderr: lines of `app` from level INFO on, and lines of libraries from WARNING on.

    Text has uvicorn's format.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter() if log_format == "json" else logging.Formatter("%(levelname)s:     %(message)s")
    )
    logger = logging.getLogger("app")
    if not logger.handlers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    libraries = logging.getLogger()
    if not libraries.handlers:
        libraries.addHandler(handler)


class JsonFormatter(logging.Formatter):
    """Formats a line about the service itself as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {"time": timestamp(), "level": record.levelname, "message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()
