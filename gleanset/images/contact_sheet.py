"""Contact sheets: pictures with captions in rows, as one picture in the format of its name."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from gleanset.errors import InputUnusable, NotWritable, UsageError
from gleanset.files.atomic import write_atomic
from gleanset.images.decode import MAX_PIXELS

GAP = 6
LINE = 14
"""Pixels: between tiles, and for a line of the caption."""

PAPER, INK, HEADING = (250, 250, 248), (40, 40, 40), (0, 60, 120)
KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def save_sheet(sheet: Image.Image, file: Path) -> None:
    """Write it whole or not at all. Raises `UsageError`, `InputUnusable`, `NotWritable`."""
    kind = KINDS[checked_ending(file)]
    buffer = io.BytesIO()
    try:
        sheet.save(buffer, kind)
    except (ValueError, OverflowError, OSError) as error:
        # WebP and JPEG have a largest side.
        raise InputUnusable(f"cannot write {file}: {error}", "write a .png instead") from error
    try:
        write_atomic(file, buffer.getvalue())
    except OSError as error:
        raise NotWritable(
            f"cannot write {file}: {error.strerror}", "choose another place"
        ) from error


def checked_ending(file: Path) -> str:
    """Return the ending of a sheet's name. Raises `UsageError` for one that is no picture's."""
    ending = file.suffix.lower()
    if ending not in KINDS:
        raise UsageError(f"cannot tell the format of {file}", f"end it in {', '.join(KINDS)}")
    return ending


def fitted(picture: Image.Image, size: int) -> Image.Image:
    """Return a copy whose longer side has `size` pixels."""
    scale = size / max(picture.size)
    wanted = [max(round(side * scale), 1) for side in picture.size]
    kind = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
    return picture.resize((wanted[0], wanted[1]), kind)


@dataclass(frozen=True, slots=True)
class SheetTile:
    """A picture with its caption; one without a picture is a heading and begins a new row."""

    caption: str
    picture: Image.Image | None = None


def lay_out(tiles: Iterable[SheetTile], size: int, columns: int) -> Image.Image:
    """Return all tiles, of `size` pixels a side, in rows. Raises `UsageError` if too large."""
    shown = list(tiles)
    if all(tile.picture is not None for tile in shown):
        # Headings want the whole width; a few tiles do not.
        columns = max(min(columns, len(shown)), 1)
    placed, bottom = _placed(shown, size, columns)
    width, height = columns * (size + GAP) + GAP, max(bottom, 2 * GAP)
    if width * height > MAX_PIXELS:
        raise UsageError(
            f"a sheet of {width} x {height} pixels is too large",
            "show fewer with --limit, or smaller ones with --size",
        )
    sheet = Image.new("RGB", (width, height), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for tile, x, y in placed:
        if tile.picture is None:
            draw.text((x, y), _plain(tile.caption, width), HEADING, font)
            continue
        small = fitted(tile.picture, size)
        sheet.paste(small, (x + (size - small.width) // 2, y + (size - small.height) // 2))
        draw.text((x, y + size + 1), _plain(tile.caption, size), INK, font)
    return sheet


def _placed(
    tiles: list[SheetTile], size: int, columns: int
) -> tuple[list[tuple[SheetTile, int, int]], int]:
    placed, column, y = [], 0, GAP
    row = size + LINE + GAP
    for tile in tiles:
        if tile.picture is None or column == columns:
            y += row if column else 0
            column = 0
        placed.append((tile, GAP + column * (size + GAP), y))
        if tile.picture is None:
            y += LINE + GAP
        else:
            column += 1
    return placed, y + (row if column else 0)


def _plain(text: str, width: int) -> str:
    shown = "".join(letter if " " <= letter <= "~" else "?" for letter in text)
    most = max(int(width / 5.6), 4)
    return shown if len(shown) <= most else f"{shown[: most - 2]}.."
