"""A picture of what augmentation does: originals on the left, changed copies on the right."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from baseline.data.augmentation import Pixels, augmented_views
from baseline.data.pixels import ReadPixels
from baseline.data.samples import Examples, pixel_sources
from baseline.settings import Settings
from gleanset import Dataset
from gleanset.images.contact_sheet import SheetTile, lay_out, save_sheet
from gleanset.records import Sample
from gleanset.work.pool import Threads, run_over

SHEET = "augmentation.jpg"
ROWS, COPIES = 8, 6
"""Samples on a sheet, and changed copies of each."""
LARGEST = 120
"""Pixels of a tile's side at most."""


def write_sheet(dataset: Dataset, examples: Examples, settings: Settings, folder: Path) -> None:
    """Write `SHEET` into `folder`: samples of train as training sees them, and changed.

    Nothing is written where nothing is changed, or no picture can be read.
    """
    if settings.augment == "none":
        return
    read = ReadPixels(settings.size, "L" if settings.channels == 1 else "RGB", settings.fit)
    chosen = _spread(examples, ROWS)
    labels = {sample.key: str(sample.label) for sample in chosen}
    outcomes = run_over(read, list(pixel_sources(dataset, chosen)), Threads(1))
    tiles: list[SheetTile] = []
    for key, plain in ((o.item.key, o.result) for o in outcomes if o.result is not None):
        views = augmented_views(plain[None], [key], COPIES, settings.augment, settings.seed)
        tiles.append(SheetTile(labels[key], _picture(plain)))
        tiles += [SheetTile("", _picture(view)) for view in views[0]]
    if tiles:
        save_sheet(lay_out(tiles, min(settings.size, LARGEST), 1 + COPIES), folder / SHEET)


def _spread(examples: Examples, count: int) -> list[Sample]:
    """Return samples of train, of as many classes as can be, one class after the other."""
    train = {sample.key: sample for sample in examples.splits["train"]}
    members: dict[str, list[Sample]] = {}
    for sample in train.values():
        members.setdefault(str(sample.label), []).append(sample)
    turns = [(n, label) for label in members for n in range(len(members[label]))]
    first = sorted(turns)[:count]
    return [members[label][n] for n, label in sorted(first, key=lambda turn: (turn[1], turn[0]))]


def _picture(pixels: Pixels) -> Image.Image:
    """Return pixels C x H x W as a picture."""
    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
