"""The example pictures come from their script."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from docs.example_pictures import FILES, Picture


def pixels(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"), dtype=float)


@pytest.mark.parametrize(("file", "picture"), FILES.items(), ids=[file.name for file in FILES])
def test_the_script_makes_the_stored_picture_again(file: Path, picture: Picture) -> None:
    made = pixels(picture.make())

    stored = pixels(file.read_bytes())
    assert made.shape == stored.shape
    assert np.abs(made - stored).mean() < 1  # other versions of the libraries may round differently
