"""The ink network finds the pen's ink on any paper."""

import cv2
import numpy as np
import pytest

from digits.normalization.ink_map import shipped
from digits.normalization.map_network import contrasts


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_blank_picture_has_no_contrast_and_no_ink(grey: int) -> None:
    blank = np.full((37, 50), grey, np.uint8)

    assert not contrasts(blank).any()
    assert shipped().coverage_and_marks(blank)[0].max() < 0.1


def test_a_stroke_on_ruled_paper_is_ink_and_the_rules_are_not() -> None:
    paper = np.full((128, 128), 200, np.uint8)
    paper[10::16] = 150
    paper[30:100, 60:66] = 60

    ink, _ = shipped().coverage_and_marks(paper)

    assert ink[40:90, 62:64].min() > 0.5
    assert np.delete(ink, np.s_[50:76], axis=1).max() < 0.5


@pytest.mark.parametrize("left", [84, 92])
def test_a_straight_stroke_as_high_as_a_digit_is_ink_from_end_to_end(left: int) -> None:
    paper = np.full((128, 128), 200, np.uint8)
    paper[10::16] = 170
    cv2.ellipse(paper, (45, 64), (18, 34), 0, 0, 360, 60, 4)
    paper[30:98, left : left + 3] = 60

    ink, _ = shipped().coverage_and_marks(cv2.GaussianBlur(paper, (0, 0), 0.7))

    assert ink[36:92, left : left + 3].max(axis=1).min() > 0.5
    assert np.delete(ink, np.s_[20 : left + 8], axis=1).max() < 0.5
