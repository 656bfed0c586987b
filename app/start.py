"""Start the service: listen, then serve in this process or in several.

The functions of a worker are here too, because a process that the supervisor spawns imports them by name.
"""

import importlib.util
import os
import resource
import signal
import socket
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING

from app.key_file import keys_at_start, read_keys
from app.server.handover import SupervisorLink
from app.server.listener import listen, reserve
from app.server.server import FINISH_SECONDS, Server
from app.server.supervisor import Supervisor
from app.settings import Settings, unknown_variables
from app.telemetry import logs

if TYPE_CHECKING:
    from app.asgi.application import Application

_MAX_OPEN_FILES = 65536
"""Limit for open files. Each connection counts as one. A process does not have the memory for more."""


def start(settings: Settings) -> int:
    """Listen, serve until a signal stops the service, and return the exit code.

    Raises:
        SystemExit: an address is not available, the keys cannot be read, or gRPC is not installed. The last line of the
            log says so.
    """
    with logs.last_line(settings.log_format):
        return _start(settings)


def _start(settings: Settings) -> int:
    log_format = logs.format_in_use(settings.log_format)
    for line in unknown_variables():
        logs.announce(line, log_format, "WARNING")
    keys_at_start(settings)  # before a worker reads them
    listener = listen(settings.host, settings.port)
    if settings.grpc_port is not None:
        _check_grpc(settings)
        reservation = reserve(settings.host, settings.grpc_port)  # kept open, for workers that start later
        settings = settings.model_copy(update={"grpc_port": reservation.getsockname()[1]})
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Shells usually allow only 1024.
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _MAX_OPEN_FILES), hard))
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    logs.announce(f"http://{host}:{listener.getsockname()[1]}", log_format)
    if settings.grpc_port is not None:
        logs.announce(f"grpc://{host}:{settings.grpc_port}", log_format)
    if settings.workers > 1:
        return Supervisor(serve_worker, settings, listener).run()
    # Until the server handles these signals. A KeyboardInterrupt in native code would become another error.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: os._exit(0))
    serve(settings, listener)
    return 0


def serve(settings: Settings, listener: socket.socket) -> None:
    """Serve on a bound listener until a signal stops the process."""
    Server(_create_app(settings), settings).run(sockets=[listener])


def serve_worker(settings: Settings, supervisor: socket.socket) -> None:
    """Serve the connections that the supervisor hands over on this end of a socket pair, until it closes the other."""
    with logs.last_line(settings.log_format):
        _wait_for_keys(settings)
        Server(_create_app(settings), settings, SupervisorLink(supervisor)).run(sockets=[])


def _wait_for_keys(settings: Settings) -> None:
    """Wait while the file with the keys cannot be used. The other workers go on with the keys that they have read."""
    said = None
    while settings.api_keys_file is not None:
        try:
            read_keys(settings.api_keys_file)
        except ValueError as exc:
            if str(exc) != said:
                said = str(exc)
                logs.announce(f"MNIST_API_KEYS_FILE: {said}", logs.format_in_use(settings.log_format), "ERROR")
            time.sleep(settings.reload_seconds)
        else:
            return


def _create_app(settings: Settings) -> "Application":
    """Return the application, with its gRPC server if the settings ask for one."""
    # Imported here because it takes half a second and 60 MB, and a supervisor does not need it.
    from app.main import create_app  # noqa: PLC0415

    app = create_app(settings)
    if settings.grpc_port is not None:
        # Imported here because they take 0.2 s and 8 MB, and are an extra.
        from app.api.grpc.server import GrpcServer  # noqa: PLC0415

        app.state.service.grpc_server = GrpcServer(app.state.service, FINISH_SECONDS)
    return app


def _check_grpc(settings: Settings) -> None:
    """Check what gRPC needs before a worker loads it.

    Raises:
        SystemExit: the extra `grpc` is not installed, or the TLS files cannot be used. The message is one line.
    """
    if any(importlib.util.find_spec(package) is None for package in ("grpc", "grpc_health", "grpc_reflection")):
        raise SystemExit(
            "digits: MNIST_GRPC_PORT needs grpcio. Run: make .venv/.grpc, or uv tool install '.[grpc]', "
            'or docker build --build-arg EXTRAS="--extra grpc"'
        )
    cert, key = settings.grpc_tls_cert, settings.grpc_tls_key
    if cert is not None and key is not None:
        _check_tls_files(cert, key)
    elif cert is not None or key is not None:
        raise SystemExit("digits: MNIST_GRPC_TLS_CERT, MNIST_GRPC_TLS_KEY: expected both files or none, received one")


def _check_tls_files(cert: Path, key: Path) -> None:
    """Check that both files can be read and belong together. grpcio would not say what is wrong.

    Raises:
        SystemExit: the message is one line.
    """
    for name, file in (("MNIST_GRPC_TLS_CERT", cert), ("MNIST_GRPC_TLS_KEY", key)):
        try:
            file.read_bytes()
        except OSError as exc:
            raise SystemExit(f"digits: {name}: cannot read {file}: {exc.strerror}") from None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")  # does not ask for a password
    except ssl.SSLError:
        raise SystemExit(
            "digits: MNIST_GRPC_TLS_CERT, MNIST_GRPC_TLS_KEY: expected a certificate chain and its private key without "
            "a password, both PEM, received other files"
        ) from None
