"""The paths of the health probes. They need no API key, and are not in the access log."""

PROBES = (
    *("/livez", "/startupz", "/readyz", "/health", "/ping", "/v2/health/live", "/v2/health/ready"),
    # Over gRPC
    "/grpc.health.v1.Health/Check",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
)
