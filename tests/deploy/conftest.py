"""The services of `tests/app`, for the tests of deploy."""

from tests.app.conftest import service, start_service

__all__ = ["service", "start_service"]
