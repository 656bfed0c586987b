"""Doubts: reasons why a picture may show something else than one whole digit, although it looks like one."""

from collections.abc import Sequence
from typing import Literal, get_args

Doubt = Literal["neighbour", "dotted", "inside", "edge", "specks", "solid", "button"]
"""One of these words for each mark that was not read, or for the digit itself:

    neighbour   a mark beside the digit that looks like another digit of a number
    dotted      a dot above or below it, as of a question mark
    inside      a mark in one of its loops, as the eye of a face
    edge        an edge of the picture cuts it off
    specks      small marks near it, which do not belong to it
    solid       it is a solid shape, as a disc
    button      it is a disc with a symbol
"""

DOUBTS: tuple[str, ...] = get_args(Doubt)


def with_neighbours_of(other: Sequence[str], doubts: Sequence[str]) -> tuple[str, ...]:
    """Return doubts with as many neighbours as those of another look have, if these have more."""
    more = other.count("neighbour") - doubts.count("neighbour")
    return (*("neighbour",) * more, *doubts)
