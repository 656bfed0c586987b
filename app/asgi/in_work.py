"""The number of requests in work, and its limit."""

from app.errors import Overloaded


class RequestsInWork:
    """Counts the requests that are being answered in this process."""

    def __init__(self, maximum: int) -> None:
        """Allow at most `maximum` requests at once."""
        self.count = 0
        self._maximum = maximum

    def check(self) -> None:
        """Raise Overloaded if too many requests are in work, the current one included."""
        if self.count > self._maximum:
            raise Overloaded(f"{self._maximum} requests are in work already; try again later")
