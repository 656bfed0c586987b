"""What the HTTP server must know of the gRPC server that runs beside it (`app.api.grpc.server`)."""

from typing import Protocol


class GrpcServer(Protocol):
    """A gRPC server in the same process."""

    @property
    def port(self) -> int:
        """The port on which it listens."""

    async def start(self) -> None:
        """Listen, and answer calls from now on."""

    async def stop(self, seconds: float) -> None:
        """Accept no more calls, and give the calls in work this long to finish."""
