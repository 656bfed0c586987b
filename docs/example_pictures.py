"""Make the example pictures: photos, scans and drawings of digits and numbers, each written and taken by simulation.

python -m docs.example_pictures            # writes the pictures and docs/images/examples.jpg, their contact sheet

Nothing here comes from a data set: docs/handwriting.py writes, and this module makes paper, light, a camera and a
scanner. Every picture has a fixed seed, so the same versions of the libraries give the same pictures.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from docs.handwriting import PENS, Array, Hand, write

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "app/openapi/examples"
PAGE = ROOT / "app/pages/static"
IMAGES = ROOT / "docs/images"
CONTACT_SHEET = IMAGES / "examples.jpg"

Rng = np.random.Generator
Color = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

INKS: dict[str, Color] = {
    "blue": (38, 52, 138),
    "black": (34, 33, 38),
    "red": (176, 38, 44),
    "green": (24, 104, 66),
    "royal blue": (44, 62, 160),
    "graphite": (78, 78, 82),
    "white": (244, 244, 240),
}


def layout(lines: list[Array], size: tuple[int, int], height: int, rng: Rng, *, spacing: float = 1.5) -> Array:
    """Return lines of ink on an empty page, about in its middle.

    Args:
        lines: the ink of each line, as `write` returns it.
        size: width and height of the page in pixels.
        height: the height of a line in pixels.
        rng: where the lines lie, and how they slope.
        spacing: the distance between lines, as a multiple of their height.
    """
    width, rows = size
    page = np.zeros((rows, width), np.float32)
    x = (width - max(line.shape[1] * height / line.shape[0] for line in lines)) / 2 + rng.uniform(-0.04, 0.04) * width
    y = (rows - height * (1 + spacing * (len(lines) - 1))) / 2 + rng.uniform(-0.04, 0.04) * rows
    slope = np.deg2rad(rng.uniform(-3, 3))
    for index, line in enumerate(lines):
        scale = height / line.shape[0]
        left, top = x + rng.uniform(-0.1, 0.1) * height, y + spacing * height * index
        placing = np.array(
            [
                [scale * np.cos(slope), -scale * np.sin(slope), left],
                [scale * np.sin(slope), scale * np.cos(slope), top],
            ]
        )
        soft = blurred(line, max(0.1, 0.4 / scale))  # against aliasing when it is reduced
        np.maximum(page, cv2.warpAffine(soft, placing, size), out=page)
    return page


def blurred(values: Array, sigma: float) -> Array:
    """Return values after a Gaussian filter with a standard deviation in pixels."""
    result: Array = cv2.GaussianBlur(values, (0, 0), sigma)
    return result


def texture(shape: tuple[int, int], rng: Rng, size: float, *, stretch: float = 1) -> Array:
    """Return blurred random numbers with standard deviation 1.

    Their spots are about `size` pixels high, and `stretch` times as wide.
    """
    noise: Array = cv2.GaussianBlur(
        rng.normal(0, 1, shape).astype(np.float32), (0, 0), sigmaX=size * stretch, sigmaY=size
    )
    return noise / float(noise.std())


def values(color: Color) -> Array:
    """Return a color as an array, (3,)."""
    return np.array(color, np.float32)


# Paper: each function returns colors (rows, columns, 3), 0 to 255, as seen in even white light.


def blank(shape: tuple[int, int], rng: Rng, color: Color = (247, 245, 240), roughness: float = 1.6) -> Array:
    """Return unprinted paper."""
    fibres = texture(shape, rng, 0.8) + texture(shape, rng, 2.5) + texture(shape, rng, 9)
    return values(color) + roughness / 3 * fibres[..., None]


def squared(shape: tuple[int, int], rng: Rng) -> Array:
    """Return paper with pale blue squares."""
    return _printed(blank(shape, rng, (246, 244, 236)), rng, step=shape[0] / 9, both=True)


def ruled(shape: tuple[int, int], rng: Rng) -> Array:
    """Return paper with pale blue lines."""
    return _printed(blank(shape, rng, (248, 247, 241)), rng, step=shape[0] / 4.2, both=False)


def _printed(paper: Array, rng: Rng, *, step: float, both: bool) -> Array:
    rows, columns = paper.shape[:2]
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    axes = [(y + rng.uniform(0, step)) % step, (x + rng.uniform(0, step)) % step][: 1 + both]
    lines: Array = np.max([np.exp(-(((axis - step / 2) / 1.3) ** 2)) for axis in axes], axis=0)
    return paper + (values((168, 196, 222)) - paper) * 0.6 * lines[..., None]


def sticky_note(shape: tuple[int, int], rng: Rng) -> Array:
    """Return yellow paper that is darker at the glued edge."""
    paper = blank(shape, rng, (250, 226, 110), roughness=1.2)
    y = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None, None]
    light: Array = 1 - 0.07 * np.exp(-y / 0.12)
    return paper * light


def envelope(shape: tuple[int, int], rng: Rng) -> Array:
    """Return brown paper with visible fibres."""
    return blank(shape, rng, (201, 166, 122), roughness=4) + 4 * texture(shape, rng, 0.6)[..., None]


def whiteboard(shape: tuple[int, int], rng: Rng) -> Array:
    """Return a whiteboard with traces of what was wiped off."""
    wiped: Array = np.abs(texture(shape, rng, 5, stretch=8)).clip(0, 3)
    return values((236, 239, 241)) - 7 * wiped[..., None]


def blackboard(shape: tuple[int, int], rng: Rng) -> Array:
    """Return a blackboard with the dust of old chalk."""
    dust = 5 * texture(shape, rng, 30, stretch=0.5) + 2 * texture(shape, rng, 0.7)
    return values((46, 66, 60)) + dust[..., None]


# Ink on paper


def inked(paper: Array, ink: Array, color: Color, rng: Rng, *, grip: float = 0.0) -> Array:
    """Return paper with ink on it.

    Args:
        paper: colors, (rows, columns, 3).
        ink: coverage, (rows, columns), 0 to 1.
        color: the color of the ink.
        rng: the roughness of the paper.
        grip: how much the paper's roughness breaks the ink up, 0 for wet ink to 1 for chalk.
    """
    rough = texture(ink.shape, rng, 0.7) + texture(ink.shape, rng, 1.3)
    coverage: Array = ink * (1 - grip * (0.5 + 0.25 * rough)).clip(0, 1)
    return paper + (values(color) - paper) * (0.96 * coverage)[..., None]


# Devices: each function returns the picture that a device makes of a page.


def photo(page: Array, rng: Rng, size: tuple[int, int]) -> bytes:
    """Return a JPEG: the page from a slant, in uneven light, with a shadow, a little out of focus and with noise.

    Args:
        page: colors of a page that is larger than the picture.
        rng: the position of camera and light.
        size: width and height of the picture in pixels.
    """
    width, height = size
    rows, columns = page.shape[:2]
    inset = np.array([columns, rows]) * 0.09
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    seen = corners * (np.array([columns, rows]) - 2 * inset) + inset + rng.uniform(-0.7, 0.7, (4, 2)) * inset
    lens = cv2.getPerspectiveTransform(seen.astype(np.float32), corners * np.array([width, height], np.float32))
    soft = blurred(page, 0.5 * columns / width)  # against aliasing
    view = cv2.warpPerspective(soft, lens, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(size)
    angle = rng.uniform(0, 2 * np.pi)
    across = np.cos(angle) * (x - x.mean()) + np.sin(angle) * (y - y.mean())
    edge = across + 0.05 * np.sin(5 * (x + y) + angle) - rng.uniform(0, 0.2)
    shadow = rng.uniform(0.08, 0.22) / (1 + np.exp(-edge * rng.uniform(12, 25)))  # of the hand with the phone
    corners_darker = 0.16 * ((x - x.mean()) ** 2 + (y - y.mean()) ** 2)
    light = 0.92 - rng.uniform(0.1, 0.3) * across - shadow - corners_darker
    view = view * light[..., None] * np.array([1, 0.975, rng.uniform(0.9, 0.97)], np.float32)  # a warm lamp

    view = blurred(view, rng.uniform(0.55, 0.85))
    noise = rng.normal(0, 1, view.shape) * 0.8 + rng.normal(0, 1, (height, width, 1)) * 1.2
    return encoded(view + noise.astype(np.float32), quality=76)


def scan(page: Array, rng: Rng, size: tuple[int, int]) -> bytes:
    """Return a grey JPEG: the page in flat light, with dust, and with what shines through from the back.

    Args:
        page: colors of a page that is larger than the picture.
        rng: the back, dust and noise.
        size: width and height of the picture in pixels.
    """
    rows, columns = page.shape[:2]
    back = write("740", Hand.drawn(rng), PENS["felt pen"], rng)[:, ::-1]
    through = layout([back], (columns, rows), int(rng.uniform(0.4, 0.9) * rows), rng)
    grey = page.mean(axis=2) - 9 * blurred(through, 4)
    grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    grey = (grey - 30) * 250 / 215  # a scanner makes white paper almost white
    for _ in range(rng.integers(2, 6)):
        x, y = (int(rng.uniform(0, length)) for length in size)
        grey[y : y + 1, x : x + 2] -= rng.uniform(20, 70)
    return encoded(grey + rng.normal(0, 1.2, grey.shape).astype(np.float32), quality=78)


def screen(page: Array, _rng: Rng, size: tuple[int, int]) -> bytes:
    """Return a PNG of what was drawn on a screen."""
    return encoded(cv2.resize(page, size, interpolation=cv2.INTER_AREA), colors=32)


def encoded(pixels: Array, *, quality: int = 0, colors: int = 0) -> bytes:
    """Return grey or colored pixels as a JPEG with a quality, or as a PNG with a number of colors."""
    picture = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
    buffer = io.BytesIO()
    if quality:
        picture.save(buffer, "JPEG", quality=quality, optimize=True)
    else:
        picture.quantize(colors).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Surface:
    """What is written on, and how it takes ink."""

    make: Callable[[tuple[int, int], Rng], Array]
    grip: float = 0.15


def plain(color: Color) -> Surface:
    """Return a surface of one color: a drawing program's canvas."""
    return Surface(lambda shape, _rng: np.full((*shape, 3), values(color)), grip=0)


SURFACES = {
    "paper": Surface(blank),
    "squared paper": Surface(squared),
    "ruled paper": Surface(ruled),
    "sticky note": Surface(sticky_note, grip=0.05),
    "envelope": Surface(envelope, grip=0.25),
    "whiteboard": Surface(whiteboard, grip=0.05),
    "blackboard": Surface(blackboard, grip=0.6),
    "white canvas": plain((255, 255, 255)),
    "dark canvas": plain((28, 30, 38)),
}


@dataclass(frozen=True, slots=True)
class Picture:
    """An example picture.

    `lines` is what it shows, `size` its width and height in pixels, and `height` the height of a digit. `seed` decides
    everything that these leave open.
    """

    kind: str
    lines: tuple[str, ...]
    pen: str
    ink: str
    surface: str
    seed: int
    size: tuple[int, int]
    height: int

    @property
    def name(self) -> str:
        """The name of the file, for example photo-3.jpg, or photo-365-1024.jpg for two lines."""
        suffix = "jpg" if self.kind in {"photo", "scan"} else "png"
        return f"{self.kind}-{'-'.join(self.lines)}.{suffix}"

    def make(self) -> bytes:
        """Return the encoded picture."""
        rng = np.random.default_rng(self.seed)
        surface = SURFACES[self.surface]
        width, height = (2 * length for length in self.size)  # reduced by the device
        hand, pen = Hand.drawn(rng), PENS[self.pen]
        lines = [write(line, hand, pen, rng) for line in self.lines]
        ink = layout(lines, (width, height), 2 * self.height, rng)
        page = inked(surface.make((height, width), rng), ink, INKS[self.ink], rng, grip=surface.grip)
        return DEVICES[self.kind](page, rng, self.size)


DEVICES: dict[str, Callable[[Array, Rng, tuple[int, int]], bytes]] = {
    "photo": photo,
    "scan": scan,
    "drawing": screen,
}


def _one_per_digit(
    kind: str, size: tuple[int, int], height: int, styles: list[tuple[str, str, str, int]]
) -> list[Picture]:
    """Return pictures of 0 to 9. A style has a pen, an ink, a surface and a seed."""
    return [Picture(kind, (str(digit),), *style, size=size, height=height) for digit, style in enumerate(styles)]


PICTURES = [
    *_one_per_digit(
        "photo",
        (260, 280),
        150,
        [
            ("ballpoint", "blue", "squared paper", 0),
            ("pencil", "graphite", "paper", 113),
            ("felt pen", "black", "sticky note", 2),
            ("fountain pen", "royal blue", "ruled paper", 3),
            ("marker", "green", "whiteboard", 4),
            ("chalk", "white", "blackboard", 5),
            ("ballpoint", "red", "paper", 6),
            ("pencil", "graphite", "squared paper", 7),
            ("felt pen", "black", "envelope", 8),
            ("ballpoint", "black", "paper", 9),
        ],
    ),
    *_one_per_digit(
        "scan",
        (150, 170),
        100,
        [
            ("ballpoint", "blue", "ruled paper", 20),
            ("ballpoint", "black", "paper", 127),
            ("pencil", "graphite", "paper", 22),
            ("felt pen", "black", "paper", 23),
            ("fountain pen", "royal blue", "paper", 24),
            ("ballpoint", "blue", "squared paper", 25),
            ("pencil", "graphite", "ruled paper", 126),
            ("ballpoint", "black", "squared paper", 27),
            ("fountain pen", "black", "paper", 28),
            ("felt pen", "blue", "paper", 29),
        ],
    ),
    *_one_per_digit(
        "drawing",
        (200, 200),
        130,
        [
            ("finger", "black", "white canvas", 40),
            ("mouse", "black", "white canvas", 129),
            ("stylus", "blue", "white canvas", 42),
            ("finger", "white", "dark canvas", 43),
            ("mouse", "red", "white canvas", 44),
            ("stylus", "black", "white canvas", 45),
            ("finger", "green", "white canvas", 46),
            ("stylus", "white", "dark canvas", 47),
            ("mouse", "black", "white canvas", 48),
            ("finger", "blue", "white canvas", 49),
        ],
    ),
    Picture("photo", ("2048",), "ballpoint", "blue", "squared paper", 60, (400, 220), 80),
    Picture("photo", ("90125",), "felt pen", "black", "envelope", 61, (420, 220), 80),
    Picture("photo", ("365", "1024"), "fountain pen", "royal blue", "ruled paper", 62, (360, 300), 80),
    Picture("scan", ("73856",), "ballpoint", "black", "paper", 63, (320, 140), 60),
    Picture("scan", ("1986", "407", "52"), "pencil", "graphite", "paper", 64, (240, 300), 60),
    Picture("drawing", ("314",), "finger", "black", "white canvas", 65, (360, 200), 110),
    Picture("drawing", ("2718", "28"), "stylus", "white", "dark canvas", 66, (320, 260), 80),
]
"""The examples of the API's documentation."""

PAGE_PICTURES = {
    "example-photo.jpg": Picture("photo", ("3",), "fountain pen", "royal blue", "squared paper", 3, (220, 220), 124),
    "example-number.jpg": Picture("photo", ("2048",), "ballpoint", "blue", "squared paper", 60, (270, 180), 58),
    "example-unclear.png": Picture("drawing", ("?",), "finger", "black", "white canvas", 102, (160, 160), 90),
    "example-letter.png": Picture("drawing", ("M",), "finger", "black", "white canvas", 12, (160, 160), 90),
}
"""The examples of the drawing page."""

OF_TRUST = ("example-photo.jpg", "example-unclear.png", "example-letter.png")
"""Those with which docs/explanation/trust.md opens."""

FILES = (
    {EXAMPLES / picture.name: picture for picture in PICTURES}
    | {PAGE / name: picture for name, picture in PAGE_PICTURES.items()}
    | {IMAGES / name: PAGE_PICTURES[name] for name in OF_TRUST}
)
"""Every picture and where it is stored."""


def contact_sheet(pictures: list[Picture], width: int = 1000) -> Image.Image:
    """Return all pictures, each with its file's name and how it was written."""
    sheet = Image.new("RGB", (width, 4000), (225, 226, 229))
    pen = ImageDraw.Draw(sheet)
    large, small = (ImageFont.load_default(size) for size in (14, 11))
    margin, caption, cell = 12, 40, 182
    x, y, row = margin, margin, 0
    for picture in pictures:
        shown = Image.open(io.BytesIO(picture.make())).convert("RGB")
        scale = min(1, cell / shown.width) if len(picture.lines[0]) == 1 else 0.62
        shown = shown.resize([round(length * scale) for length in shown.size], Image.Resampling.LANCZOS)
        cell_width = max(cell, shown.width)
        if x + cell_width > width - margin:
            x, y, row = margin, y + row + caption + margin, 0
        sheet.paste(shown, (x, y))
        pen.text((x, y + shown.height + 4), picture.name, (20, 20, 25), large)
        pen.text((x, y + shown.height + 22), f"{picture.pen}, {picture.surface}", (90, 92, 98), small)
        x, row = x + cell_width + margin, max(row, shown.height)
    return sheet.crop((0, 0, width, y + row + caption + margin))


def main() -> None:
    """Write the pictures and their contact sheet."""
    for file, picture in FILES.items():
        file.write_bytes(picture.make())
    contact_sheet(PICTURES).save(CONTACT_SHEET, quality=82, optimize=True)
    print(f"{len(FILES)} pictures, {sum(file.stat().st_size for file in FILES):,} bytes")


if __name__ == "__main__":
    main()
