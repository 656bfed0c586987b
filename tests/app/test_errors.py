"""Every error of ours has an HTTP status."""

from app.errors import STATUS
from digits.errors import DigitsError


def every_subclass(base: type[DigitsError]) -> set[type[DigitsError]]:
    return {subclass for direct in base.__subclasses__() for subclass in {direct} | every_subclass(direct)}


def test_every_error_has_a_status() -> None:
    assert set(STATUS) == every_subclass(DigitsError)


def test_no_error_is_a_500() -> None:
    assert {status for status in STATUS.values() if status >= 500} == {501, 503}
