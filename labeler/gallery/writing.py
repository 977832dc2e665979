"""Writing a gallery: one HTML file with everything in it, or a folder with the sheets beside it."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from gleanset import Dataset
from gleanset.db.duplicates import ImageHashes, Pairs
from gleanset.errors import InputUnusable
from gleanset.files.atomic import write_atomic
from gleanset.html.fill import as_bytes
from gleanset.images.contact_sheet import fitted
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import Progress
from labeler.export.tree import kept_files, mark, marked, place_of, replacing
from labeler.gallery.chosen import GallerySample, choose, choose_stacks, stacks_to_show
from labeler.gallery.page import ACROSS, SLOTS, GalleryContent, gather, render
from labeler.gallery.request import GalleryRequest
from labeler.quality.assessment import QualityAssessment
from labeler.sample_pixels import SampleFile, read_pixels, sample_file

ENDINGS = (".html", ".htm")
INDEX = "index.html"
OURS = b'<meta name="generator" content="Gleanset gallery">'
HEAD = 4096
SIDE = 96
"""Pixels of the longer side of a small picture."""


@dataclass(frozen=True, slots=True)
class GalleryWritten:
    """The page that was written, its bytes with all its sheets, and what it shows.

    `private_images` were sent by users of the page and are not shown.
    """

    page: Path
    bytes: int
    unreadable: int
    content: GalleryContent
    kept: Mapping[str, object]
    private_images: int = 0

    def result(self) -> dict[str, Any]:
        """Return it for the command line."""
        return {
            "gallery": str(self.page),
            "megabytes": round(self.bytes / 1e6, 2),
            ("stacks" if self.content.stacks else "classes"): len(self.content.classes),
            "shown": self.content.shown,
            "of": self.content.total,
            "set_aside": self.content.aside,
            "unreadable": self.unreadable,
            "marked": self.content.marked(),
            **self.kept,
        } | ({"images_from_reports_left_out": self.private_images} if self.private_images else {})


def write_gallery(
    dataset: Dataset, out: Path, request: GalleryRequest, progress: Progress
) -> GalleryWritten:
    """Write the gallery to `out`, a name that ends in .html, or a folder; whole or not at all.

    Samples that are new are measured first. Raises what `choose` raises, `InputUnusable` where
    something of a person's own is there, and `NotWritable` or `DiskFull`.
    """
    refuse_others(out)
    if request.stacks:
        stacks_to_show(dataset)  # where there are none, that is told before anything is measured
    QualityAssessment(dataset, progress=progress).run()
    choice = choose_stacks(dataset, request) if request.stacks else choose(dataset, request)
    sheets = list(make_sheets(_files(dataset, choice.shown), SIDE, Processes(), progress))
    sizes = [size for sheet in sheets for size in sheet.sizes]
    content = gather(dataset, choice, sizes, SIDE)
    write = _write_page if _alone(out) else _write_folder
    refuse_others(out)  # again: it took a while, and somebody may have put a file there
    page, size, kept = write(out, dataset.name, content, sheets)
    private = len(request.private_images(dataset))
    return GalleryWritten(page, size, sizes.count(None), content, kept, private)


def refuse_others(out: Path) -> None:
    """Refuse to replace what is there and is no gallery (`InputUnusable`): it may be one's own."""
    if not out.exists():
        return
    if _alone(out):
        ours = out.is_file() and OURS in out.read_bytes()[:HEAD]
    else:
        ours = out.is_dir() and ("gallery" in marked(out) or not any(out.iterdir()))
    if not ours:
        raise InputUnusable(
            f"{out} is there and is not a gallery", "choose another name, or move it away"
        )


def _alone(out: Path) -> bool:
    return out.suffix.lower() in ENDINGS


def _files(dataset: Dataset, shown: Sequence[GallerySample]) -> list[SampleFile]:
    """Return where the pixels of the samples are."""
    originals = dataset.originals(dataset.cache)
    rows = Pairs(dataset.db).numbers([one.sample.key for one in shown])
    seen = ImageHashes(dataset.db).seen(rows)
    return [sample_file(seen[row], originals) for row in rows]


def _write_page(
    out: Path, title: str, content: GalleryContent, sheets: Sequence[PictureSheet]
) -> tuple[Path, int, dict[str, object]]:
    """Write one file; it and its bytes."""
    inside = [
        f"data:image/webp;base64,{base64.b64encode(sheet.data).decode('ascii')}" for sheet in sheets
    ]
    page = as_bytes(render(title, content, inside))
    write_atomic(out.absolute(), page)
    return out.absolute(), len(page), {}


def _write_folder(
    out: Path, title: str, content: GalleryContent, sheets: Sequence[PictureSheet]
) -> tuple[Path, int, dict[str, object]]:
    """Write the folder, which takes the place of an earlier one when it is whole.

    Return its page, its bytes, and what it took over of a person's files.
    """
    place = place_of(out)
    named = {f"sheet-{number:03}.webp": sheet.data for number, sheet in enumerate(sheets)}
    named[INDEX] = as_bytes(render(title, content, list(named)))
    with replacing(place) as new:
        for name, data in named.items():
            (new.folder / name).write_bytes(data)
        mark(new.folder, {"gallery": True})
    return place / INDEX, sum(map(len, named.values())), kept_files(new, place)


QUALITY = 72


class SheetItem(NamedTuple):
    """A picture for a slot of a sheet."""

    slot: int
    file: SampleFile


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
        slot = outcome.item.slot
        sizes[slot] = small.size
        paper.paste(small, (slot % ACROSS * side, slot // ACROSS * side))
    buffer = io.BytesIO()
    paper.save(buffer, "WEBP", quality=QUALITY, method=4)
    return PictureSheet(buffer.getvalue(), sizes)


def small_picture(item: SheetItem, side: int) -> Image.Image:
    """Return a sample's picture, its longer side of `side` pixels. Raises `Unreadable`."""
    return fitted(read_pixels(item.file, side, "RGB"), side).convert("RGB")
