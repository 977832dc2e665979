"""A picture of what augmentation does: originals on the left, changed copies on the right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from baseline.data.augmentation import Pixels, augmented_views
from baseline.data.pixels import ReadPixels
from baseline.data.samples import Examples, find_examples, pixel_sources
from baseline.settings import Settings
from gleanset import Dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.images.contact_sheet import checked_ending, save_sheet
from gleanset.records import Sample
from gleanset.work.pool import Processes, run_over

COPIES = 6
GAP = 6
LARGEST = 160
"""Pixels: between tiles, and of a tile's side at most."""
PAPER = 250


def write_sheet(dataset: Dataset, settings: Settings, file: Path, count: int) -> int:
    """Write a sheet of up to `count` samples of train to `file`; how many it shows.

    What they look like is what training sees of them, at its size and in its colours. Raises
    `UsageError` where nothing is changed, `InputUnusable` where no picture can be read.
    """
    checked_ending(file)
    if settings.augment == "none":
        raise UsageError("augment=none changes nothing", "add -o augment=characters or photos")
    chosen = _spread(find_examples(dataset), count)
    read = ReadPixels(settings.size, "L" if settings.channels == 1 else "RGB", settings.fit)
    outcomes = run_over(read, list(pixel_sources(dataset, chosen)), Processes(1))
    pixels = {o.item.key: o.result for o in outcomes if o.result is not None}
    keys = [sample.key for sample in chosen if sample.key in pixels]
    if not keys:
        raise InputUnusable("no picture of train can be read", "put the images folder back")
    x = np.stack([pixels[key] for key in keys])
    views = augmented_views(x, keys, COPIES, settings.augment, settings.seed)
    save_sheet(_laid_out(np.concatenate((x[:, None], views), axis=1)), file)
    return len(keys)


def _spread(examples: Examples, count: int) -> list[Sample]:
    """Return samples of train, of as many classes as can be, one class after the other."""
    train = {sample.key: sample for sample in examples.splits["train"]}
    members: dict[str, list[Sample]] = {}
    for sample in train.values():
        members.setdefault(str(sample.label), []).append(sample)
    turns = [(n, label) for label in members for n in range(len(members[label]))]
    first = sorted(turns)[:count]
    return [members[label][n] for n, label in sorted(first, key=lambda turn: (turn[1], turn[0]))]


def _laid_out(rows: Pixels) -> Image.Image:
    """Lay rows x columns x C x H x W out as one picture; a wider gap after the first column."""
    side = min(rows.shape[-1], LARGEST)
    step = side + GAP
    width, height = rows.shape[1] * step + 3 * GAP, rows.shape[0] * step + GAP
    sheet = Image.new("RGB", (width, height), (PAPER,) * 3)
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            last = picture.transpose(1, 2, 0)
            tile = Image.fromarray(last.repeat(3, axis=2) if last.shape[2] == 1 else last)
            small = tile.resize((side, side), Image.Resampling.LANCZOS)
            left = GAP + column * step + (2 * GAP if column else 0)
            sheet.paste(small, (left, GAP + row * step))
    return sheet
