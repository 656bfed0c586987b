"""The gRPC health protocol, which Kubernetes and load balancers speak.

https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from grpc_health.v1 import health_pb2

from app.api.grpc.calls import Answer, Call
from app.api.grpc.handlers import SERVICE
from app.errors import NotFound
from app.inference.model_registry import ModelRegistry

HEALTH_SERVICE: str = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
CHECK = f"/{HEALTH_SERVICE}/Check"


class Health:
    """The handler of `Check`. There is no `Watch`: the protocol lets clients take its absence for good health."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry

    async def check(self, call: Call) -> Answer:
        """Answer as `/readyz` does, for the whole server ("") or for the inference service.

        Raises:
            NotFound: the server has no such service.
            BodyTooLarge, MalformedBody, SlowBody, Abandoned: the message cannot be read.
        """
        name = (await call.read_as(health_pb2.HealthCheckRequest)).service
        if name not in ("", SERVICE):
            raise NotFound(f"expected the service {SERVICE!r} or '', received {name[:40]!r}")
        ready = self._registry.unready_reason() is None
        status = health_pb2.HealthCheckResponse
        return Answer(status(status=status.SERVING if ready else status.NOT_SERVING))
