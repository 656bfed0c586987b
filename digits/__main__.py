"""`python -m digits FILE...`"""

import sys

from digits.command_line import main

if __name__ == "__main__":
    sys.exit(main())
