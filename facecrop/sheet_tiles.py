"""Small pictures with captions, laid out as one large picture: a contact sheet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from gleanset.errors import UsageError
from gleanset.images.contact_sheet import fitted
from gleanset.images.decode import MAX_PIXELS

GAP = 6
LINE = 14
"""Pixels: between tiles, and for a line of the caption."""

PAPER, INK, HEADING = (250, 250, 248), (40, 40, 40), (0, 60, 120)


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture with its caption; one without a picture is a heading and begins a new row."""

    caption: str
    picture: Image.Image | None = None


def lay_out(tiles: Iterable[Tile], size: int, columns: int) -> Image.Image:
    """All tiles in rows. `size` is the side of a tile in pixels, pictures are fitted in.

    Raises `UsageError` where the sheet would be too large for one picture.
    """
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


def _placed(tiles: list[Tile], size: int, columns: int) -> tuple[list[tuple[Tile, int, int]], int]:
    """Each tile with its left and top edge, and where the last row ends."""
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
    """One line that fits: what the built-in font cannot draw is shown as `?`."""
    shown = "".join(letter if " " <= letter <= "~" else "?" for letter in text)
    most = max(int(width / 5.6), 4)
    return shown if len(shown) <= most else f"{shown[: most - 2]}.."
