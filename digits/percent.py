"""Probabilities as people read them, on the page and in the terminal."""

import math


def percent(p: float) -> str:
    """Return a probability rounded down, and never to 100 %: 0.99996 becomes `>99.9 %`."""
    return ">99.9 %" if p > 0.999 else f"{math.floor(p * 1000 + 1e-6) / 10:.1f} %"
