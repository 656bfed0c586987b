"""The services of `tests/app`, for what looks at them from outside."""

from tests.app.conftest import service, start_service

__all__ = ["service", "start_service"]
