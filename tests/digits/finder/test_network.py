"""The finder says nothing where nothing is written."""

import numpy as np
import pytest

from digits.finder.network import CLASSES, shipped


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_blank_picture_has_no_centres_and_no_ink(grey: int) -> None:
    maps = shipped().maps(np.full((37, 50), grey, np.uint8))

    assert maps.heat.shape == (2, 24, 32)
    assert maps.classes.shape == (len(CLASSES), 12, 16)
    assert maps.ink.shape == (2, 37, 50)
    assert max(maps.heat.max(), maps.ink.max()) < 0.3
