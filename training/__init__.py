"""Training in the lecture's order: data, network, recipe, fit, assess, report, export."""

import sys
from importlib.util import find_spec

if find_spec("typer") is None:
    sys.exit("training: TensorFlow and the rest are not installed; `make .venv/.train` does it")
