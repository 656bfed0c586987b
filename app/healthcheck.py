"""`python -m app.healthcheck`: exit with 0 if the service on this machine is ready. For images without curl."""

import http.client
import os
import sys


def main() -> int:
    """Request `/readyz` and print the reply. Return 0 if the service is ready, else 1."""
    # Read without `app.settings`: this runs every few seconds, and importing pydantic would take most of its time.
    environment = {name.upper(): value for name, value in os.environ.items()}
    port = int(environment.get("MNIST_PORT") or 8000)
    host = environment.get("MNIST_HOST") or "127.0.0.1"
    connection = http.client.HTTPConnection({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port, timeout=2)  # noqa: S104
    try:
        connection.request("GET", "/readyz")
        reply = connection.getresponse()
        print(reply.read().decode())
    except OSError as exc:
        print(f"no reply on port {port}: {exc}")
        return 1
    return 0 if reply.status == http.HTTPStatus.OK else 1


if __name__ == "__main__":
    sys.exit(main())
