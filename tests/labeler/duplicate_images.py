"""Drawn images, all kinds of copies of them, and a dataset of whole images."""

from collections.abc import Callable

import numpy as np
from catalogue_rows import store
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from tools_for_tests import encode, exif_orientation

from gleanset import Dataset, Origin
from labeler.duplicates.finder import DuplicateFinder
from labeler.duplicates.hashes import to_grey
from labeler.duplicates.plan import DuplicatePlan
from labeler.duplicates.prepared_image import PreparedImage

WIDTH = 320
HEIGHT = 260


def prepare_image(
    pixels: Image.Image, read: Callable[[], Image.Image] | None = None
) -> PreparedImage:
    """Prepare an image for comparison; `read` returns it at its full size."""
    return PreparedImage(to_grey(pixels), read or (lambda: pixels))


def drawing(seed: int) -> Image.Image:
    """Draw shapes of all sizes, different for every seed."""
    random = np.random.default_rng(seed)
    picture = Image.new(
        "RGB", (WIDTH, HEIGHT), tuple(int(c) for c in random.integers(90, 256, 3))
    )
    pen = ImageDraw.Draw(picture)
    for number in range(60):
        left = int(random.integers(-20, WIDTH))
        top = int(random.integers(-20, HEIGHT))
        width, height = (
            int(n) for n in random.integers(6, 90 if number < 12 else 30, 2)
        )
        colour = tuple(int(c) for c in random.integers(0, 256, 3))
        shape = (pen.ellipse, pen.rectangle)[number % 2]
        shape((left, top, left + width, top + height), fill=colour, outline="black")
    return picture


def face(mouth: str, eyes: str = "open") -> Image.Image:
    """Draw one head; only the expression differs."""
    picture = drawing(77)
    pen = ImageDraw.Draw(picture)
    pen.ellipse((90, 30, 230, 240), fill=(255, 224, 200), outline="black", width=2)
    pen.pieslice((85, 20, 235, 160), 180, 360, fill=(150, 90, 40), outline="black")
    for x in (125, 195):
        if eyes == "open":
            pen.ellipse(
                (x - 16, 95, x + 16, 135), fill="white", outline="black", width=3
            )
            pen.ellipse((x - 8, 103, x + 8, 131), fill=(40, 60, 160), outline="black")
        else:
            pen.arc((x - 16, 105, x + 16, 135), 200, 340, fill="black", width=4)
    if mouth == "smile":
        pen.arc((130, 165, 190, 205), 20, 160, fill="black", width=4)
    else:
        pen.ellipse((140, 170, 180, 215), fill=(150, 30, 40), outline="black", width=3)
    return picture


def _crop(part: float) -> Callable[[Image.Image], Image.Image]:
    def cropped(p: Image.Image) -> Image.Image:
        x, y = round(p.width * part), round(p.height * part)
        return p.crop((x, y, p.width - x, p.height - y))

    return cropped


def _marked(p: Image.Image) -> Image.Image:
    layer = Image.new("RGBA", p.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    pen.text(
        (p.width * 0.3, p.height * 0.8),
        "example.com",
        fill=(255, 255, 255, 200),
        font_size=22,
    )
    return Image.alpha_composite(p.convert("RGBA"), layer).convert("RGB")


def _screenshot(p: Image.Image) -> Image.Image:
    screen = Image.new("RGB", (p.width + 60, p.height + 110), (245, 245, 245))
    pen = ImageDraw.Draw(screen)
    pen.rectangle((0, 0, screen.width, 40), fill=(60, 90, 150))
    pen.text((10, 8), "gallery - page 3 of 12", fill="white", font_size=18)
    pen.text(
        (10, screen.height - 30),
        "Like   Share   12 comments",
        fill="black",
        font_size=16,
    )
    screen.paste(p, (30, 60))
    return screen


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "small": lambda p: p.resize((p.width // 2, p.height // 2)),
    "squeezed": lambda p: p.resize((p.width, round(p.height * 0.8))),
    "crop 5 %": _crop(0.05),
    "crop 15 %": _crop(0.15),
    "watermark": _marked,
    "mirror": ImageOps.mirror,
    "letterbox": lambda p: ImageOps.expand(p, (0, 60), "black"),
    "screenshot": _screenshot,
    "grey": lambda p: p.convert("L").convert("RGB"),
    "vivid": lambda p: ImageEnhance.Color(p).enhance(1.8),
}


def encoded(picture: Image.Image, quality: int = 90, orientation: int = 1) -> bytes:
    return encode(picture, quality=quality, exif=exif_orientation(orientation))


def add_picture(dataset: Dataset, name: str, data: bytes, **origin: str | float) -> str:
    """Add a whole image as a sample and return its key."""
    return store(dataset, data, Origin("folder", name, **origin))  # type: ignore[arg-type]


def search(dataset: Dataset) -> DuplicatePlan:
    """Search and return the plan, which is not applied."""
    finder = DuplicateFinder(dataset, workers=1)
    finder.search()
    return finder.plan()
