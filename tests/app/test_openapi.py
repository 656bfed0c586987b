"""The service does what its OpenAPI document says, by every check of Schemathesis."""

import re

import pytest

from tests.app.conftest import Service, StartService
from tests.conftest import fresh_python

KEY = "a-key-of-more-than-sixteen-characters"


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        pytest.param({}, [], id="default settings"),
        pytest.param(
            {"MNIST_API_KEYS": KEY}, ["-H", f"Authorization: Bearer {KEY}", "--max-examples", "3"], id="with keys"
        ),
    ],
)
def test_every_generated_request_is_answered_as_the_document_says(
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


def test_the_document_has_the_report_but_neither_the_page_nor_errors_that_never_occur(service: Service) -> None:
    document = service.client.get("/openapi.json").json()

    assert not [path for path in document["paths"] if path == "/" or path.startswith("/page")]
    assert set(document["paths"]["/model/report/{name}"]["get"]["responses"]) == {"200", "304", "404", "503"}
    assert "HTTPValidationError" not in document["components"]["schemas"]
