"""Measure alternatives in turn, so that a busy moment of the machine does not hit only one of them."""

import math
import random
import statistics
from collections.abc import Callable, Sequence
from typing import TypeVar

from benchmarks.harness.command import progress

Key = TypeVar("Key")
Value = TypeVar("Value")


def alternate(groups: Sequence[Sequence[Key]], rounds: int, measure: Callable[[Key], Value]) -> dict[Key, list[Value]]:
    """Measure every key once per round, in an order that differs in each round.

    The keys of a group are measured directly after one another, because the reader compares them.
    """
    results: dict[Key, list[Value]] = {key: [] for group in groups for key in group}
    for number in range(rounds):
        rng = random.Random(number)
        progress(f"round {number + 1}/{rounds}")
        for group in rng.sample(groups, len(groups)):
            for key in rng.sample(group, len(group)):
                results[key].append(measure(key))
    return results


def ratios(values: Sequence[float], bases: Sequence[float]) -> list[float]:
    """Divide each round's value by the base of the same round. A ratio to 0 is infinite."""
    return [value / base if base else math.inf for value, base in zip(values, bases, strict=True)]


def median(values: Sequence[float], digits: int = 0) -> str:
    """Format the median."""
    return f"{statistics.median(values):,.{digits}f}"


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Format the median with the least and the greatest value: `1,915 (1,872-1,930)`."""
    return f"{median(values, digits)} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"
