"""Our own lines beside uvicorn's on stderr."""

import logging


def configure() -> None:
    """Show what the service says of itself."""
    ours = logging.getLogger("app")
    if not ours.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s:     %(message)s"))
        ours.addHandler(handler)
        ours.setLevel(logging.INFO)
        ours.propagate = False
