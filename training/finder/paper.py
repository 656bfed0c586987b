"""Paper of any kind, what is on it but the pen's ink, its light, and how a camera sees it.

Every edge is a distance to a line that a width is compared with, so that nothing has to be drawn in more pixels.
Lengths are in pixels of the scene.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

from digits.features import Floats, Grey
from training.finder.strokes import FIELD
from training.trust.drawing import font

SIDE = 128
"""Side of a scene in pixels."""

Rng = np.random.Generator

Plane = Any
"""A value per pixel, float32 (SIDE, SIDE). For NumPy's type hints, most of its operators return anything."""

Y, X = np.mgrid[:SIDE, :SIDE].astype(np.float32)


class Chances:
    """The shares of the papers and of the pictures that have something."""

    bare: float = 0.25
    """Clean paper in uneven light, with shadows and stains."""
    ruled: float = 0.4
    framed: float = 0.25
    printed: float = 0.25
    specks: float = 0.1
    seen_through: float = 0.25
    """The strokes of the other side of the paper are visible."""
    folded: float = 0.2
    crumpled: float = 0.2
    stained: float = 0.12
    table: float = 0.25
    """The paper ends in the scene."""
    note: float = 0.5
    """Of these: it is a small sheet on a table."""
    shadows: tuple[float, ...] = (0.45, 0.35, 0.2)
    """None, one or two shadows."""
    hand: float = 0.25
    """The shadow of a hand lies on the paper."""
    inverted: float = 0.2
    blurred: float = 0.6
    small: float = 0.3
    """Photographed in fewer pixels, and enlarged."""
    haze: float = 0.1
    jpeg: float = 0.5


@dataclass(frozen=True, slots=True)
class PlacedDigit:
    """A digit of a scene."""

    x: float
    y: float
    height: float
    pen: float
    """Width of its strokes."""


def visibility(contrast: Plane) -> Plane:
    """Return 0 where no ink near a pixel has a contrast of 3 grey values, and 1 where some has 7."""
    strongest = cv2.blur(cv2.dilate(contrast, np.ones((9, 9), np.uint8)), (9, 9))
    return np.clip((strongest - 3) / 4, 0, 1)


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """Return a number between two bounds whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def grain(rng: Rng, size: float) -> Plane:
    """Return smooth noise with a standard deviation of 1 and hills of this size."""
    points = max(3, int(SIDE / size) + 2)
    noise = rng.standard_normal((points, points), dtype=np.float32)
    grain = cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return grain / max(float(grain.std()), 1e-6)


def line_coverage(distance: Plane, width: Plane) -> Plane:
    """Return how much of each pixel a line of this width covers, from the distances to its middle."""
    return np.clip(width / 2 + 0.5 - np.abs(distance), 0, np.minimum(width, 1)).astype(np.float32)


def _step(distance: Plane, blur: float) -> Plane:
    """Return 0 where a distance is far below 0, and 1 where it is far above."""
    return (0.5 + 0.5 * np.tanh(2 * distance / blur)).astype(np.float32)


def near_level(rng: Rng, usual: float, more: float) -> float:
    """Return an angle in radians. Half of the angles have one standard deviation in degrees, half another.

    Strokes and lines of the paper must not differ by their angles, because straight strokes would be left out.
    """
    return float(np.deg2rad(rng.normal(0, usual if rng.random() < 0.5 else more)))


def turned(angle: float, x: float = SIDE / 2, y: float = SIDE / 2) -> tuple[Plane, Plane]:
    """Return coordinates along two axes, turned by an angle around a point."""
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * (X - x) + sin * (Y - y), cos * (Y - y) - sin * (X - x)


def _behind(digits: Sequence[PlacedDigit], fields: Floats, rng: Rng) -> Plane:
    """Return how much of each pixel digits cover that are on the other side of the paper. All are in one hand."""
    ink = np.zeros_like(X)
    slant = rng.normal(0, 0.05) if rng.random() < 0.4 else rng.uniform(-0.35, 0.35)
    turn, width = near_level(rng, 1.5, 6), rng.uniform(0.75, 1.2)
    uneven = 1 + rng.uniform(0, 0.15) * grain(rng, log_uniform(rng, 8, 60))
    for digit in digits:
        scale = 2 * digit.height / FIELD
        axes = np.array([[-width, slant], [0, 1]])
        axes = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ axes
        matrix = np.column_stack([axes, np.array([digit.x, digit.y]) - axes @ np.full(2, FIELD / 2)])
        field = fields[rng.integers(len(fields))]
        distance = cv2.warpAffine(field, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_CONSTANT, borderValue=1.0)
        np.maximum(ink, line_coverage(distance * np.float32(digit.height), digit.pen * uneven), out=ink)
    return ink


def pressure(rng: Rng) -> Plane:
    """Return how dark the strokes are from place to place. A pencil leaves the grain of the paper."""
    kind = rng.random()
    if kind < 0.45:
        return 1.0
    smooth = np.clip(1 - rng.uniform(0.1, 0.5) * (0.5 + 0.5 * grain(rng, log_uniform(rng, 6, 40))), 0.3, 1)
    if kind < 0.75:
        return smooth
    return smooth * np.clip(1 - rng.uniform(0.1, 0.45) * np.abs(grain(rng, log_uniform(rng, 0.7, 3))), 0.25, 1)


def used_paper(digits: Sequence[PlacedDigit], ink: Plane, strength: float, fields: Floats, rng: Rng) -> Plane:
    """Return the brightness of paper with all that is on it except for the pen's ink. Bare paper is 1."""
    height = digits[0].height if digits else log_uniform(rng, 12, 90)
    paper = stained_paper(rng)

    def darken(coverage: Plane, low: float, high: float) -> None:
        np.multiply(paper, 1 - np.minimum(rng.uniform(low, high) * strength, 0.95) * coverage, out=paper)

    if rng.random() < Chances.crumpled:
        paper += log_uniform(rng, 0.01, 0.12) * grain(rng, log_uniform(rng, 5, 60))
    if rng.random() < Chances.folded:
        across, _ = turned(rng.uniform(0, 2 * np.pi), *rng.uniform(0, SIDE, 2))
        side = _step(across, rng.uniform(0.5, 4))
        paper *= 1 + rng.uniform(-0.25, 0.25) * (side - 0.5) + rng.uniform(-0.8, 0.8) * side * (1 - side)
    if rng.random() < Chances.seen_through:
        pen = digits[0].pen if digits else height * rng.uniform(0.03, 0.15)
        behind = [
            PlacedDigit(
                rng.uniform(0, SIDE), rng.uniform(0, SIDE), height * rng.uniform(0.8, 1.2), pen * rng.uniform(0.9, 1.5)
            )
            for _ in range(int(rng.integers(1, max(3, min(12, int(150 / height))))))
        ]
        darken(cv2.GaussianBlur(_behind(behind, fields, rng), (0, 0), rng.uniform(0.5, 2.5)), 0.1, 0.45)
    if rng.random() < Chances.ruled:
        darken(ruling(height, rng), *((0.04, 0.5) if rng.random() < 0.6 else (0.3, 1.1)))
    if rng.random() < Chances.framed:
        darken(_frames(digits, rng), 0.15, 1.25)
    if rng.random() < Chances.printed and height > 12:
        darken(_print(digits, ink, height, rng), 0.3, 1.2)
    if rng.random() < Chances.specks:
        darken(_specks(ink, rng), 0.3, 1.1)
    return paper


def stained_paper(rng: Rng) -> Plane:
    """Return the brightness of bare paper, sometimes with the ring of a cup or a stain with a dark rim."""
    if rng.random() >= Chances.stained:
        return np.ones_like(X)
    u = rng.uniform
    radius = log_uniform(rng, 15, 90)
    distance = np.hypot(X - u(-20, SIDE + 20), Y - u(-20, SIDE + 20)) + u(0, 0.05) * radius * grain(rng, u(10, 40))
    rim = np.exp(-(((distance - radius) / log_uniform(rng, 0.6, 5)) ** 2))
    inside = _step(radius - distance, u(0.5, 3))
    stained: Plane = 1 - u(0.05, 0.4) * rim - (u(0, 0.25) if rng.random() < 0.6 else 0) * inside
    return stained


def ruling(height: float, rng: Rng) -> Plane:
    """Return the lines, squares or margin lines of paper, sometimes only one line."""
    u = rng.uniform
    pitch = log_uniform(rng, max(5, 0.4 * height), max(60, 1.3 * height))
    width = u(0.25, min(2.2, pitch / 4))
    across, down = turned(near_level(rng, 2, 10))
    if rng.random() < 0.2:  # the paper is not flat
        down = down + u(0.5, 3) * grain(rng, u(40, 120))

    def lines(along: Plane, step: float) -> Plane:
        return (along + u(0, step)) % step - step / 2

    kind = rng.random()
    if kind < 0.1:
        return line_coverage(down - u(-50, 50), width)
    if kind < 0.2:
        return line_coverage(across - u(-58, 58), width)
    found = line_coverage(lines(down if kind < 0.95 else across, pitch), width)
    if kind < 0.5:
        if rng.random() < 0.25:
            found = np.maximum(found, line_coverage(across - u(-58, 58), width * u(0.8, 1.6)))
    elif kind < 0.95:
        found = np.maximum(
            found, line_coverage(lines(across, pitch * (u(0.7, 1.4) if rng.random() < 0.2 else 1)), width)
        )
    return found


def _frames(digits: Sequence[PlacedDigit], rng: Rng) -> Plane:
    """Return boxes around each digit or all of them, a line to write on, or a table."""
    u = rng.uniform
    width = u(0.4, 3.5)
    kind = rng.random()
    height = digits[0].height if digits else log_uniform(rng, 15, 90)
    if not digits or kind < 0.25 or len(digits) > 7:  # a table
        cell = np.array([u(0.9, 2.2), u(1.1, 2.0)]) * height
        x, y = (digits[0].x, digits[0].y) if digits else u(0, SIDE, 2)
        axes = turned(near_level(rng, 1.5, 6), x + u(-0.15, 0.15) * height, y + u(-0.15, 0.15) * height)
        return np.maximum(
            *(line_coverage(axis % step - step / 2, width) for axis, step in zip(axes, cell, strict=True))
        )
    corners = np.array(
        [(d.x - 0.4 * d.height, d.y - d.height / 2, d.x + 0.4 * d.height, d.y + d.height / 2) for d in digits]
    )
    if kind < 0.4:
        return line_coverage(turned(near_level(rng, 1, 5), y=corners[:, 3].max() + u(1, 0.25 * height + 2))[1], width)
    if kind < 0.7 and len(digits) > 1:
        boxes = corners
    else:
        boxes = np.concatenate([corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)])[None]
    margin = u(-0.05, 0.45, 2) * height
    is_round, angle = rng.random() < 0.15, near_level(rng, 1, 5)
    found = np.zeros_like(X)
    for left, top, right, bottom in boxes:
        across, down = turned(angle + np.deg2rad(rng.normal(0, 1)), (left + right) / 2, (top + bottom) / 2)
        half = np.maximum(np.array([right - left, bottom - top]) / 2 + margin, 4)
        if is_round:
            distance = (np.hypot(across / half[0], down / half[1]) - 1) * half.min()
        else:
            distance = np.maximum(np.abs(across) - half[0], np.abs(down) - half[1])
        np.maximum(found, line_coverage(distance, width), out=found)
    return found


_FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "cmr10")


def _print(digits: Sequence[PlacedDigit], ink: Plane, height: float, rng: Rng) -> Plane:
    """Return printed words beside the digits."""
    page = Image.new("L", (SIDE, SIDE))
    pen = ImageDraw.Draw(page)
    for _ in range(int(rng.integers(1, 7))):
        size = int(min(rng.uniform(4, 15), 0.6 * height)) + 1
        letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHRST   .,:-0123456789"
        word = "".join(rng.choice(list(letters), int(rng.integers(2, 16))))
        x, y = rng.uniform((-20, -2), (SIDE - 12, SIDE - 4))
        if digits and rng.random() < 0.5:  # a label
            x = digits[0].x - rng.uniform(0.2, 1.2) * height
            y = digits[0].y + rng.choice([-1, 1]) * rng.uniform(0.5, 0.8) * height - size / 2
        pen.text((x, y), word, fill=255, font=font(str(rng.choice(_FONTS)), size))
    coverage = np.asarray(page, dtype=np.float32) / 255
    return coverage * _is_bare(ink)


def _is_bare(ink: Plane) -> Plane:
    """Return 1 where there is no ink within two pixels, else 0."""
    return (cv2.dilate(ink, np.ones((5, 5), np.uint8)) < 0.1).astype(np.float32)


def _specks(ink: Plane, rng: Rng) -> Plane:
    found = np.zeros_like(X)
    for x, y, radius in zip(*rng.uniform(0, SIDE, (2, 20)), rng.exponential(0.8, 20), strict=True):
        np.maximum(found, np.clip(radius + 0.5 - np.hypot(X - x, Y - y), 0, 1), out=found)
    return found * _is_bare(ink)


def surface(rng: Rng) -> Plane:
    """Return wood, cloth, a screen, clouds or things on a table, with a mean of 0 and a standard deviation of 1."""
    u = rng.uniform
    along, across = turned(u(0, 2 * np.pi))
    kind = int(rng.integers(0, 6))
    if kind <= 1:  # rings and fibres of wood
        fibres = rng.standard_normal((SIDE * 2, max(3, int(256 / log_uniform(rng, 6, 60)))), dtype=np.float32)
        fibres = cv2.GaussianBlur(
            cv2.resize(fibres, (2 * SIDE, 2 * SIDE), interpolation=cv2.INTER_LINEAR), (1, 5), u(0.4, 2)
        )
        at = along + SIDE, across + u(0, 3) * grain(rng, u(20, 60)) + SIDE
        streaks = cv2.remap(fibres, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        rings = np.sin(across * u(0.1, 1.6) + along * u(0, 0.03) + u(0.3, 3) * grain(rng, u(20, 70)))
        grey = rings * u(0, 1) + streaks / max(float(streaks.std()), 1e-6) * u(0.1, 1)
    elif kind == 2:  # cloth
        bend, period = u(0, 2) * grain(rng, 30), u(2.2, 12)
        grey = sum(np.sin(2 * np.pi * axis / period + bend) for axis in (along, across)) + 0.3 * grain(rng, 1)
    elif kind == 3:  # the pixels of a screen
        period = u(2.1, 9)
        grey = sum(np.cos(2 * np.pi * axis / period) for axis in (along, across)) + u(0, 1) * np.cos(
            2 * np.pi * (along + u(0.3, 2) * across) / (period * u(5, 20))
        )
    elif kind == 4:
        grey = grain(rng, log_uniform(rng, 2, 40)) + u(0, 0.7) * grain(rng, log_uniform(rng, 1, 8))
    else:  # things in front of each other
        grey = u(0, 0.1) * grain(rng, 1.5)
        for x, y, angle, value in zip(*u(0, SIDE, (2, 6)), u(0, np.pi, 6), u(-1, 1, 6), strict=True):
            axes = [np.abs(axis) - half for axis, half in zip(turned(angle, x, y), u(5, 70, 2), strict=True)]
            inside = _step(-np.maximum(*axes), log_uniform(rng, 0.6, 8))
            grey = grey * (1 - inside) + value * inside
    return (grey - grey.mean()) / max(float(grey.std()), 1e-6)


def end_paper(grey: Plane, ink: Plane, rng: Rng) -> tuple[Plane, Plane]:
    """Put a table beside the paper, or around it, unless it would hide much of the ink."""
    outside = [turned(rng.uniform(0, 2 * np.pi))[0] - rng.uniform(10, 70)]
    if rng.random() < Chances.note and ink.max() > 0.5:
        outside, first = [], rng.uniform(0, 2 * np.pi)
        for side in range(4):
            across, _ = turned(first + side * np.pi / 2 + rng.normal(0, 0.08))
            outside.append(across - float(across[ink > 0.5].max()) - log_uniform(rng, 2, 30))
    table = _step(np.max(outside, axis=0) + rng.uniform(0, 3) * grain(rng, 50), rng.uniform(0.5, 2.5))
    if (table * ink).sum() > 0.03 * ink.sum():
        return grey, ink
    behind = np.clip(rng.uniform(0.05, 1.1) + rng.uniform(0, 0.1) * surface(rng), 0.02, 1.2)
    return grey * (1 - table) + behind * table, ink * (1 - table)


def uneven_light(digits: Sequence[PlacedDigit], rng: Rng) -> Plane:
    """Return the light at each pixel: it falls off, and shadows lie across the scene, mostly across a digit."""
    u = rng.uniform
    along, _ = turned(u(0, 2 * np.pi))
    light = 1 + u(0, 0.9) * along / SIDE - u(0, 0.4) * ((X - u(0, SIDE)) ** 2 + (Y - u(0, SIDE)) ** 2) / SIDE**2
    for _ in range(int(rng.choice(3, p=Chances.shadows))):
        x, y = u(0, SIDE, 2)
        if digits and rng.random() < 0.6:
            digit = digits[int(rng.integers(len(digits)))]
            x, y = (middle + u(-0.4, 0.4) * digit.height for middle in (digit.x, digit.y))
        blur = u(0.4, 3) if rng.random() < 0.5 else log_uniform(rng, 3, 60)
        shade = np.ones_like(X)
        for angle in u(0, 2 * np.pi, int(rng.choice([1, 1, 2, 3]))):  # a half plane, a corner or a triangle
            across, _ = turned(angle, x, y)
            shade = shade * _step(across + u(0, 3) * grain(rng, u(20, 60)), blur)
        light = light * (1 - u(0.1, 0.75) * shade)
    if rng.random() < Chances.hand:
        light = light * (1 - u(0.15, 0.65) * _hand(rng))
    return np.maximum(light, 0.12).astype(np.float32)


def _hand(rng: Rng) -> Plane:
    """Return the shadow of a hand with one to five fingers, which reaches into the scene from one of its sides."""
    u = rng.uniform
    along, across = turned(u(0, 2 * np.pi), u(0, SIDE), u(0, SIDE))
    thick, reach = log_uniform(rng, 3, 16), u(30, 110)
    distance = np.hypot(np.maximum(along - reach, 0), across) - thick * u(1.5, 4)  # the palm and the arm behind it
    for spread in u(-0.5, 0.5, int(rng.integers(1, 6))):
        finger = np.cos(spread) * along + np.sin(spread) * across, np.cos(spread) * across - np.sin(spread) * along
        outside = np.maximum(np.abs(finger[0] - reach / 2) - u(0.5, 1) * reach, 0)
        distance = np.minimum(distance, np.hypot(outside, finger[1]) - thick)
    return _step(-distance, log_uniform(rng, 0.8, 12))


def photograph(grey: Plane, height: float, rng: Rng, *, is_plain: bool) -> Grey:
    """Return the picture that a camera or scanner would make."""
    brightest = float(np.percentile(grey[::4, ::4], 98))
    if brightest > 250 and rng.random() < 0.9:
        grey = grey * (rng.uniform(225, 253) / brightest)
    if rng.random() < Chances.inverted:
        grey = 255 - np.clip(grey, 0, 255)
    if rng.random() < Chances.blurred:
        grey = cv2.GaussianBlur(grey, (0, 0), log_uniform(rng, 0.3, 1.3 if height < 40 else 2.4))
    if height > 26 and rng.random() < Chances.small:
        side = int(log_uniform(rng, max(24, SIDE * 12 / height), 110))
        grey = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)
        if not is_plain:
            grey = grey + log_uniform(rng, 0.3, 4) * rng.standard_normal((side, side), dtype=np.float32)
        grey = _compressed(grey, rng).astype(np.float32)
        grey = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.15:  # sharpened by the camera
        grey = grey + rng.uniform(0.3, 1) * (grey - cv2.GaussianBlur(grey, (0, 0), 1))
    if not is_plain:
        grey = grey + log_uniform(rng, 0.3, 6) * rng.standard_normal((SIDE, SIDE), dtype=np.float32)
    photo: Grey = _compressed(grey, rng)
    return photo


def _compressed(grey: Plane, rng: Rng) -> Any:
    whole: Plane = np.rint(np.clip(grey, 0, 255)).astype(np.uint8)
    if rng.random() < Chances.jpeg:
        quality = int(rng.integers(35, 97))
        whole = cv2.imdecode(cv2.imencode(".jpg", whole, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)
    return whole
