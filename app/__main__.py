"""`python -m app`: the service, with its settings from the environment."""

import resource
import socket
import sys

from app.server.supervisor import Supervisor
from app.settings import read_settings
from app.worker import serve

_FILES = 65536
"""Most connections, about; more would be more than a process has memory for."""


def main() -> int:
    """Listen, then serve until a signal ends it; the exit code.

    Raises:
        SystemExit: a bad setting, or an address that cannot be listened on; one line says which.
    """
    settings = read_settings()
    listener = listen(settings.host, settings.port)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Shells allow 1024 open files, and each connection is one.
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard < _FILES else _FILES, hard))
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    print(f"digits: http://{host}:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
    if settings.workers > 1:
        return Supervisor(serve, settings, listener).run()
    serve(settings, listener)
    return 0


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Before anything is loaded, so that a port in use is one line and no half-started service.

    Raises:
        SystemExit: the address cannot be listened on.
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
