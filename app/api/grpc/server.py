"""The gRPC server of one process. It shares the event loop, the models and the batches with the HTTP server."""

import socket
from collections.abc import Sequence

import grpc

from app.api.grpc.arrivals import NewestFirst
from app.api.grpc.calls import MAX_MESSAGE_BYTES, Calls
from app.api.grpc.handlers import HEALTH, handlers
from app.api.grpc.messages import SERVICE
from app.api.grpc.reflection import Reflection
from app.asgi.service import Service

SERVICES = (SERVICE.full_name, HEALTH.full_name)


class GrpcServer:
    def __init__(self, service: Service, reserved: Sequence[socket.socket], grace_seconds: float) -> None:
        """Answer calls once `start` has opened the port. After `stop`, those in progress may take `grace_seconds`.

        The `reserved` sockets listen on the port until then, so that no other process takes it.
        """
        self._settings = service.settings
        self._reserved = reserved
        self._grace_seconds = grace_seconds
        probes = NewestFirst()
        self._handlers: list[grpc.GenericRpcHandler] = [Calls(service, handlers(service), probes)]
        if service.settings.docs:
            self._handlers.append(Reflection(SERVICES, probes))

    async def start(self) -> None:
        """Listen, and answer calls from now on. Raises SystemExit if the address or certificate cannot be used."""
        settings = self._settings
        server = grpc.aio.server(
            options=(
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", min(MAX_MESSAGE_BYTES, settings.max_body_bytes)),
                ("grpc.max_connection_idle_ms", 300_000),  # clients connect again by themselves
                # Bound what the calls of a connection take before a handler sees them.
                ("grpc.max_concurrent_streams", 64),
                ("grpc.max_metadata_size", 4096),
                ("grpc.absolute_max_metadata_size", 8192),
                # Otherwise grpcio holds several MB of each message that waits, when the network is fast.
                ("grpc.http2.bdp_probe", 0),
            )
        )
        server.add_generic_rpc_handlers(self._handlers)
        for listener in self._reserved:
            host, port = listener.getsockname()[:2]
            address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            listener.close()  # grpcio opens its own socket
            try:
                if settings.grpc_tls_cert and settings.grpc_tls_key:
                    pair = settings.grpc_tls_key.read_bytes(), settings.grpc_tls_cert.read_bytes()
                    server.add_secure_port(address, grpc.ssl_server_credentials((pair,)))
                else:
                    server.add_insecure_port(address)
            except (OSError, RuntimeError) as exc:
                raise SystemExit(f"digits: cannot listen for gRPC on {address}: {exc}") from None
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Refuse new calls, and give those in progress their time to finish. A second `stop` waits for the same end.

        A client that calls until the very end may see UNAVAILABLE or CANCELLED. Balancers have stopped calling
        by then, because the health check has said NOT_SERVING since the drain began.
        """
        await self._server.stop(self._grace_seconds)
