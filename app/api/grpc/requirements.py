"""Check what gRPC needs before anything else starts. This module does not import grpcio."""

import importlib.util
import ssl

from app.settings import Settings


def check_requirements(settings: Settings) -> None:
    """Check the port, that the extra `grpc` is installed and that the TLS files can be used.

    Raises SystemExit in one line.
    """
    if settings.grpc_port and settings.grpc_port == settings.port:
        raise SystemExit(f"digits: MNIST_PORT, MNIST_GRPC_PORT: expected two ports, received {settings.port} for both")
    if any(importlib.util.find_spec(package) is None for package in ("grpc", "grpc_health", "grpc_reflection")):
        raise SystemExit(
            "digits: MNIST_GRPC_PORT needs grpcio. Run: make .venv/.grpc, or uv tool install '.[cli,grpc]', "
            'or docker build --build-arg EXTRAS="--extra grpc"'
        )
    cert, key = settings.grpc_tls_cert, settings.grpc_tls_key
    if cert is None and key is None:
        return
    if cert is None or key is None:
        raise SystemExit("digits: MNIST_GRPC_TLS_CERT, MNIST_GRPC_TLS_KEY: expected both files or none, received one")
    # grpcio would not say what is wrong with them.
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
