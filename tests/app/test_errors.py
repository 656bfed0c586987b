"""Every error of ours has an HTTP status and a gRPC code."""

from app.api.grpc.codes import CODES
from app.errors import STATUS
from digits.errors import DigitsError


def every_subclass(base: type[DigitsError]) -> set[type[DigitsError]]:
    return {subclass for direct in base.__subclasses__() for subclass in {direct} | every_subclass(direct)}


def test_every_error_has_a_status() -> None:
    assert set(STATUS) == every_subclass(DigitsError)


def test_no_error_is_a_500() -> None:
    assert {status for status in STATUS.values() if status >= 500} == {501, 503}


def test_every_error_has_a_code() -> None:
    # The others concern the head of an HTTP/1.1 request and its method.
    assert set(STATUS.values()) - {405, 431} <= CODES.keys()
