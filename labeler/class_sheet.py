"""A sheet of class portraits: each class in a row, with its name, its count and its faces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageDraw

from curation.moments import moments_of
from gleanset import Dataset
from gleanset.db.measures import Quality, QualityMeasures
from gleanset.db.paging import Where
from gleanset.db.statistics import Statistics
from gleanset.errors import InputUnusable, Unreadable, UsageError
from gleanset.images.contact_sheet import fitted, save_sheet
from gleanset.images.decode import MAX_PIXELS
from gleanset.records import Region, Sample
from labeler.fonts import font_for
from labeler.quality.flags import flags_of
from labeler.sample_pixels import SampleFile, read_pixels

PAPER, INK, SOFT = (250, 250, 248), (35, 35, 35), (110, 110, 110)
GAP, NAMES = 8, 2
"""Pixels between portraits; the name's column is so many portraits wide."""

LAST = 10.0
"""The place among its class of a sample that was not compared with it."""


@dataclass
class ClassSheet:
    """What was drawn; `without_font` are letters that no font on this machine has."""

    sheet: str
    classes: dict[str, int] = field(default_factory=dict)
    portraits: int = 0
    unreadable: int = 0
    without_font: str = ""


def make_sheet(
    dataset: Dataset, file: Path, *, names: Sequence[str] = (), each: int = 5, size: int = 128
) -> ClassSheet:
    """Write the sheet of these classes (of all, by name). The same data gives the same picture.

    `each` portraits of `size` pixels are shown: the sharpest and most typical as `labeler
    quality` measured them, one of a moment while there are others. Raises `InputUnusable`
    without classes, `UsageError` for a class that is not there or a sheet too large.
    """
    counts = labelled_counts(dataset, names)
    sheet = ClassSheet(str(file.absolute()), counts)
    width, height = GAP + (NAMES + each) * (size + GAP), GAP + len(counts) * (size + GAP)
    if width * height > MAX_PIXELS:
        raise UsageError(
            f"a sheet of {width} x {height} pixels is too large",
            "show some classes with --class, fewer with --each, or smaller ones with --size",
        )
    paper = Image.new("RGB", (width, height), PAPER)
    lacking: set[str] = set()
    moments = moments_of(dataset.db)
    for row, name in enumerate(counts):
        top = GAP + row * (size + GAP)
        order = portrait_order(dataset, name, size, moments)
        counts[name] = len(order)
        lacking |= set(_title(paper, top, size, name, len(order)))
        for column, picture in enumerate(_portraits(dataset, order, size, sheet)):
            if column == each:
                break
            sheet.portraits += 1
            left = GAP + (NAMES + column) * (size + GAP)
            at = left + (size - picture.width) // 2, top + (size - picture.height) // 2
            paper.paste(picture, at)
    sheet.without_font = "".join(sorted(lacking))
    save_sheet(paper, file)
    return sheet


def labelled_counts(dataset: Dataset, names: Sequence[str]) -> dict[str, int]:
    """Return how many labelled samples these classes have (all classes, by name).

    Raises `InputUnusable` without classes, `UsageError` for one that is not there.
    """
    found = {
        label: by_split.total() for label, by_split in Statistics(dataset.db).labelled().items()
    }
    if not found:
        raise InputUnusable(
            "nothing has a label yet, so there are no classes",
            f"see what comes next: gleanset status {dataset.option}",
        )
    if unknown := [name for name in names if name not in found]:
        raise UsageError(
            f"there is no class {unknown[0]!r} with samples", f"there are: {', '.join(found)}"
        )
    return {name: found[name] for name in (dict.fromkeys(names) if names else sorted(found))}


def _portraits(
    dataset: Dataset, samples: Sequence[Sample], size: int, sheet: ClassSheet
) -> Iterator[Image.Image]:
    """Yield the portraits of these samples; what cannot be read is passed over."""
    for sample in samples:
        try:
            yield fitted(_pixels(dataset, sample, size), size)
        except Unreadable:
            sheet.unreadable += 1


def portrait_order(
    dataset: Dataset, name: str, size: int = 0, moments: Mapping[str, str] | None = None
) -> list[Sample]:
    """Return the samples of a class that are kept, those that show it best at `size` pixels first.

    `moments` has the moment of every labelled sample, which is costly to find class by class.
    """
    labelled = dataset.samples.each(Where(label=name, status="labelled"))
    samples = (sample for sample in labelled if sample.kept)
    measured = QualityMeasures(dataset.db).beside(samples)
    ranked = sorted(measured, key=lambda pair: _rank(pair[0], pair[1], size))
    moments = moments_of(dataset.db) if moments is None else moments
    seen: set[str] = set()
    first: list[Sample] = []
    later: list[Sample] = []
    for sample, _ in ranked:
        (later if moments[sample.key] in seen else first).append(sample)
        seen.add(moments[sample.key])
    return first + later


def _rank(sample: Sample, quality: Quality | None, size: int) -> tuple[bool, float, str]:
    """Return those without a flag and not too small first, then near to their class and sharp."""
    if quality is None:
        return True, -sample.sharpness, sample.key
    typical = LAST if quality.outlier is None else quality.outlier
    lesser = bool(flags_of(quality)) or quality.size < size
    return lesser, typical + quality.blur, sample.key


def _pixels(dataset: Dataset, sample: Sample, size: int) -> Image.Image:
    image = dataset.images.get(sample.image)
    if image is None:
        raise Unreadable("file is gone", sample.image)
    path = dataset.image_path(sample.image, image.format)
    region = Region(sample.box, sample.angle)
    return read_pixels(SampleFile(path, image.width, image.height, region), size, "RGB")


def _title(paper: Image.Image, top: int, size: int, name: str, count: int) -> str:
    """Draw the name and the count of a class; the letters that could not be drawn."""
    draw, width = ImageDraw.Draw(paper), NAMES * (size + GAP) - GAP
    shown = "".join(letter if letter.isprintable() else " " for letter in name)
    font, lacking = font_for(shown, max(size // 6, 9))
    if draw.textlength(shown, font) > width:
        while shown and draw.textlength(f"{shown}…", font) > width:
            shown = shown[:-1]
        shown += "…"
    middle = top + size // 2
    draw.text((GAP, middle - size // 24), shown, INK, font, anchor="ls")
    small, _ = font_for("", max(size // 9, 8))
    draw.text((GAP, middle + size // 8), f"{count} samples", SOFT, small, anchor="ls")
    return lacking
