"""The format of the log on stderr, and the service's own lines in it."""

import logging
import sys
from datetime import UTC, datetime

import orjson

from app.settings import LogFormat


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


def timestamp() -> str:
    """Return the time of day as JSON lines have it: UTC in ISO 8601, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonFormatter(logging.Formatter):
    """Formats a line about the service itself as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {"time": timestamp(), "level": record.levelname, "message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()
