"""The services of `tests/app`, for the examples in the documents."""

from tests.app.conftest import client, reloading, service, shared_reloading

__all__ = ["client", "reloading", "service", "shared_reloading"]
