"""`python -m app`: serve with the settings of the environment."""

import sys

from app.settings import read_settings
from app.start import start


def main() -> int:
    """Serve until a signal stops the service, and return the exit code.

    Raises:
        SystemExit: a setting is invalid or the address is not available; its message is one line.
    """
    return start(read_settings())


if __name__ == "__main__":
    sys.exit(main())
