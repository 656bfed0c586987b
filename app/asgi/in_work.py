"""Count the requests in progress, and limit them."""

from app.errors import Overloaded


class RequestsInWork:
    """Counts the requests that are being answered in this process."""

    def __init__(self, maximum: int) -> None:
        """Allow at most `maximum` requests at the same time."""
        self.count = 0
        self._maximum = maximum

    def check(self) -> None:
        """Raise Overloaded if too many requests are in progress, including the current one."""
        if self.count > self._maximum:
            raise Overloaded(f"{self._maximum} requests are already in progress; try again later")
