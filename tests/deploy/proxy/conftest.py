"""The service behind each proxy."""

from collections.abc import Iterator

import pytest

from tests.app.conftest import Service, running_service


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that believes the proxy."""
    settings = {"MNIST_TRUSTED_PROXIES": "127.0.0.1", "MNIST_GRPC_PORT": "0"}
    with running_service(tmp_path_factory.mktemp("behind"), **settings) as service:
        yield service
