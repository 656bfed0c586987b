"""`python -m app`: serve with the settings of the environment."""

import sys

from app.settings import read_settings, valid_log_format
from app.start import start
from app.telemetry.logs import last_line


def main() -> int:
    """Serve as `start` does. Also raises SystemExit if a setting is invalid. The last line of the log says so."""
    with last_line(valid_log_format()):
        settings = read_settings()
    return start(settings)


if __name__ == "__main__":
    sys.exit(main())
