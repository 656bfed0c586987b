"""Hand each request to the application for its path."""

from collections.abc import Awaitable, Mapping, Sequence

from starlette._utils import get_route_path
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send


class Dispatcher:
    """Finds an application by the whole path of a request, or by the first part of the path.

    Two dictionaries are enough for that. Starlette's router takes 3.5 us for the same, 6 % of a request with 64 clients
    (`python -m benchmarks.speed.dispatch`).
    """

    def __init__(self, routes: Sequence[Route], by_first_part: Mapping[str, ASGIApp], default: ASGIApp) -> None:
        """Create a dispatcher.

        Args:
            routes: routes without path parameters, which are found by their whole paths.
            by_first_part: the applications for `/x` and every path below it, by `x`.
            default: the application for everything else. It also receives the lifespan events.
        """
        self._routes = {route.path: route for route in routes}
        self._by_first_part = by_first_part
        self._default = default

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Return the awaitable of the application's reply."""
        if scope["type"] != "http":
            return self._default(scope, receive, send)
        path = get_route_path(scope) if scope.get("root_path") else scope["path"]
        route = self._routes.get(path)
        if route is not None:
            scope["route"] = route  # as a router does
            return route.app(scope, receive, send)
        app = self._by_first_part.get(path[1:].partition("/")[0], self._default)
        return app(scope, receive, send)
