"""`python -m app`: serve with the settings of the environment."""

import resource
import socket
import sys

from app.server.supervisor import Supervisor
from app.settings import read_settings
from app.worker import serve

_MAX_OPEN_FILES = 65536
"""Limit for open files, of which each connection is one. A process has no memory for more."""


def main() -> int:
    """Listen, serve until a signal stops the service, and return the exit code.

    Raises:
        SystemExit: a setting is invalid or the address is not available; its message is one line.
    """
    settings = read_settings()
    listener = listen(settings.host, settings.port)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Shells usually allow 1024.
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _MAX_OPEN_FILES), hard))
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    print(f"digits: http://{host}:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
    if settings.workers > 1:
        return Supervisor(serve, settings, listener).run()
    serve(settings, listener)
    return 0


def listen(host: str, port: int) -> socket.socket:
    """Return a bound socket.

    It is bound before the model is loaded, so that a port in use is reported at once, in one line.

    Raises:
        SystemExit: the address is not available.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as exc:
        raise SystemExit(
            f"digits: cannot listen on {host}:{port} (MNIST_HOST, MNIST_PORT): {exc.strerror or exc}"
        ) from None
    return listener


if __name__ == "__main__":
    sys.exit(main())
