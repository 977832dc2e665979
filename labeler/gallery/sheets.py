"""Sheets of small pictures: many samples in one WebP file, each in a slot of its own.

They are drawn anew from the pixels, so nothing that a camera wrote beside them is in them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from PIL import Image

from gleanset.images.contact_sheet import fitted
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import Progress
from labeler.sample_pixels import SampleFile, read_pixels

ACROSS = 20
SLOTS = ACROSS * ACROSS
"""Pictures of a sheet: of 96 pixels each they make 1920 x 1920, which a phone can show."""
QUALITY = 72


class SheetItem(NamedTuple):
    """A picture for a slot of a sheet."""

    slot: int
    file: SampleFile


class SmallPicture(NamedTuple):
    """RGB pixels of a picture, `width` x `height`."""

    width: int
    height: int
    pixels: bytes


class PictureSheet(NamedTuple):
    """A sheet (WebP), and for each slot how large its picture is; None: it cannot be shown."""

    data: bytes
    sizes: list[tuple[int, int] | None]


def make_sheets(
    files: Sequence[SampleFile], side: int, workers: Processes, progress: Progress
) -> Iterator[PictureSheet]:
    """Yield the sheets of these pictures, in their order, each at most `side` pixels a side."""
    with (
        progress.meter("small pictures", len(files), " pictures") as meter,
        workers.keep(__name__) as kept,
    ):
        for start in range(0, len(files), SLOTS):
            some = files[start : start + SLOTS]
            yield _sheet(some, side, kept)
            meter.advance(len(some))


def _sheet(files: Sequence[SampleFile], side: int, workers: Processes) -> PictureSheet:
    rows = -(-len(files) // ACROSS)
    paper = Image.new("RGB", (min(len(files), ACROSS) * side, rows * side))
    sizes: list[tuple[int, int] | None] = [None] * len(files)
    items = [SheetItem(slot, file) for slot, file in enumerate(files)]
    for outcome in run_over(partial(small_picture, side=side), items, workers):
        if (small := outcome.result) is None:
            continue
        slot, size = outcome.item.slot, (small.width, small.height)
        sizes[slot] = size
        paper.paste(
            Image.frombytes("RGB", size, small.pixels),
            (slot % ACROSS * side, slot // ACROSS * side),
        )
    buffer = io.BytesIO()
    paper.save(buffer, "WEBP", quality=QUALITY, method=4)
    return PictureSheet(buffer.getvalue(), sizes)


def small_picture(item: SheetItem, side: int) -> SmallPicture:
    """Return a sample's picture, its longer side of `side` pixels. Raises `Unreadable`."""
    small = fitted(read_pixels(item.file, side, "RGB"), side)
    return SmallPicture(*small.size, small.tobytes())
