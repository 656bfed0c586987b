"""The service's own log lines on stderr, in uvicorn's format."""

import logging


def configure() -> None:
    """Write the log lines of `app` to stderr, from level INFO on."""
    logger = logging.getLogger("app")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s:     %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
