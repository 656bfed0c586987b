"""The gRPC health protocol, which Kubernetes and load balancers speak.

https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from grpc_health.v1 import health_pb2
from starlette.types import Receive, Scope

from app.api.grpc.handlers import SERVICE
from app.api.grpc.infer import message_reply, parse_message
from app.asgi.reply import Reply
from app.errors import NotFound
from app.inference.model_registry import ModelRegistry
from app.input.body import MemoryBudget, Reservation, read_body

HEALTH_SERVICE: str = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
CHECK = f"/{HEALTH_SERVICE}/Check"

_MAX_BYTES = 1024
"""Maximum size of a request, which holds only a name."""


class Health:
    """The handler of `Check`. There is no `Watch`: the protocol lets clients take its absence for good health."""

    def __init__(self, registry: ModelRegistry, memory_budget: MemoryBudget) -> None:
        """Report whether `registry` has a model that answers right."""
        self._registry = registry
        self._memory_budget = memory_budget

    async def check(self, _scope: Scope, receive: Receive) -> Reply:
        """Answer as `/readyz` does, for the whole server ("") or for the inference service.

        Raises:
            NotFound: the server has no such service.
        """
        with Reservation(self._memory_budget) as reservation:
            body = await read_body(receive, b"", _MAX_BYTES, reservation)
        service = parse_message(health_pb2.HealthCheckRequest, body).service
        if service not in ("", SERVICE):
            raise NotFound(f"expected the service {SERVICE!r} or '', received {service[:40]!r}")
        ready = self._registry.unready_reason() is None
        status = health_pb2.HealthCheckResponse
        return message_reply(status(status=status.SERVING if ready else status.NOT_SERVING))
