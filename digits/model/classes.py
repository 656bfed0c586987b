"""The names of a model's classes. The index of a class is its place among the names."""

from collections.abc import Sequence

DIGITS = tuple(str(digit) for digit in range(10))
"""The classes of MNIST. A model has these classes unless its training names others."""

MIN_CLASSES, MAX_CLASSES = 2, 100

MAX_NAME_CHARACTERS = 100


def check_class_names(names: Sequence[str]) -> None:
    """Raise ValueError unless there are 2 to 100 different names of printable text."""
    if not MIN_CLASSES <= len(names) <= MAX_CLASSES:
        raise ValueError(f"expected {MIN_CLASSES} to {MAX_CLASSES} classes, received {len(names)}")
    for name in names:
        if not name.strip() or not name.isprintable() or len(name) > MAX_NAME_CHARACTERS:
            raise ValueError(
                f"expected names of 1 to {MAX_NAME_CHARACTERS} printable characters, "
                f"received {name[:MAX_NAME_CHARACTERS]!r}"
            )
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise ValueError(f"expected different names, received {duplicates[0]!r} more than once")
