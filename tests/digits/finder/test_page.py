"""A sheet of paper that lies on something else is found by its four sides."""

import numpy as np
import pytest

from digits.finder.page import find_page


@pytest.mark.parametrize(
    ("table", "pen", "is_found"),
    [
        pytest.param(184, 60, True, id="a table that is a little darker"),
        pytest.param(188, 60, False, id="a table that is hardly darker"),
        pytest.param(100, 184, True, id="a faint pen"),
        pytest.param(100, 188, False, id="a pen that is hardly darker than the sheet"),
    ],
)
def test_a_sheet_and_what_is_written_on_it_differ_from_what_is_around(table: int, pen: int, is_found: bool) -> None:
    picture = np.full((160, 160), table, np.uint8)
    picture[20:120, 20:120] = 200
    picture[58:82, 69:71] = pen

    assert (find_page(picture) is not None) is is_found
