"""A contact sheet of a dataset: its samples, chosen and ordered, as one picture."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from facecrop.sheet_tiles import Tile, lay_out
from gleanset import Dataset
from gleanset.db.paging import Where
from gleanset.errors import InputUnusable, Unreadable
from gleanset.images.contact_sheet import save_sheet
from gleanset.images.cut import cut
from gleanset.images.decode import decode
from gleanset.records import Sample

ORDERS: dict[str, Callable[[Sample], tuple[float | str, ...]]] = {
    "score": lambda sample: (-(sample.score or 0.0),),
    "doubt": lambda sample: (sample.score or 0.0,),
    "sharpness": lambda sample: (-sample.sharpness,),
    "size": lambda sample: (-sample.size,),
    "class": lambda sample: (sample.label or sample.hint or "~",),
}
"""Orders by name; `doubt` shows the least sure first."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which samples are shown: those in which everything holds that is given."""

    label: str | None = None
    hint: str | None = None
    status: str | None = None
    detector: str | None = None
    min_score: float | None = None
    max_score: float | None = None

    def of(self, dataset: Dataset) -> Iterator[Sample]:
        """The samples; those that were retired only where asked for."""
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
    choice: Choice,
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
    """The first `limit` of them, whatever their number, with few in memory."""
    own = ORDERS[order] if order else None
    if not group and own is None:
        return list(itertools.islice(samples, limit))

    def key(sample: Sample) -> tuple[object, ...]:
        heading = (sample.label is None, _heading(sample)) if group else ()
        return (*heading, *(own(sample) if own else ()))

    return heapq.nsmallest(limit, samples, key=key)


def _heading(sample: Sample) -> str:
    return sample.label or (f"{sample.hint} (a hint)" if sample.hint else "without a class")


def _tiles(dataset: Dataset, samples: Iterable[Sample], *, group: bool) -> tuple[list[Tile], int]:
    tiles: list[Tile] = []
    heading: str | None = None
    unreadable = 0
    for sample in samples:
        name = _heading(sample)
        if group and name != heading:
            heading = name
            tiles.append(Tile(name))
        try:
            tiles.append(Tile(_caption(sample, group=group), _picture(dataset, sample)))
        except (Unreadable, OSError):
            unreadable += 1
    return tiles, unreadable


def _caption(sample: Sample, *, group: bool) -> str:
    words = [] if sample.score is None else [f"{sample.score:.2f}"]
    words += [] if group else [sample.label or sample.hint or ""]
    return " ".join([*words, f"{sample.size} px"]).strip()


def _picture(dataset: Dataset, sample: Sample) -> Image.Image:
    """The crop of a sample, or what it shows of the original where there is no crop."""
    crop = dataset.crop_path(sample.key)
    if crop.is_file():
        return decode(crop.read_bytes()).pixels
    image = dataset.images.get(sample.image)
    if image is None:
        raise Unreadable("file is gone", sample.image)
    original = dataset.image_path(sample.image, image.format)
    return cut(decode(original.read_bytes()).pixels, sample.box, sample.angle)
