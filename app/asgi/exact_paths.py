"""Requests for the busiest paths go to their endpoint directly, before the router."""

from collections.abc import Awaitable, Sequence

from starlette._utils import get_route_path
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send


class ExactPaths:
    """Finds a route by its whole path in a dictionary, and hands every other request to the router.

    Starlette's router takes 3.5 us for the same, 6 % of a request with 64 clients
    (`python -m benchmarks.speed.dispatch`).
    """

    def __init__(self, routes: Sequence[Route], router: ASGIApp) -> None:
        """Use routes without path parameters, and `router` for everything else."""
        self._routes = {route.path: route for route in routes}
        self._router = router

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Return the awaitable of the endpoint's or the router's reply."""
        if scope["type"] == "http":
            route = self._routes.get(get_route_path(scope) if scope.get("root_path") else scope["path"])
            if route is not None:
                scope["route"] = route
                return route.app(scope, receive, send)
        return self._router(scope, receive, send)
