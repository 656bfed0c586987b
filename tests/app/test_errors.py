"""One table from error to status."""

from app.errors import STATUS
from digits.errors import DigitsError


def every_subclass(of: type[DigitsError]) -> set[type[DigitsError]]:
    return {subclass for direct in of.__subclasses__() for subclass in {direct} | every_subclass(direct)}


def test_every_error_has_a_status() -> None:
    assert set(STATUS) == every_subclass(DigitsError)


def test_no_error_of_ours_is_a_500() -> None:
    assert {status for status in STATUS.values() if status >= 500} == {501, 503}
