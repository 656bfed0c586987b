"""The methods of FastAPI that the service overrides take what the service expects. No other package is overridden."""

import inspect
from importlib.metadata import version
from typing import Any

import fastapi
import fastapi.routing
import pytest

OVERRIDDEN = [
    (fastapi.routing.APIRoute, "matches", "self, scope"),
    (fastapi.routing.APIRoute, "handle", "self, scope, receive, send"),
    (fastapi.FastAPI, "build_middleware_stack", "self"),
    (fastapi.FastAPI, "openapi", "self"),
]


@pytest.mark.parametrize(
    ("owner", "name", "parameters"), [pytest.param(*row, id=f"{row[0].__name__}.{row[1]}") for row in OVERRIDDEN]
)
def test_an_overridden_method_has_the_expected_parameters(owner: Any, name: str, parameters: str) -> None:
    found = ", ".join(inspect.signature(getattr(owner, name)).parameters)

    assert found == parameters, f"fastapi {version('fastapi')}: {owner.__name__}.{name}({found}) has another signature"
