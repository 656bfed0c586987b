"""Draw letters and signs as an unsteady hand does, from strokes: what people write and draw beside digits."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.features import Grey
from training.robust.styles import bend, ink, relative_speed, smooth, through, turn

_Array = NDArray[np.float64]

_PEN = 0.7, 3.6
"""Narrowest and widest pen, in pixels of a 28x28 picture."""

LETTERS = "AEFGHKMNPRUVWXadefhkmnpruvwx"
"""Letters that nobody takes for a digit.

Left out are those that a person may read as one, in some hand: O o D Q C c (0), I i l L j J (1), Z z (2), S s (5),
b (6), T t (7 or 1), B (8), g q (9), Y y (4).
"""

ALPHABETS = ("futural", "futuram", "rowmans", "scripts", "scriptc", "cursive", "timesr", "timesi", "gothiceng")
"""The Hershey alphabets whose letters consist of pen strokes."""

SIGNS: dict[str, str] = {
    "heart": (
        "~5,3 3,0 0,1 0,4 2,7 5,10; ~5,10 8,7 10,4 10,1 7,0 5,3 | ~5,10 0,5 1,0 5,3 9,0 10,5 5,10 | ~5,2 7,0 9,1 10,3 "
        "8,6 5,10 2,6 0,3 1,1 3,0 5,2 | 5,10 0,4 2,1 5,3 8,1 10,4 5,10 | ~5,10 1,6 0,3 2,0 4,1 5,3; ~5,3 6,1 8,0 10,3 "
        "9,6 5,10 | ~5,3 3,0 0,2 1,5 5,10; ~5,10 9,5 10,2 7,0 5,3 | ~5,3 4,1 2,0 0,3 5,10 10,3 8,0 6,1 5,3"
    ),
    "smiley": (
        "o5,5,5; ~3,3 3,4; ~7,3 7,4; ~2,6 3,8 5,8 7,8 8,6 | o5,5,5; o3,4,1; o7,4,1; ~3,7 5,8 7,7 | o5,5,5; ~3,3 3,4; "
        "~7,3 7,4; ~2,8 5,6 8,8 | o5,5,5; ~3,3 3,4; ~7,3 7,4; 3,7 7,7; ?5,5 5,6 | 2,0 2,4; 8,0 8,4; ~0,7 3,10 7,10 "
        "10,7 | o5,5,5; ~3,3 3,4; ~7,3 7,4; 2,6 8,6; ~2,6 3,9 7,9 8,6 | o5,5,5; o3,3,0.5; o7,3,0.5; ~2,6 5,8.5 8,6 | "
        "o5,5,5; ~3,3 3,4; ~7,3 7,4; ~3,6 7,6 5,8.5 3,6 | o5,5,5; ~2,4 3,3 4,4; ~6,4 7,3 8,4; ~2,6 5,8 8,6 | o5,5,5; "
        "o3,4,0.7; o7,4,0.7; ~3,8 5,6.5 7,8 | o5,5,5; 3,2 3,4; 7,2 7,4; 3,7 7,7; 5,0 4,-2; 5,0 6,-2 | o5,5,5; "
        "o3.3,3.5,0.3; o6.7,3.5,0.3; ~2.5,6 4,8 6,8 7.5,6 | o5,5,5; 3,3 3,3.5; 7,3 7,3.5; ~3,6.5 5,8 7,6.5; 5,4.5 "
        "5,5.5 | o5,5,5; ~3,2.5 3,4.5; ~7,2.5 7,4.5; ~2,6.5 5,9 8,6.5 2,6.5"
    ),
    "star": (
        "2,10 5,0 8,10 0,4 10,4 2,10 | 5,0 6,4 10,4 7,6 8,10 5,8 2,10 3,6 0,4 4,4 5,0 | 5,0 5,10; 1,2 9,8; 1,8 9,2 | "
        "0,0 10,10; 10,0 0,10; 5,0 5,10; ?0,5 10,5 | 0,7 5,0 10,7 0,7; 0,3 10,3 5,10 0,3 | 5,0 6,4 10,5 6,6 5,10 4,6 "
        "0,5 4,4 5,0 | 0,3 10,3 2,9 5,0 8,9 0,3 | 3,10 5,0 8,10 0,4 10,3 3,10 | 5,0 8,10 0,4 10,4 2,10 5,0 | 5,0 "
        "5,10; 0,5 10,5; 1.5,1.5 8.5,8.5; 8.5,1.5 1.5,8.5"
    ),
    "arrow": (
        "0,5 10,5; 7,2 10,5 7,8 | 0,5 10,5; 3,2 0,5 3,8 | 5,10 5,0; 2,3 5,0 8,3 | 5,0 5,10; 2,7 5,10 8,7 | 0,5 10,5; "
        "7,2 10,5 7,8; 3,2 0,5 3,8 | 0,10 10,0; 4,0 10,0 10,6 | 0,0 10,10; 10,4 10,10 4,10 | ~0,10 2,3 10,3; 7,0 10,3 "
        "7,6 | 0,3 6,3 6,0 10,5 6,10 6,7 0,7 0,3 | 0,5 7,5; 7,2 10,5 7,8 7,2 | 5,10 5,0; 3,2 5,0 7,2 | 0,10 9,1; 5,1 "
        "9,1 9,5 | 10,5 0,5; 4,2 0,5 4,8 | 0,5 10,5; 6,1 10,5 6,9 | 5,0 5,10; 2,6 5,10 8,6 | 1,9 9,1; 4,1 9,1 9,6 | "
        "5,0 10,5 7,5 7,10 3,10 3,5 0,5 5,0 | 10,5 0,5; 3,3 0,5 3,7"
    ),
    "tick": (
        "0,6 4,10 10,0 | ~0,6 1,7 3,10; ~3,10 6,4 10,0 | 0,7 2,10 10,1 | 0,5 3,10 10,0 | 2,6 4,10 8,0 | ~0,5 2,9 4,9 "
        "10,0 | 0,6 3,10 9,0 | ~0,6 2,8 3,10; ~3,10 5,5 9,0 | 1,7 3,10 10,2"
    ),
    "cross": "0,0 10,10; 10,0 0,10 | 5,0 5,10; 0,3 10,3 | 1,0 9,10; 8,0 2,10",
    "plus": "5,0 5,10; 0,5 10,5 | 5,1 5,9; 0,5 10,5",
    "equals": "0,2 10,2; 0,8 10,8 | 0,3 10,3; 0,7 10,7",
    "house": (
        "1,10 1,4 5,0 9,4 9,10 1,10; ?4,10 4,7 6,7 6,10 | 0,4 5,0 10,4; 1,4 1,10 9,10 9,4; ?6,10 6,7 8,7 8,10 | 0,10 "
        "0,4 10,4 10,10 0,10; 0,4 5,0 10,4 | 0,10 10,4 0,4 10,10 10,4 5,0 0,4 0,10 10,10 | 0,5 5,0 10,5; 1,5 1,10 "
        "9,10 9,5; 7,2 7,0 8,0 8,3 | 1,10 1,5 9,5 9,10 1,10; 0,5 5,0 10,5; 4,10 4,7 6,7 6,10 | 1,10 1,4 5,0 9,4 9,10 "
        "1,10; 3,6 5,6 5,8 3,8 3,6 | 1,4 1,10 9,10 9,4 1,4 5,0 9,4; 4,10 4,7 6,7 6,10 | 0,4 5,0 10,4; 1.5,4 1.5,10 "
        "8.5,10 8.5,4 | 1,10 1,4 9,4 9,10 1,10; 1,4 5,0 9,4; ?4,10 4,7 6,7 6,10 | 0,10 0,4 5,0 10,4 10,10 0,10; ?3,10 "
        "3,6 5,6 5,10"
    ),
    "flower": (
        "o5,4,1; o5,2,2; o7,4,2; o5,6,2; o3,4,2; ?5,7 5,10 | o5,2,2; 5,4 5,10; ~5,8 7,6 8,7; ?~5,9 3,7 2,8 | ~3,0 3,4 "
        "5,5 7,4 7,0 5,2 3,0; 5,5 5,10; ?~5,9 8,6 | o5,5,2; 5,3 5,0; 7,5 10,5; 5,7 5,10; 3,5 0,5; 7,3 9,1; 7,7 9,9; "
        "3,7 1,9; 3,3 1,1"
    ),
    "at": (
        "~7,6 5,7 4,5 5,3 7,4 7,6 9,6 10,4 8,1 5,0 2,1 0,5 2,9 6,10 9,9 | o5,5,2; ~7,3 7,7 9,7 10,4 7,0 2,1 0,5 2,9 "
        "8,9 | ~6,4 4,4 4,6 6,6 6,4; ~6,4 7,7 9,6 9,3 6,0 2,1 0,5 2,9 7,10 | o5,5,1.5; ~6.5,4 6.5,6.5 8,7 9.5,5 8,1.5 "
        "5,0 1,2 0,5 2,9 5,10 8,9 | ~7,3 4,3 3,6 6,7 7,3 7,6 9,7 10,4 7,0 2,1 0,5 3,10 8,9 | o5,5,2; ~7,3 7,6.5 9,6 "
        "9.5,3 6,0 2,1.5 0.5,5 2,8.5 5,9.5 8,8.5"
    ),
    "hash": (
        "3,0 2,10; 7,0 6,10; 0,3 10,3; 0,7 10,7 | 4,0 3,10; 8,0 7,10; 0,4 10,3; 0,8 10,7 | 2,0 2,10; 8,0 8,10; 0,2 "
        "10,2; 0,8 10,8 | 4,0 2,10; 8,0 6,10; 1,3 10,3; 0,7 9,7 | 3,0 3,10; 7,0 7,10; 0,3 10,3; 0,7 10,7 | 3.5,0 "
        "2.5,10; 7.5,0 6.5,10; 0,3.5 10,3; 0,7.5 10,7"
    ),
    "percent": "o2,2,2; o8,8,2; 9,0 1,10 | o1,2,1; o9,8,1; 8,0 2,10",
    "dollar": "~9,2 5,1 1,3 5,5 9,7 5,9 1,8; 5,0 5,10 | ~8,2 5,1 2,3 5,5 8,7 5,9 2,8; 4,0 4,10; 6,0 6,10",
    "euro": "~10,1 6,0 3,3 3,7 6,10 10,9; 0,4 7,4; 0,6 7,6 | ~9,2 5,1 3,5 5,9 9,8; 1,4 7,4; 1,6 7,6",
    "pound": "~9,2 6,0 3,2 3,6 2,9 0,10; 0,10 9,10; 0,5 7,5 | ~8,2 6,0 4,2 4,6 1,10 5,9 9,10; 1,5 7,5",
    "yen": "0,0 5,5 10,0; 5,5 5,10; 1,6 9,6; 1,8 9,8",
    "question": "~1,2 4,0 8,1 8,4 5,5 5,6; o5,9,1 | ~0,3 2,0 7,0 8,4 4,5 4,6; o4,9,1",
    "exclamation": "3,0 7,0 5,7 3,0; o5,9,1 | 3,0 3,7; 3,8 3,10; 7,0 7,7; 7,8 7,10",
    "brackets": (
        "5,0 1,0 1,10 5,10 | 1,0 5,0 5,10 1,10 | ~6,0 4,1 4,4 2,5; ~2,5 4,6 4,9 6,10 | ~2,0 4,1 4,4 6,5; ~6,5 4,6 4,9 "
        "2,10 | 3,0 0,0 0,10 3,10; 7,0 10,0 10,10 7,10 | 9,0 1,5 9,10 | 1,0 9,5 1,10"
    ),
    "triangle": "0,10 5,0 10,10 0,10 | 0,0 10,0 5,10 0,0 | 0,0 0,10 10,10 0,0 | 0,5 9,0 9,10 0,5",
    "square": "0,0 10,0 10,10 0,10 0,0 | 5,0 10,5 5,10 0,5 5,0 | 0,0 10,0 10,10 0,10 0,0; 0,0 10,10; ?10,0 0,10",
    "sun": "o5,5,3; 5,2 5,0; 8,5 10,5; 5,8 5,10; 2,5 0,5; 7,3 9,1; 7,7 9,9; 3,7 1,9; 3,3 1,1",
    "person": "o5,1,1; 5,3 5,6; 5,6 2,10; 5,6 8,10; 2,4 8,4 | o5,2,2; 5,4 5,7; 5,7 3,10; 5,7 7,10; 5,5 1,3; 5,5 9,3",
    "tree": "5,10 5,6; ~5,6 1,6 1,3 4,0 8,1 9,5 5,6 | 5,10 5,8; 1,8 5,0 9,8 1,8 | 5,10 5,0; 2,3 5,5 8,3; 1,6 5,8 9,6",
    "spiral": "~5,5 6,5 5,7 3,5 5,2 8,5 5,9 0,5 4,0 9,2 | ~5,5 4,4 6,3 8,6 4,8 1,5 4,0 10,3 9,9",
    "wave": "~0,5 2,2 4,5 6,8 8,5 10,2 | ~0,3 1,7 3,3 4,7 6,3 7,7 9,3 10,7",
    "zigzag": "0,8 2,2 4,8 6,2 8,8 10,2 | 4,0 8,3 3,5 7,8 4,10 | 6,0 2,6 6,5 3,10 | 0,10 2,0 5,10 7,0 10,10",
    "grid": "3,0 3,10; 7,0 7,10; 0,3 10,3; 0,7 10,7 | 2,0 2,10; 8,0 8,10; 2,2 8,2; 2,5 8,5; 2,8 8,8",
    "cup": "1,1 2,10 7,10 8,1 1,1; ~8,3 10,4 9,7 7,7 | 0,0 10,0 5,5 0,0; 5,5 5,10; 2,10 8,10",
    "moon": "~6,0 0,2 0,8 6,10; ~6,10 3,7 3,3 6,0 | ~4,0 10,5 4,10; ~4,10 7,5 4,0",
    "eye": "~0,5 5,1 10,5; ~0,5 5,9 10,5; o5,5,2 | o2,4,2; o8,4,2; ~4,9 5,10 6,9",
}
"""Kind of sign to its forms, with bars between them.

A form has strokes, separated by semicolons, on a field of 10x10 with (0, 0) at the top left. A stroke has corners, or
is round after `~`. `ox,y,r` is a ring. Every second drawing lacks a stroke after `?`.
"""

COMMON = ("heart", "smiley", "star", "arrow", "tick", "hash", "at", "house")
"""The kinds of SIGNS that people draw most."""

WRITTEN: dict[str, str] = {
    "A": (
        "~0,10 4,0 5,0 9,10; 2,7 8,6 | 0,10 5,0 9,10 2,6 8,6 | 0,10 5,0 10,10; 2,6 8,6 | ~1,10 4,1 6,0 8,3 9,10; 1,6 "
        "9,6 | ~0,10 3,2 5,0 6,3 7,10; ~7,10 1,7 4,6 9,6"
    ),
    "E": (
        "~9,1 2,2 2,8 9,9; 1,5 7,5 | 1,0 1,10; 1,0 7,0; 1,5 6,5; 1,10 7,10 | ~8,2 6,0 3,1 2,3 5,5 1,7 2,10 6,10 9,8 | "
        "10,0 0,0 0,10 10,10; 0,5 8,5 | ~9,1 5,0 2,2 5,5; ~6,5 1,5 1,9 5,10 9,9"
    ),
    "F": (
        "1,0 1,10; 2,0 9,0; 2,4 7,4 | ~8,0 3,0 2,3 2,10; 0,4 7,4 | 10,0 0,0; 1,0 1,10; 1,5 8,5 | ~0,1 5,0 10,1; ~5,1 "
        "5,8 2,10; 2,5 8,5"
    ),
    "H": (
        "~2,0 1,5 1,10; ~8,0 8,5 9,10; 1,5 8,5 | 2,0 0,10; 10,0 7,10; 1,6 9,5 | 0,0 0,10; 6,1 6,10; 0,4 6,5 | 0,0 "
        "0,10; 9,0 9,10; 0,5 9,5 | 1,0 0,10; 9,0 8,10; 0,6 9,4 | ~0,0 1,10 1,6 5,4 8,5; 8,0 8,10"
    ),
    "K": (
        "0,0 0,10; 7,1 2,5 8,10 | ~1,0 1,10; ~8,0 3,5 1,5; ~2,5 6,6 9,10 | 0,0 0,10; 8,0 0,6; 2,5 9,10 | 1,0 1,10; "
        "~8,0 1,5 3,5 9,10 | 1,0 1,10; ~7,1 2,5 4,6 8,10 9,9"
    ),
    "M": (
        "0,10 2,0 5,6 8,0 10,10 | ~0,10 1,2 3,2 4,10; ~4,5 6,1 8,2 9,10 | 0,0 0,10; 10,0 10,10; 0,0 5,5 10,0 | 0,10 "
        "0,0 5,7 10,0 10,10 | ~0,10 2,0 3,1 5,8; ~5,8 8,0 9,1 10,10"
    ),
    "N": (
        "1,10 0,0 9,10 10,0 | 0,0 0,10; 9,0 9,10; 0,0 9,10 | ~0,10 1,2 4,1 6,4 6,10 | 0,10 0,0 9,10 9,0 | ~0,10 1,1 "
        "2,1 7,9; ~7,9 8,5 9,0"
    ),
    "R": (
        "~0,2 4,0 8,2 5,5 1,5; 2,1 2,10; 3,5 9,10 | ~1,10 1,1 5,0 7,3 3,5; 3,5 7,10 | 0,10 0,0; ~0,0 6,0 7,3 5,5 0,5; "
        "3,5 8,10 | 1,10 1,0; ~0,1 5,0 8,2 6,5 1,5; ~2,5 5,6 8,10 | ~1,10 2,1 6,0 8,2 5,5 2,5; ~2,5 5,6 9,10"
    ),
    "W": (
        "0,0 2,10 5,2 8,10 10,0 | ~0,0 1,9 4,9 5,3; ~5,3 6,9 9,9 10,0 | 0,0 3,10 5,3 7,10 10,0 | ~0,0 1,8 3,10 5,7 "
        "5,3; ~5,3 6,9 8,10 10,5 9,0 | ~0,0 2,9 4,9 5,2 6,9 8,9 10,0"
    ),
    "X": "1,0 8,10; 10,0 0,9 | 0,1 10,9; 7,0 3,10 | 0,0 9,10; 9,0 0,10 | ~0,1 2,1 6,9 9,10; ~9,0 6,3 2,8 0,10",
    "f": (
        "~9,1 6,0 5,3 5,7 3,10; 2,4 8,4 | ~6,0 3,1 3,10; 0,5 6,4 | ~8,1 5,0 4,3 4,10; 1,4 7,4 | ~7,1 5,0 4,3 3,8 "
        "1,10; 1,4 7,4 | ~2,6 6,3 6,0 4,1 4,10 2,9 4,6 8,5"
    ),
    "h": (
        "~0,0 1,5 0,10; ~0,7 4,5 5,7 5,10 | ~2,0 1,10; ~1,6 5,5 7,7 6,10 | ~0,7 4,3 3,0 1,3 1,10; ~1,8 4,6 5,8 5,10 "
        "7,9 | 1,0 1,10; ~1,6 4,4 6,5 6,10 | ~1,0 0,10; ~0,8 3,5 5,5 5,8 6,10 | ~1,7 5,2 4,0 2,3 2,10; ~2,7 5,5 6,7 "
        "6,9 8,10"
    ),
    "k": (
        "0,0 1,10; ~6,4 1,7; 2,6 6,10 | ~1,0 0,10; ~0,7 4,4 5,6 1,7; 2,7 6,10 | 1,0 1,10; 6,3 1,7 7,10 | ~1,6 5,1 3,0 "
        "2,4 2,10; ~2,7 5,5 5,7 2,7 7,10 | 1,0 1,10; ~6,4 2,7 3,7 7,10"
    ),
    "m": (
        "~0,10 0,3 3,3 4,9; ~4,6 6,3 8,4 8,9 | 0,4 0,10; ~0,6 2,4 4,6 4,10; ~4,6 6,4 8,6 8,10 | 0,10 0,3; ~0,5 2,3 "
        "4,4 4,10; ~4,5 7,3 9,4 9,10 | ~0,9 1,4 2,4 3,9; ~3,7 5,4 6,4 6,9; ~6,7 8,4 9,5 10,9"
    ),
    "n": (
        "0,3 0,10; ~0,6 4,3 7,6 7,10 | ~0,4 1,10; ~1,7 4,3 6,5 6,9 9,8 | ~0,3 2,4 1,10; ~1,7 5,4 7,6 6,10 | 1,10 1,3; "
        "~1,5 5,3 8,5 8,10 | ~0,6 2,3 3,5 2,10; ~2,7 6,3 8,4 7,9 10,8"
    ),
    "r": (
        "0,3 0,10; ~0,6 3,3 6,4 | ~0,3 2,10; ~2,7 5,3 8,5 | ~0,9 3,2 4,5 7,3 7,8 10,9 | 2,10 2,3; ~2,6 4,3 7,3 | ~0,4 "
        "2,3 4,5 4,10; ~4,7 6,3 9,3 | ~0,2 3,1 5,4 5,8 4,10 3,8 5,4 8,1 10,1 | ~0,8 4,2 3,4 7,4 6,8 9,8"
    ),
    "w": (
        "0,0 3,9 5,1 7,9 10,0 | ~0,0 2,9 5,8 5,1; ~5,5 7,10 9,8 10,0 | ~0,2 1,8 4,8 5,3 6,8 9,8 10,2 8,2 | 0,0 2,8 "
        "4,2 6,8 8,0 | ~0,1 0,6 2,9 4,8 5,3; ~5,3 6,9 9,8 10,3 8,1 | ~1,0 0,6 2,10 5,6 5,4; ~5,4 6,9 9,9 10,3 9,0"
    ),
    "x": (
        "~0,2 2,2 8,9 10,9; 9,1 1,10 | ~1,1 4,2 4,8 1,9; ~9,1 6,2 6,8 9,9 | ~0,5 3,3 5,6 7,8 9,7; ~8,3 5,5 2,8 0,8 | "
        "1,2 8,10; 8,2 1,10 | ~0,1 3,0 5,5 3,10 0,9; ~10,1 7,0 5,5 7,10 10,9 | ~0,2 3,1 5,4 7,9 10,8; ~9,1 6,2 3,9 "
        "0,9 | ~0,3 3,2 5,5 4,9 1,9; ~9,2 6,2 5,5 6,9 10,7 | ~0,4 3,2 5,5 7,8 10,6; ~9,2 7,2 5,5 3,8 1,7 | ~0,3 2,2 "
        "4,5 6,8 9,7 10,6; ~9,3 7,2 4,6 2,8 0,7"
    ),
}
"""Letters as people write them, in forms that the alphabets lack."""

HELD_BACK: dict[str, str] = {
    "fish": "~0,5 4,1 8,5; ~0,5 4,9 8,5; 8,5 10,2 10,8 8,5; ?o2,4,0.5 | ~10,2 6,8 0,5 6,2 10,8",
    "umbrella": "~0,5 5,0 10,5; 0,5 10,5; 5,5 5,9; ~5,9 4,10 3,9",
    "ampersand": "~10,10 3,3 4,0 6,2 1,7 3,10 7,9 9,5 | ~9,10 2,2 5,0 6,3 0,7 4,10 9,6",
    "note": "o2,8,2; 4,8 4,0; ~4,0 7,2 7,5 | o1,9,1; o8,8,1; 2,9 2,1; 9,8 9,0; 2,1 9,0",
    "key": "o2,5,2; 4,5 10,5; 8,5 8,8; 10,5 10,8",
    "boat": "0,7 2,10 8,10 10,7 0,7; 5,7 5,0; 5,0 9,6 5,6",
    "cat": "o5,6,4; 2,3 2,0 4,2; 6,2 8,0 8,3; ~4,5 4,6; ~6,5 6,6; ?4,8 6,8",
    "crown": "0,10 0,2 3,6 5,1 7,6 10,2 10,10 0,10",
    "scissors": "o2,8,2; o8,8,2; 3,6 8,0; 7,6 2,0",
}
"""Signs that novelty is only measured on."""


def draw(forms: Mapping[str, str], rng: np.random.Generator, pen: tuple[float, float] = _PEN) -> Grey:
    """Draw one of the forms of a random kind, such as those of SIGNS, uint8 (112, 112)."""
    kind = list(forms)[rng.integers(len(forms))]
    ways = forms[kind].split(" | ")
    strokes = ways[rng.integers(len(ways))].split("; ")
    return hand([_stroke(each.lstrip("?"), rng) for each in strokes if each[0] != "?" or rng.random() < 0.5], rng, pen)


def _stroke(text: str, rng: np.random.Generator) -> _Array:
    """Return the points of a stroke, (N, 2), in tenths of the field."""
    if text[0] == "o":
        x, y, radius = map(float, text[1:].split(","))
        return (x, y) + radius * ring(rng, (-2.5, -0.5), (0.8, 1.15))
    points = np.array([[float(number) for number in pair.split(",")] for pair in text.lstrip("~").split()])
    points += rng.normal(0, 0.4, points.shape)
    return through(list(map(tuple, points))) if text[0] == "~" and len(points) > 2 else points


def ring(rng: np.random.Generator, starts: tuple[float, float], radii: tuple[float, float]) -> _Array:
    """Return the points of a ring around (0, 0) whose ends may miss or cross each other, (24, 2).

    Args:
        rng: the source of randomness.
        starts: the least and the greatest angle at which the pen begins.
        radii: the least and the greatest radius, across as well as down.
    """
    angles = rng.uniform(*starts) + np.linspace(0, 2 * np.pi + rng.uniform(-0.3, 0.4), 24) * rng.choice([-1, 1])
    points: _Array = np.stack([np.cos(angles), np.sin(angles)], axis=1) * rng.uniform(*radii, 2)
    return points


@cache
def _glyphs() -> list[list[_Array]]:
    """Return the strokes of each letter in each alphabet."""
    from HersheyFonts import HersheyFonts

    found = []
    for alphabet in ALPHABETS:
        font: Any = HersheyFonts()
        font.load_default_font(alphabet)
        found += [[np.array(stroke, float) for stroke in font.strokes_for_text(letter)] for letter in LETTERS]
    return found


def letter(rng: np.random.Generator) -> Grey:
    """Draw a letter of one of ALPHABETS, uint8 (112, 112)."""
    glyphs = _glyphs()
    return hand(glyphs[rng.integers(len(glyphs))], rng)


def hand(strokes: Sequence[_Array], rng: np.random.Generator, pen: tuple[float, float] = _PEN) -> Grey:
    """Draw strokes with a pen of random width, slant and speed, by an unsteady hand, uint8 (112, 112).

    Args:
        strokes: the points of each, (N, 2), in any unit.
        rng: the source of randomness.
        pen: narrowest and widest pen, in pixels of a 28x28 picture.
    """
    every = np.concatenate(strokes)
    middle, size = every.mean(axis=0), np.ptp(every, axis=0).max()
    reach, thinning, unsteadiness = int(rng.integers(0, 4)), rng.uniform(0, 0.35), rng.uniform(0.0008, 0.008)
    paths = []
    for stroke in strokes:
        path = smooth(_dense((stroke - middle) / size), reach)
        centre = path.mean(axis=0)
        # Each stroke is a little turned, stretched and misplaced.
        path = (path - centre) @ turn(rng.normal(0, 5)) * rng.normal(1, 0.06, 2) + centre + rng.normal(0, 0.025, 2)
        walk = rng.normal(0, unsteadiness, path.shape).cumsum(axis=0)
        paths.append(path + walk - walk.mean(axis=0))
    pressure = np.concatenate([1 - thinning * relative_speed(path) for path in paths])
    points = bend(np.concatenate(paths), rng)
    points[:, 0] *= np.exp(rng.normal(0, 0.18))
    points[:, 0] -= rng.uniform(-0.2, 0.4) * points[:, 1]
    width = np.exp(rng.uniform(*np.log(pen)))
    return ink(points @ turn(rng.normal(0, 6)), width / 2 * pressure, width)


def _dense(points: _Array) -> _Array:
    """Return positions along the straight lines between points, 0.03 apart."""
    at = np.concatenate([[0], np.hypot(*np.diff(points, axis=0).T).cumsum()])
    where = np.linspace(0, at[-1], max(3, int(np.ceil(at[-1] / 0.03))))
    return np.stack([np.interp(where, at, points[:, axis]) for axis in (0, 1)], axis=1)
