"""One server process: the application and its server.

The supervisor starts this function in each worker, so it is in a module that a spawned process can import by name.
"""

import socket
from multiprocessing.connection import Connection

from app.settings import Settings


def serve(settings: Settings, listener: socket.socket, supervisor: Connection | None = None) -> None:
    """Serve on the listener until a signal stops the process.

    Args:
        settings: the settings of the service.
        listener: a bound socket.
        supervisor: a pipe on which a worker reports once a second that it is alive; None without a supervisor.
    """
    # These imports take half a second and 60 MB, which the supervisor of several workers does not need.
    from app.main import create_app  # noqa: PLC0415
    from app.server.server import Server  # noqa: PLC0415

    Server(create_app(settings), settings, supervisor).run(sockets=[listener])
