"""The labelled samples of a dataset as arrays of pixels, one for each split."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from baseline.arrays import Arrays
from baseline.pixels import ReadPixels, Source
from baseline.presets import Settings
from gleanset import Dataset
from gleanset.errors import InputUnusable
from gleanset.records import Sample
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import Progress

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Examples:
    """What a run learns from: the classes in order, and (sample key, class) by split."""

    classes: tuple[str, ...]
    splits: dict[str, tuple[Sample, ...]]

    def fingerprint(self) -> str:
        """A hash of which sample is of which class in which split: equal means equal data.

        The box counts as well, because another margin gives other pixels to the same sample.
        """
        digest = hashlib.sha256(repr(self.classes).encode())
        for split in SPLITS:
            for sample in self.splits[split]:
                box = ",".join(map(str, sample.box))
                digest.update(f"{split} {sample.key} {box} {sample.label}\n".encode())
        return digest.hexdigest()[:16]

    def counts(self) -> dict[str, int]:
        """How many samples each split has."""
        return {split: len(self.splits[split]) for split in SPLITS}


def find_examples(dataset: Dataset) -> Examples:
    """The labelled samples that have a split. Raises `InputUnusable` where there are none."""
    chosen = [s for s in dataset.samples.by_key() if s.status == "labelled" and s.split]
    if not chosen:
        raise InputUnusable(
            "there is nothing to train on: no labelled sample has a split yet",
            f"run: labeler accept-hints -d {dataset.root}; labeler split -d {dataset.root}",
        )
    classes = tuple(sorted({str(sample.label) for sample in chosen}))
    by_split = {split: tuple(s for s in chosen if s.split == split) for split in SPLITS}
    return Examples(classes, by_split)


def load_arrays(
    dataset: Dataset, examples: Examples, split: str, settings: Settings,
    progress: Progress | None = None,
) -> Arrays:  # fmt: skip
    """The pixels of one split, in the order of the sample keys.

    Samples whose pictures cannot be read are left out. Raises `InputUnusable` when that is all.
    """
    samples = examples.splits[split]
    mode = "L" if settings.channels == 1 else "RGB"
    read = ReadPixels(settings.size, mode)
    outcomes = run_over(read, list(_sources(dataset, samples)), Processes())
    bar = (progress or Progress()).over(outcomes, f"load {split}", total=len(samples))
    pixels = {o.item.key: o.result for o in bar if o.result is not None}
    if samples and not pixels:
        raise InputUnusable(
            f"none of the {len(samples)} pictures of {split} can be read",
            "put the images folder of the dataset back",
        )
    index = {name: number for number, name in enumerate(examples.classes)}
    kept = [sample for sample in samples if sample.key in pixels]
    shape = (0, settings.channels, settings.size, settings.size)
    return Arrays(
        np.stack([pixels[s.key] for s in kept]) if kept else np.zeros(shape, np.uint8),
        np.array([index[str(s.label)] for s in kept], dtype=np.int64),
        tuple(s.key for s in kept),
    )


def _sources(dataset: Dataset, samples: Sequence[Sample]) -> Iterator[Source]:
    for sample in samples:
        image = dataset.images.get(sample.image)
        if image is not None:
            original = dataset.image_path(image.sha256, image.format)
            yield Source(sample.key, str(dataset.crop_path(sample.key)), str(original), sample.box)
