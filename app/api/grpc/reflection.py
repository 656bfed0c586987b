"""gRPC reflection, which tells tools such as grpcurl the services and their messages.

https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
"""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from app import errors
from app.api.grpc.arrivals import Arrivals
from app.api.grpc.calls import CODES, Call
from app.errors import Abandoned, SlowBody
from digits.errors import DigitsError

METHOD = f"/{reflection.SERVICE_NAME}/ServerReflectionInfo"


class Reflection(grpc.GenericRpcHandler):  # type: ignore[misc] # grpcio has no types
    """Answers reflection by grpcio's own servicer, with limits for the messages that it gets."""

    def __init__(self, services: tuple[str, ...], arrivals: Arrivals) -> None:
        self._servicer = reflection.aio.ReflectionServicer((*services, reflection.SERVICE_NAME))
        self._arrivals = arrivals

    def service(self, handler_call_details: Any) -> Any:
        if handler_call_details.method != METHOD:
            return None
        return grpc.stream_stream_rpc_method_handler(self._answer)

    async def _answer(self, _messages: object, context: Any) -> AsyncIterator[bytes]:
        try:
            async for reply in self._servicer.ServerReflectionInfo(self._requests(context), context):
                yield reply.SerializeToString()
        except DigitsError as exc:
            status, detail, _ = errors.describe(exc)
            await context.abort(CODES[status], detail)

    async def _requests(self, context: Any) -> AsyncIterator[Any]:
        """Parse each message. The call ends when the client sends no more, or none for some time."""
        call = Call(context, self._arrivals)
        try:
            while True:
                yield await call.read_as(reflection_pb2.ServerReflectionRequest)
        except (Abandoned, SlowBody):
            return
