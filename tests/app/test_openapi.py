"""What OpenAPI says is what the service does: every check of Schemathesis, on what it makes of the document."""

import re

import pytest

from tests.app.conftest import Service, StartService
from tests.conftest import fresh_python

KEY = "a-key-of-more-than-sixteen-characters"


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        pytest.param({}, [], id="as it is"),
        pytest.param(
            {"MNIST_API_KEYS": KEY}, ["-H", f"Authorization: Bearer {KEY}", "--max-examples", "3"], id="with keys"
        ),
    ],
)
def test_whatever_is_asked_is_answered_as_the_document_says(
    start_service: StartService, settings: dict[str, str], options: list[str]
) -> None:
    service = start_service(**settings).wait_until_ready()
    config = ["--config-file", "tests/app/schemathesis.toml", "--no-color"]

    ran = fresh_python(
        "-m", "schemathesis.cli", *config, "run", f"{service.url}/openapi.json", *options, timeout_seconds=240
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Coverage (in" in ran.stdout
    assert "Fuzzing (in" in ran.stdout
    tested = re.search(r"Tested: (\d+)", ran.stdout)
    assert tested is not None
    assert int(tested[1]) >= 9
    assert "Traceback" not in service.log.read_text()


def test_what_never_comes_is_not_in_the_document(service: Service) -> None:
    document = service.client.get("/openapi.json").json()

    assert "HTTPValidationError" not in document["components"]["schemas"]
    assert "422" not in document["paths"]["/model/report/{name}"]["get"]["responses"]
