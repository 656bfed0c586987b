"""The paths of the health probes, which neither the access log nor API keys apply to."""

PROBES = ("/livez", "/startupz", "/readyz", "/health", "/ping", "/v2/health/live", "/v2/health/ready")
