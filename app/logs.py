"""What is logged, and what is not."""

import logging

from app.routes.health import PROBES


class _NotProbes(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        # uvicorn's access record: client, method, path, HTTP version, status
        return not (isinstance(record.args, tuple) and str(record.args[2]).partition("?")[0] in PROBES)


def configure() -> None:
    """Show our own lines beside uvicorn's on stderr; leave probes out of its access log."""
    access = logging.getLogger("uvicorn.access")
    if not any(isinstance(present, _NotProbes) for present in access.filters):
        access.addFilter(_NotProbes())
    ours = logging.getLogger("app")
    if not ours.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s:     %(message)s"))
        ours.addHandler(handler)
        ours.setLevel(logging.INFO)
        ours.propagate = False
