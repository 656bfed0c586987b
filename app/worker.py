"""One server process: an application and its server.

The functions have their own module, because a process that the supervisor spawns imports them by name.
"""

import os
import socket
import sys

from app.settings import Settings


def serve(settings: Settings, listener: socket.socket) -> None:
    """Serve on a bound listener until a signal stops the process."""
    # Imported here because they take half a second and 60 MB, and a supervisor does not need them.
    from app.main import create_app  # noqa: PLC0415
    from app.server.server import Server  # noqa: PLC0415

    Server(create_app(settings), settings).run(sockets=[listener])
    _end(settings)


def serve_worker(settings: Settings, supervisor: socket.socket) -> None:
    """Serve the connections that the supervisor hands over on this end of a socket pair, until it closes the other."""
    from app.main import create_app  # noqa: PLC0415
    from app.server.handover import SupervisorLink  # noqa: PLC0415
    from app.server.server import Server  # noqa: PLC0415

    Server(create_app(settings), settings, SupervisorLink(supervisor)).run(sockets=[])
    _end(settings)


def _end(settings: Settings) -> None:
    """End a process that has served gRPC, without the interpreter's cleanup.

    The gRPC server still listens (`app.api.grpc.server`), and grpcio can only destroy it in its event loop, which has
    ended.
    """
    if settings.grpc_port is not None:
        sys.stderr.flush()
        os._exit(0)
