"""Start the service: listen, create the application, and let uvicorn serve it."""

import errno
import os
import resource
import signal
import socket
from typing import Any

import uvicorn

from app.api.grpc.requirements import check_requirements
from app.server.connection import Connection
from app.settings import Settings, warnings_about
from app.telemetry import logs
from app.telemetry.stderr import log_native_lines

KEEP_ALIVE_SECONDS = 65  # usual proxies close idle connections after 60 s, and lose a request if the server is faster
FINISH_SECONDS = 20  # for requests, once the listener has closed; with 5 s of draining, this fits Kubernetes' 30 s


def start(settings: Settings) -> int:
    """Listen, serve until a signal stops the service, and return the exit code.

    Raises SystemExit if an address is not available, the keys cannot be read, or gRPC is not installed.
    """
    with logs.last_line(settings.log_format) as log_format:
        # Until the drain handles these signals, and when uvicorn raises them again at its end.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: os._exit(0))
        log_native_lines()
        for line in warnings_about(settings):
            logs.announce(line, log_format, "WARNING")
        listeners = listen(settings.host, settings.port)
        # Each connection is an open file. Shells usually allow 1024, and a process does not have the memory for 65536.
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
        from app.main import create_app  # noqa: PLC0415 - takes half a second

        app = create_app(settings)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        if settings.grpc_port is not None:
            check_requirements(settings)
            from app.api.grpc.server import GrpcServer  # noqa: PLC0415 - grpcio is an extra

            reserved = listen(settings.host, settings.grpc_port, "MNIST_GRPC_PORT")
            app.state.service.grpc_server = GrpcServer(app.state.service, reserved, FINISH_SECONDS)
            logs.announce(f"grpc://{host}:{reserved[0].getsockname()[1]}", log_format)
        logs.announce(f"http://{host}:{listeners[0].getsockname()[1]}", log_format)
        # `app.telemetry` writes the log and reads the headers of proxies.
        options: dict[str, Any] = {"log_config": None, "log_level": "info", "access_log": False, "proxy_headers": False}
        options |= {"timeout_keep_alive": KEEP_ALIVE_SECONDS, "timeout_graceful_shutdown": FINISH_SECONDS}
        options |= {"lifespan": "on", "ws": "none", "server_header": False}
        uvicorn.Server(uvicorn.Config(app, http=Connection, **options)).run(sockets=listeners)
    return 0


def listen(host: str, port: int, variable: str = "MNIST_PORT") -> list[socket.socket]:
    """Listen on the same port of each address that the host stands for, and return the sockets.

    A port in use is thus reported in one line before the model is loaded. Connections wait until they are accepted. An
    address that this machine does not have is left out, such as the `::1` of `localhost` without IPv6.

    Raises SystemExit if a port is in use or no address is left. The message names `variable`.
    """
    listeners: list[socket.socket] = []
    missing = None
    try:
        for family, _, _, _, address in dict.fromkeys(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)):
            same_port = listeners[0].getsockname()[1] if listeners else port
            try:
                listeners.append(_listener(family, (address[0], same_port, *address[2:])))
            except OSError as exc:
                if exc.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                    raise
                missing = exc
        if missing and not listeners:
            raise missing
    except (OSError, UnicodeError) as exc:  # the name of a host that no DNS can have is a UnicodeError
        for listener in listeners:
            listener.close()
        reason = getattr(exc, "strerror", None) or exc
        raise SystemExit(f"digits: cannot listen on {host}:{port} (MNIST_HOST, {variable}): {reason}") from None
    return listeners


def _listener(family: int, address: tuple[Any, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()  # two sockets with SO_REUSEADDR can be bound to one address until one of them listens
    except OSError:
        listener.close()
        raise
    return listener
