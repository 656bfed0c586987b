"""`python -m app`: the service, with its settings from the environment."""

import socket
import sys

import uvicorn
from uvicorn.supervisors import Multiprocess

from app.protocol import Protocol
from app.settings import read_settings

_KEEP_ALIVE_SECONDS = 65
"""Longer than the 60 s after which usual proxies close an idle connection: who closes first loses no request."""

_WORKER_SECONDS = 30
"""A worker that does not answer its supervisor for so long is replaced; nothing holds one up for a hundredth of it."""


def main() -> None:
    """Listen, then serve until a signal ends it.

    Raises:
        SystemExit: a bad setting, or an address that cannot be listened on; one line says which.
    """
    settings = read_settings()
    listener = _listen(settings.host, settings.port)
    config = uvicorn.Config(
        "app.main:create_app",
        factory=True,
        workers=settings.workers,
        http=Protocol,
        access_log=False,  # `app.access` has one
        proxy_headers=False,  # nothing asks who the client is
        server_header=False,  # nor does a client need to know that it is uvicorn
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_worker_healthcheck=_WORKER_SECONDS,
    )
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    print(f"digits: http://{host}:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
    if settings.workers > 1:
        Multiprocess(config, sockets=[listener]).run()
        return
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:  # Ctrl-C, after everything was closed in order
        sys.exit(130)


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket. Before anything is loaded, so that a port in use is one line and no half-started service."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.set_inheritable(True)
    except OSError as exc:
        raise SystemExit(
            f"digits: cannot listen on {host}:{port} (MNIST_HOST, MNIST_PORT): {exc.strerror or exc}"
        ) from None
    return listener


if __name__ == "__main__":
    main()
