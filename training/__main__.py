"""Run `python -m training`."""

import sys
from importlib.util import find_spec

if find_spec("tensorflow") is None:
    sys.exit("digits: TensorFlow and the other training packages are missing. `make .venv/.train` installs them.")

from training.cli import main

if __name__ == "__main__":
    main()
