"""A contact sheet of a dataset: its samples, chosen and ordered, as one picture with captions."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from gleanset import Dataset
from gleanset.db.paging import Where
from gleanset.errors import InputUnusable, Unreadable, UsageError
from gleanset.images.contact_sheet import fitted, save_sheet
from gleanset.images.cut import cut
from gleanset.images.decode import MAX_PIXELS, decode
from gleanset.records import Sample

GAP = 6
LINE = 14
"""Pixels: between tiles, and for a line of the caption."""

PAPER, INK, HEADING = (250, 250, 248), (40, 40, 40), (0, 60, 120)


@dataclass(frozen=True, slots=True)
class SheetTile:
    """A picture with its caption; one without a picture is a heading and begins a new row."""

    caption: str
    picture: Image.Image | None = None


def lay_out(tiles: Iterable[SheetTile], size: int, columns: int) -> Image.Image:
    """Return all tiles in rows. `size` is the side of a tile in pixels, pictures are fitted in.

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


def _placed(
    tiles: list[SheetTile], size: int, columns: int
) -> tuple[list[tuple[SheetTile, int, int]], int]:
    """Return each tile with its left and top edge, and where the last row ends."""
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


ORDERS: dict[str, Callable[[Sample], tuple[float | str, ...]]] = {
    "score": lambda sample: (-(sample.score or 0.0),),
    "doubt": lambda sample: (sample.score or 0.0,),
    "sharpness": lambda sample: (-sample.sharpness,),
    "size": lambda sample: (-sample.size,),
    "class": lambda sample: (sample.label or sample.hint or "~",),
}
"""Orders by name; `doubt` shows the least sure first."""


@dataclass(frozen=True, slots=True)
class SheetFilter:
    """Which samples are shown: those in which everything holds that is given."""

    label: str | None = None
    hint: str | None = None
    status: str | None = None
    detector: str | None = None
    min_score: float | None = None
    max_score: float | None = None

    def of(self, dataset: Dataset) -> Iterator[Sample]:
        """Return the samples; those that were retired only where asked for."""
        where = Where(label=self.label, hint=self.hint, status=self.status)
        return (sample for sample in dataset.samples.each(where) if self._fits(sample))

    def _fits(self, sample: Sample) -> bool:
        if self.status is None and sample.status == "retired":
            return False
        if self.detector is not None and sample.detector != self.detector:
            return False
        score = sample.score
        if score is None:
            return self.min_score is None and self.max_score is None
        low = self.min_score is None or score >= self.min_score
        return low and (self.max_score is None or score <= self.max_score)


def make_sheet(
    dataset: Dataset,
    choice: SheetFilter,
    file: Path,
    *,
    limit: int,
    size: int,
    columns: int,
    order: str | None = None,
    group: bool = False,
) -> dict[str, object]:
    """Write the sheet; how many samples fit, are shown, and could not be read.

    With `group` every class gets a heading and rows of its own. Raises `InputUnusable` where
    nothing fits.
    """
    total = itertools.count()
    samples = (sample for sample in choice.of(dataset) if next(total) >= 0)
    chosen = _ordered(samples, order, limit, group=group)
    found = next(total) + sum(1 for _ in samples)
    if not chosen:
        raise InputUnusable(
            "no sample fits", "ask for less, or see what there is: gleanset status -d DIR"
        )
    tiles, unreadable = _tiles(dataset, chosen, group=group)
    save_sheet(lay_out(tiles, size, columns), file)
    return {
        "sheet": str(file.absolute()),
        "samples": found,
        "shown": len(chosen) - unreadable,
        "unreadable": unreadable,
    }


def _ordered(
    samples: Iterable[Sample], order: str | None, limit: int, *, group: bool
) -> list[Sample]:
    """Return the first `limit` of them, whatever their number, with few in memory."""
    own = ORDERS[order] if order else None
    if not group and own is None:
        return list(itertools.islice(samples, limit))

    def key(sample: Sample) -> tuple[object, ...]:
        heading = (sample.label is None, _heading(sample)) if group else ()
        return (*heading, *(own(sample) if own else ()))

    return heapq.nsmallest(limit, samples, key=key)


def _heading(sample: Sample) -> str:
    return sample.label or (f"{sample.hint} (a hint)" if sample.hint else "without a class")


def _tiles(
    dataset: Dataset, samples: Iterable[Sample], *, group: bool
) -> tuple[list[SheetTile], int]:
    tiles: list[SheetTile] = []
    heading: str | None = None
    unreadable = 0
    for sample in samples:
        name = _heading(sample)
        if group and name != heading:
            heading = name
            tiles.append(SheetTile(name))
        try:
            tiles.append(SheetTile(_caption(sample, group=group), _picture(dataset, sample)))
        except (Unreadable, OSError):
            unreadable += 1
    return tiles, unreadable


def _caption(sample: Sample, *, group: bool) -> str:
    words = [] if sample.score is None else [f"{sample.score:.2f}"]
    words += [] if group else [sample.label or sample.hint or ""]
    return " ".join([*words, f"{sample.size} px"]).strip()


def _picture(dataset: Dataset, sample: Sample) -> Image.Image:
    """Return the crop of a sample, or what it shows of the original where there is no crop."""
    crop = dataset.crop_path(sample.key)
    if crop.is_file():
        return decode(crop.read_bytes()).pixels
    image = dataset.images.get(sample.image)
    if image is None:
        raise Unreadable("file is gone", sample.image)
    original = dataset.image_path(sample.image, image.format)
    return cut(decode(original.read_bytes()).pixels, sample.box, sample.angle)
