"""The FastAPI application, with the middleware and the OpenAPI document of this service."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Response
from starlette.types import ASGIApp, Scope

from app.asgi import middleware
from app.asgi.api_keys import PUBLIC
from app.asgi.route import DirectRoute
from app.asgi.service import Service
from app.openapi import document

ErrorPage = Callable[[Scope, Exception], Response | None]
"""Returns an error of a request as a page, or None if the client is a program."""


class Application(FastAPI):
    """A FastAPI application whose routes are `DirectRoute`s."""

    def __init__(self, service: Service, error_page: ErrorPage, **options: Any) -> None:
        """Create an application without routes. `service` becomes `state.service`. The options are those of FastAPI."""
        super().__init__(**options, redirect_slashes=False)
        self.router.route_class = DirectRoute
        self.error_page = error_page
        self.state.service = self.service = service

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            requires_keys = self.service.settings.api_keys_file is not None
            self.openapi_schema = document.complete(super().openapi(), open_paths=PUBLIC, requires_keys=requires_keys)
        return self.openapi_schema

    def build_middleware_stack(self) -> ASGIApp:
        """Return the middleware around the router. Starlette calls this once.

        The stack of FastAPI takes 5 us for each request. Its outermost layer answers unknown exceptions outside of all
        middleware that an application adds, so that these replies would have no request id and would not be logged.
        """
        return middleware.build_stack(self.router, self.service)
