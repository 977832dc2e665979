"""Copies that are hard to recognise: lettered, covered, photographed, framed or in few colors.

Shared by the benchmarks and tests; not a script.
"""

import io
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

Alter = Callable[[Image.Image, np.random.Generator], Image.Image]
WORDS = ("you", "never", "show me", "why", "did", "leave", "listen", "we would")


def add_subtitle(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Write one or two white lines with a black outline into the lower fifth."""
    copy = image.copy()
    size = max(9, round(image.height * random.uniform(0.055, 0.075)))
    font = ImageFont.load_default(size)
    pen = ImageDraw.Draw(copy)
    lines = [
        str(random.choice(WORDS)).capitalize() for _ in range(random.integers(1, 3))
    ]
    for number, line in enumerate(lines):
        while font.getlength(line) < random.uniform(0.4, 0.7) * image.width:
            line += f" {random.choice(WORDS)}"
        lines[number] = line
    at = (image.width / 2, image.height * random.uniform(0.96, 0.985))
    text = "\n".join(lines)
    outline = {"stroke_width": max(1, round(size / 12)), "stroke_fill": "black"}
    pen.multiline_text(at, text, "white", font, "md", size * 0.15, "center", **outline)
    return copy


def add_sticker(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Lay an opaque smiling face with an outline over 10 to 20 % of the image."""
    sticker = Image.new("RGBA", (400, 400))
    pen = ImageDraw.Draw(sticker)
    pen.ellipse((4, 4, 396, 396), (255, 204, 34), (190, 130, 10), 12)
    for x in (135, 265):
        pen.ellipse((x - 26, 115, x + 26, 190), (90, 50, 20))
    pen.chord((90, 190, 310, 330), 0, 180, (150, 40, 30), (90, 50, 20), 8)
    side = round((image.width * image.height * random.uniform(0.1, 0.2) / 0.77) ** 0.5)
    side = min(side, *image.size)
    copy = image.copy()
    small = sticker.rotate(random.uniform(-20, 20)).resize(
        (side, side), Image.Resampling.LANCZOS
    )
    left, top = (int(random.integers(0, room - side + 1)) for room in image.size)
    copy.paste(small, (left, top), small)
    return copy


def photograph_screen(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Photograph the image on a screen: perspective, moire, glare, tint, blur and noise."""
    # The edge of the screen is dark.
    screen = np.asarray(
        ImageOps.expand(image, max(3, min(image.size) // 40), (18, 18, 18)), np.float32
    )
    high, wide = screen.shape[:2]
    border = random.uniform(0.06, 0.14)
    out = round(wide * (1 + 2 * border)), round(high * (1 + 2 * border))
    corners = np.array([[0, 0], [wide, 0], [wide, high], [0, high]], np.float32)
    shift = random.uniform(-0.07, 0.07, (4, 2)) * [wide, high] + border * np.array(
        [wide, high]
    )
    motion = cv2.getPerspectiveTransform(corners, (corners + shift).astype(np.float32))
    desk = tuple(random.uniform(30, 140, 3).tolist())
    photo = cv2.warpPerspective(
        screen, motion, out, flags=cv2.INTER_AREA, borderValue=desk
    )
    y, x = np.mgrid[: out[1], : out[0]].astype(np.float32)
    turn = random.uniform(0, np.pi)
    period = random.uniform(4, 14)
    bent = x * np.cos(turn) + y * np.sin(turn) + 4 * np.sin(2 * np.pi * y / out[1])
    stripes = [np.sin(2 * np.pi * (bent / period + third / 3)) for third in range(3)]
    photo *= 1 + random.uniform(0.03, 0.08) * np.stack(stripes, axis=2)
    at = random.uniform(0.1, 0.9, 2) * out
    reach = random.uniform(0.1, 0.25) * max(out)
    glare = np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * reach**2))
    photo += random.uniform(50, 110) * glare[..., None]
    photo = photo * random.uniform(0.82, 1.1, 3) + random.uniform(0, 18)
    photo = cv2.GaussianBlur(photo, (0, 0), random.uniform(0.5, 1.0))
    photo += random.normal(0, random.uniform(3, 7), photo.shape)
    return Image.fromarray(np.clip(photo, 0, 255).astype(np.uint8))


def make_collage(
    image: Image.Image, random: np.random.Generator, others: Sequence[Image.Image]
) -> Image.Image:
    """Show the image in one of four cells with thin borders, next to three other images."""
    wide, high = image.size
    line = max(2, round(min(image.size) * random.uniform(0.01, 0.03)))
    color = "white" if random.random() < 0.5 else "black"
    page = Image.new("RGB", (2 * wide + 3 * line, 2 * high + 3 * line), color)
    cells = [others[int(i)] for i in random.choice(len(others), 3, replace=False)]
    cells.insert(int(random.integers(4)), image)
    for number, cell in enumerate(cells):
        if cell is not image:
            cell = ImageOps.fit(cell, image.size)
        row, column = divmod(number, 2)
        page.paste(cell, (line + column * (wide + line), line + row * (high + line)))
    return page


def round_corners(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Show the image with rounded corners and a drop shadow on a white page."""
    side = min(image.size)
    across, down = (round(side * random.uniform(0.06, 0.15)) for _ in range(2))
    size = image.width + 2 * across, image.height + 2 * down
    shape = Image.new("L", size)
    box = across, down, across + image.width - 1, down + image.height - 1
    ImageDraw.Draw(shape).rounded_rectangle(box, side * random.uniform(0.04, 0.1), 255)
    offset = max(1, round(side * 0.015))
    blurred = shape.filter(ImageFilter.GaussianBlur(side * random.uniform(0.015, 0.04)))
    shade = Image.new("L", size)
    shade.paste(blurred.point(lambda value: round(0.5 * value)), (offset, offset))
    page = Image.new("RGB", size, "white")
    page.paste((0, 0, 0), (0, 0), shade)
    canvas = Image.new("RGB", size)
    canvas.paste(image, (across, down))
    page.paste(canvas, (0, 0), shape)
    return page


WEAK_COPIES: dict[str, Alter] = {
    "subtitle": add_subtitle,
    "sticker": add_sticker,
    "photographed screen": photograph_screen,
    "rounded corners": round_corners,
    "GIF of 24 colors": lambda image, random: image.quantize(
        24, dither=Image.Dither.FLOYDSTEINBERG
    ),
}


def encode_weak_copy(
    kind: str, image: Image.Image, seed: int, others: Sequence[Image.Image]
) -> bytes:
    """Return a weak copy of an image as a file; `others` fill the cells of a collage."""
    random = np.random.default_rng(seed)
    buffer = io.BytesIO()
    copy = (
        make_collage(image, random, others)
        if kind == "collage"
        else WEAK_COPIES[kind](image, random)
    )
    copy.thumbnail((1000, 1000))
    copy.save(buffer, "GIF" if copy.mode == "P" else "JPEG", quality=85)
    return buffer.getvalue()
