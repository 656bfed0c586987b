"""Start the service: listen, then serve in this process or in several."""

import importlib.util
import resource
import ssl
import sys
from pathlib import Path

from app.server.listener import listen, reserve
from app.server.supervisor import Supervisor
from app.settings import Settings, unknown_variables
from app.worker import serve, serve_worker

_MAX_OPEN_FILES = 65536
"""Limit for open files. Each connection counts as one. A process does not have the memory for more."""


def start(settings: Settings) -> int:
    """Listen, serve until a signal stops the service, and return the exit code.

    Raises:
        SystemExit: an address is not available, or gRPC is not installed. The message is one line.
    """
    for line in unknown_variables():
        print(f"digits: {line}", file=sys.stderr, flush=True)
    listener = listen(settings.host, settings.port)
    if settings.grpc_port is not None:
        _check_grpc(settings)
        reservation = reserve(settings.host, settings.grpc_port)  # kept open, for workers that start later
        settings = settings.model_copy(update={"grpc_port": reservation.getsockname()[1]})
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Shells usually allow only 1024.
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _MAX_OPEN_FILES), hard))
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    print(f"digits: http://{host}:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
    if settings.grpc_port is not None:
        print(f"digits: grpc://{host}:{settings.grpc_port}", file=sys.stderr, flush=True)
    if settings.workers > 1:
        return Supervisor(serve_worker, settings, listener).run()
    serve(settings, listener)
    return 0


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
