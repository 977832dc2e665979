"""A sheet of leaks: the two pictures of each pair side by side, for a person's eyes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from gleanset.errors import Unreadable, UsageError
from gleanset.files.atomic import write_atomic
from labeler.audit import Leak
from labeler.audit_pictures import Shot, pixels_of

SIDE = 200
GAP = 10
TEXT = 40
ACROSS = 2
MOST = 100
_MADE_BY = "Gleanset audit"


def check_sheet(path: Path) -> None:
    """Raises `UsageError` for a name that is no PNG, or a file that is not a sheet of ours."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path} is no name for a sheet", "name a file that ends in .png")
    if path.exists() and not _is_ours(path):
        raise UsageError(f"there is another file at {path}", "name a file that is not there yet")


def write_sheet(path: Path, leaks: Sequence[Leak]) -> int:
    """Draw the first pairs into a PNG; how many there was room for.

    Raises what `check_sheet` raises, and `NotWritable` or `DiskFull`.
    """
    check_sheet(path)
    shown = leaks[:MOST]
    rows = max(1, -(-len(shown) // ACROSS))
    cell = (2 * SIDE + 3 * GAP, SIDE + TEXT + 2 * GAP)
    sheet = Image.new("RGB", (cell[0] * ACROSS, cell[1] * rows), "white")
    for number, leak in enumerate(shown):
        left, top = number % ACROSS * cell[0] + GAP, number // ACROSS * cell[1] + GAP
        _draw(sheet, leak, left, top)
    note = PngImagePlugin.PngInfo()
    note.add_text("Software", _MADE_BY)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", pnginfo=note)
    write_atomic(path, buffer.getvalue())
    return len(shown)


def _draw(sheet: Image.Image, leak: Leak, left: int, top: int) -> None:
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for place, shot in enumerate((leak.a, leak.b)):
        x = left + place * (SIDE + GAP)
        sheet.paste(_thumbnail(shot), (x, top))
        pen.text((x, top + SIDE + 2), _shortened(shot.name), fill="black", font=font)
    says = leak.kind + ("" if leak.a.label == leak.b.label else ", other labels")
    pen.text((left, top + SIDE + 18), says, fill="firebrick", font=font)


def _thumbnail(shot: Shot) -> Image.Image:
    frame = Image.new("RGB", (SIDE, SIDE), "gainsboro")
    try:
        picture = pixels_of(shot, 2 * SIDE, "RGB").convert("RGB")
    except Unreadable:  # it was there a moment ago
        return frame
    picture.thumbnail((SIDE, SIDE))
    frame.paste(picture, ((SIDE - picture.width) // 2, (SIDE - picture.height) // 2))
    return frame


def _shortened(name: str) -> str:
    plain = "".join(letter if letter.isprintable() else "?" for letter in name)
    return plain if len(plain) <= 34 else f"{plain[:10]}…{plain[-23:]}"


def _is_ours(path: Path) -> bool:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.info.get("Software") == _MADE_BY
    except (OSError, ValueError, SyntaxError):
        return False
