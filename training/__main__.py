"""Run `python -m training`."""

import sys
from importlib.util import find_spec

if find_spec("tensorflow") is None:
    print("digits: TensorFlow is missing. `make .venv/.train` installs what training needs.", file=sys.stderr)
    sys.exit(2)

from training.cli import main

if __name__ == "__main__":
    main()
