"""One server process: an application and its server.

The functions have their own module, because a process that the supervisor spawns imports them by name.
"""

import socket

from app.settings import Settings


def serve(settings: Settings, listener: socket.socket) -> None:
    """Serve on a bound listener until a signal stops the process."""
    # Imported here because they take half a second and 60 MB, and a supervisor does not need them.
    from app.main import create_app  # noqa: PLC0415
    from app.server.server import Server  # noqa: PLC0415

    Server(create_app(settings, with_grpc=True), settings).run(sockets=[listener])


def serve_worker(settings: Settings, supervisor: socket.socket) -> None:
    """Serve the connections that the supervisor hands over on this end of a socket pair, until it closes the other."""
    from app.main import create_app  # noqa: PLC0415
    from app.server.handover import SupervisorLink  # noqa: PLC0415
    from app.server.server import Server  # noqa: PLC0415

    Server(create_app(settings, with_grpc=True), settings, SupervisorLink(supervisor)).run(sockets=[])
