"""Make pictures without a digit, which must be refused: surfaces, light, shadows, noise and edges.

    all_without_digit(500)    kind to encoded pictures, about equally many of each

The pictures are always the same.
"""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from benchmarks.quality.families import Array, Generator, encoded, light, rng_of, side_strip, texture


def all_without_digit(count: int) -> dict[str, list[bytes]]:
    """Return `count` pictures of SURFACES as JPEG files, 64 to 640 pixels wide."""
    made = {}
    for number, (name, surface) in enumerate(SURFACES.items()):
        rng = rng_of(name)
        made[name] = [_photo(surface, rng) for _ in range((count + number) // len(SURFACES))]
    return made


def _photo(surface: Callable[[tuple[int, int], Generator], Array], rng: Generator) -> bytes:
    """Photograph a surface with sensor noise. Some photos are out of focus."""
    height, width = (int(np.exp(rng.uniform(np.log(64), np.log(640)))) for _ in range(2))
    shape = (max(height, width // 2), max(width, height // 2))
    grey = surface(shape, rng)
    if rng.random() < 0.4:
        grey = ndimage.gaussian_filter(grey, rng.uniform(0.5, 2))
    grey = grey + rng.normal(0, rng.uniform(0, 3), shape)
    return encoded(grey[..., None] * rng.uniform(0.8, 1.0, 3), format="JPEG", quality=int(rng.integers(50, 96)))


def _turned(shape: tuple[int, int], rng: Generator, *, most_degrees: float = 180) -> tuple[Array, Array]:
    """Return coordinates in pixels along two axes at right angles, turned by a random angle."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    angle = np.deg2rad(rng.uniform(-most_degrees, most_degrees))
    return np.cos(angle) * columns + np.sin(angle) * rows, np.cos(angle) * rows - np.sin(angle) * columns


def _waves(shape: tuple[int, int], rng: Generator, grain: float) -> Array:
    """Return smooth noise with a standard deviation of 1. Its hills are about `grain` pixels wide."""
    coarse = rng.normal(0, 1, [int(length / grain) + 4 for length in shape])
    waves = ndimage.zoom(coarse, grain, order=3)[: shape[0], : shape[1]]
    unit: Array = waves / waves.std()
    return unit


def _paper(shape: tuple[int, int], rng: Generator) -> Array:
    grey = rng.uniform(120, 250) * light(shape, rng, depth=rng.uniform(0, 0.4))
    if rng.random() < 0.5:  # crumpled
        grey = grey + rng.uniform(2, 8) * _waves(shape, rng, max(shape) / rng.uniform(2, 8))
    return grey + texture(shape, rng, strength=rng.uniform(1, 6))


def _cloth(shape: tuple[int, int], rng: Generator) -> Array:
    along, across = _turned(shape, rng)
    period = rng.uniform(3, 12)
    bend = rng.uniform(0, 2) * _waves(shape, rng, max(shape) / 4)
    weave = np.sin(2 * np.pi * along / period + bend) + np.sin(2 * np.pi * across / period + bend)
    grey = rng.uniform(60, 220) + rng.uniform(5, 25) * weave
    return grey * light(shape, rng, depth=rng.uniform(0, 0.4)) + texture(shape, rng, strength=rng.uniform(2, 8))


def _wood(shape: tuple[int, int], rng: Generator) -> Array:
    along, across = _turned(shape, rng, most_degrees=20)
    stretch = rng.uniform(6, 15)
    drift = _waves((shape[0], int(shape[1] / stretch) + 8), rng, max(shape) / 6)
    bend = ndimage.zoom(drift, (1, stretch), order=1)[:, : shape[1]]
    rings = np.sin(2 * np.pi * across * rng.uniform(4, 20) / max(shape) + along / max(shape) + 2 * bend)
    fibres = ndimage.gaussian_filter(rng.normal(0, 1, shape), (0.7, stretch))
    grey = rng.uniform(90, 190) + rng.uniform(4, 20) * rings + rng.uniform(2, 8) * fibres / fibres.std()
    lit: Array = grey * light(shape, rng, depth=rng.uniform(0, 0.3))
    return lit


def _screen(shape: tuple[int, int], rng: Generator) -> Array:
    """Photograph a screen of one colour: its grid of pixels, moire and a reflection."""
    along, across = _turned(shape, rng, most_degrees=8)
    period = rng.uniform(2.2, 8)
    grid = np.cos(2 * np.pi * along / period) + np.cos(2 * np.pi * across / period)
    slow = np.cos(2 * np.pi * (along + rng.uniform(0.5, 2) * across) / (period * rng.uniform(5, 20)))
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    y, x = (rng.uniform(0, length) for length in shape)
    reflection = np.exp(-(((rows - y) / shape[0]) ** 2 + ((columns - x) / shape[1]) ** 2) / rng.uniform(0.1, 0.5))
    return rng.uniform(30, 200) + rng.uniform(2, 14) * grid + rng.uniform(0, 8) * slow + rng.uniform(0, 60) * reflection


def _gradient(shape: tuple[int, int], rng: Generator) -> Array:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    first, last = rng.uniform(0, 255, 2)
    if rng.random() < 0.5:
        along, _ = _turned(shape, rng)
        part = (along - along.min()) / np.ptp(along)
    else:
        y, x = (rng.uniform(0, length) for length in shape)
        part = np.hypot(rows - y, columns - x) / max(shape)
    grey: Array = first + (last - first) * part
    return grey


def _shadow(shape: tuple[int, int], rng: Generator) -> Array:
    """Put one or two soft shadows with straight edges on light paper."""
    grey = np.full(shape, rng.uniform(150, 250))
    for _ in range(int(rng.integers(1, 3))):
        grey = grey * (1 - rng.uniform(0.15, 0.6) * _half_plane(shape, rng, max(shape) * rng.uniform(0.01, 0.1)))
    return grey + texture(shape, rng, strength=rng.uniform(0.5, 3))


def _hard_shadow(shape: tuple[int, int], rng: Generator) -> Array:
    """Put a hard shadow, or the edge of a dark table, along one side of light paper."""
    grey = rng.uniform(150, 250) * light(shape, rng, depth=rng.uniform(0, 0.4))
    grey *= 1 - rng.uniform(0.15, 0.9) * side_strip(shape, rng, share=rng.uniform(0.03, 0.4))
    return grey + texture(shape, rng, strength=rng.uniform(0.5, 3))


def _noise(shape: tuple[int, int], rng: Generator) -> Array:
    strength = rng.uniform(5, 60)
    kind = rng.integers(0, 3)
    if kind == 0:
        return rng.uniform(40, 215) + rng.normal(0, strength, shape)
    if kind == 1:
        return rng.uniform(0, 255, shape)
    return rng.uniform(40, 215) + texture(shape, rng, strength=strength)


def _blurred_edge(shape: tuple[int, int], rng: Generator) -> Array:
    """Photograph the edge of a table or of a sheet out of focus."""
    first, last = rng.uniform(20, 250, 2)
    edge = _half_plane(shape, rng, max(shape) * rng.uniform(0.02, 0.12))
    grey: Array = first + (last - first) * edge + texture(shape, rng, strength=rng.uniform(0.3, 3))
    return grey


def _half_plane(shape: tuple[int, int], rng: Generator, blur: float) -> Array:
    """Return 0 on one side of a line through the picture's middle part, 1 on the other. The edge is `blur` wide."""
    along, _ = _turned(shape, rng)
    offset = along.min() + rng.uniform(0.25, 0.75) * np.ptp(along)
    beyond: Array = 1 / (1 + np.exp(-np.clip((along - offset) / blur * 4, -50, 50)))
    return beyond


SURFACES: dict[str, Callable[[tuple[int, int], Generator], Array]] = {
    "paper": _paper,
    "cloth": _cloth,
    "wood": _wood,
    "screen": _screen,
    "gradient": _gradient,
    "shadow": _shadow,
    "hard shadow": _hard_shadow,
    "noise": _noise,
    "blurred edge": _blurred_edge,
}
"""By name, in the order of the table."""
