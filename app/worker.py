"""One server process: an application and its server.

`serve` has its own module, because a process that the supervisor spawns imports it by name.
"""

import socket
from multiprocessing.connection import Connection

from app.settings import Settings


def serve(settings: Settings, listener: socket.socket, supervisor: Connection | None = None) -> None:
    """Serve on the listener until a signal stops the process.

    Args:
        settings: the settings of the service.
        listener: a bound socket.
        supervisor: a pipe on which a worker reports once a second that it is alive. None without a supervisor.
    """
    # Imported here because they take half a second and 60 MB, and a supervisor does not need them.
    from app.main import create_app  # noqa: PLC0415
    from app.server.server import Server  # noqa: PLC0415

    Server(create_app(settings), settings, supervisor).run(sockets=[listener])
