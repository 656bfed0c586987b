"""The finder finds the pen's ink on any paper."""

import numpy as np
import pytest

from digits.finder.network import contrasts
from digits.normalization.ink_map import coverage_and_marks


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_blank_picture_has_no_contrast_and_no_ink(grey: int) -> None:
    blank = np.full((37, 50), grey, np.uint8)

    assert not contrasts(blank).any()
    assert coverage_and_marks(blank)[0].max() < 0.1


def test_a_stroke_on_ruled_paper_is_ink_and_the_rules_are_not() -> None:
    paper = np.full((128, 128), 200, np.uint8)
    paper[10::16] = 150
    paper[30:100, 60:66] = 60

    ink, _ = coverage_and_marks(paper)

    assert ink[40:90, 62:64].min() > 0.5
    assert np.delete(ink, np.s_[50:76], axis=1).max() < 0.5
