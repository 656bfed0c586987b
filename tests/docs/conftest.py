"""The services of `tests/app`, for the examples in the documents."""

from tests.app.conftest import client, service

__all__ = ["client", "service"]
