"""Doubts: reasons why a picture may show something else than one whole digit, although it looks like one."""

from typing import Literal, get_args

Doubt = Literal["neighbour", "dotted", "inside", "edge", "solid", "button"]
"""One of these words for each mark that was not read, or for the digit itself:

    neighbour   a mark beside the digit that looks like another digit of a number
    dotted      a dot above or below it, as of a question mark
    inside      a mark in one of its loops, as the eye of a face
    edge        an edge of the picture cuts it off
    solid       it is a solid shape, as a disc
    button      it is a disc with a symbol
"""

BESIDE: tuple[Doubt, ...] = "neighbour", "edge"
"""Those that are about what is around the digit."""

DOUBTS: tuple[str, ...] = get_args(Doubt)
