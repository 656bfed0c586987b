"""A Ray cluster of this machine alone: what Ray reads, so that nobody else reaches it, and what it says went wrong."""

import random
import secrets
import socket
from contextlib import suppress


def environment() -> dict[str, str]:
    """Variables that are to be set before Ray is imported, with a token made anew."""
    return {
        "RAY_USAGE_STATS_ENABLED": "0",
        # A cluster that is none: only then does Ray listen on 127.0.0.1 alone, on Linux too.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        # Else whoever has an account on this machine may have it run something; Ray would keep it in the home folder.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }


def free_port() -> int:
    """One that nobody listens on, now, and that the kernel hands to nobody who asks for any one, as Ray does."""
    for port in random.sample(range(20_000, 30_000), 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("expected a free port between 20000 and 29999, found none")


def last_line(exc: Exception) -> str:
    """What Ray's messages, which hold a traceback, come down to."""
    return (str(exc).strip().splitlines() or [type(exc).__name__])[-1]
