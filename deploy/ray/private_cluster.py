"""A Ray cluster on this machine that only the user who started it can reach."""

import random
import secrets
import socket
from contextlib import suppress


def environment() -> dict[str, str]:
    """Return the variables to set before Ray is imported, with a new token."""
    return {
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray then refuses other machines, and listens on 127.0.0.1 only. Despite its name this applies to Linux too.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        # Without a token every account on this machine could run code. Ray itself would store one in the home folder.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }


def free_port() -> int:
    """Return a free port below the range from which the kernel chooses ports for Ray's other sockets.

    Raises OSError if a hundred random ports from 20000 to 29999 are in use.
    """
    for port in random.sample(range(20_000, 30_000), 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("expected a free port between 20000 and 29999, but 100 random ports are in use")


def last_line(exc: Exception) -> str:
    """Return the last line of a Ray error. The lines before are a traceback."""
    return (str(exc).strip().splitlines() or [type(exc).__name__])[-1]
