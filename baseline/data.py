"""The labelled samples of a dataset as arrays of pixels, one for each split."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from baseline.arrays import Arrays
from baseline.pixel_cache import decode_all
from baseline.pixels import Pixels, ReadPixels, Source
from baseline.settings import Settings
from gleanset import Dataset
from gleanset.db.samples import AS_IT_IS, Balances, SampleWeight
from gleanset.errors import InputUnusable
from gleanset.moments import moments_of
from gleanset.records import Sample
from gleanset.work.progress import Progress

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Examples:
    """What a run learns from: the classes in order, the samples of each split, their moments.

    `moments` names what must not be learnt from and judged by at once, by sample key.

    Train is as `labeler balance` has it: samples left out or repeated, and the `weights` of the
    classes in the loss where it gave some. `natural` counts the samples of train by class before.
    """

    classes: tuple[str, ...]
    splits: dict[str, tuple[Sample, ...]]
    moments: Mapping[str, str]
    weights: tuple[float, ...] = ()
    natural: Mapping[str, int] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """A hash of which sample is of which class in which split: equal means equal data.

        The box counts as well, because another margin gives other pixels to the same sample,
        and so does the angle of a levelled one.
        """
        told = repr(self.classes) + (repr(self.weights) if self.weights else "")
        digest = hashlib.sha256(told.encode())
        for split in SPLITS:
            for sample in self.splits[split]:
                angle = (sample.angle,) if sample.angle else ()
                box = ",".join(map(str, (*sample.box, *angle)))
                digest.update(f"{split} {sample.key} {box} {sample.label}\n".encode())
        return digest.hexdigest()[:16]

    def straddling(self, split: str) -> int:
        """How many samples of `split` are of a moment that train has, too."""
        learnt = {self.moments[sample.key] for sample in self.splits["train"]}
        return sum(self.moments[sample.key] in learnt for sample in self.splits[split])

    def counts(self) -> dict[str, int]:
        """How many samples each split has."""
        return {split: len(self.splits[split]) for split in SPLITS}


def find_examples(dataset: Dataset) -> Examples:
    """The labelled samples that have a split. Raises `InputUnusable` where there are none."""
    chosen = list(dataset.samples.in_splits())
    if not chosen:
        raise InputUnusable(
            "there is nothing to train on: no labelled sample has a split yet",
            f"run: labeler accept-hints -d {dataset.root}; labeler split -d {dataset.root}",
        )
    classes = tuple(sorted({str(sample.label) for sample in chosen}))
    by_split = {split: tuple(s for s in chosen if s.split == split) for split in SPLITS}
    natural = Counter(str(sample.label) for sample in by_split["train"])
    shares = Balances(dataset.db).shares()
    by_split["train"] = tuple(
        sample
        for sample in by_split["train"]
        for _ in range(shares.get(sample.key, AS_IT_IS).copies)
    )
    moments = moments_of(dataset.db, [sample.key for sample in chosen])
    weights = _class_weights(by_split["train"], classes, shares)
    return Examples(classes, by_split, moments, weights, natural)


def _class_weights(
    train: Sequence[Sample], classes: Sequence[str], shares: Mapping[str, SampleWeight]
) -> tuple[float, ...]:
    """The mean weight of each class; nothing where all weigh alike."""
    weighed = {label: [1.0] for label in classes}
    for sample in train:
        weighed[str(sample.label)].append(shares.get(sample.key, AS_IT_IS).weight)
    means = tuple(sum(values[1:]) / max(len(values) - 1, 1) for values in weighed.values())
    return () if set(means) <= {1.0} else means


def load_arrays(
    dataset: Dataset,
    examples: Examples,
    settings: Settings,
    *,
    splits: Sequence[str] = SPLITS,
    progress: Progress | None = None,
) -> dict[str, Arrays]:
    """The pixels of some splits, each in the order of its sample keys.

    They are decoded once and mapped into memory from the dataset's cache. Samples whose pictures
    cannot be read are left out. Raises `InputUnusable` when that is
    all of a split.
    """
    chosen = {split: list(sources(dataset, examples.splits[split])) for split in splits}
    read = ReadPixels(settings.size, "L" if settings.channels == 1 else "RGB")
    found = decode_all(dataset.cache / "pixels", chosen, read, progress)
    return {
        split: _labelled(
            examples, split, [chosen[split][row].key for row in found[split].rows], found[split].x
        )
        for split in splits
    }


def _labelled(examples: Examples, split: str, keys: Sequence[str], x: Pixels) -> Arrays:
    samples = examples.splits[split]
    if samples and not keys:
        raise InputUnusable(
            f"none of the {len(samples)} pictures of {split} can be read",
            "put the images folder of the dataset back",
        )
    index = {name: number for number, name in enumerate(examples.classes)}
    labels = {sample.key: str(sample.label) for sample in samples}
    y = np.array([index[labels[key]] for key in keys], dtype=np.int64)
    return Arrays(x, y, tuple(keys))


def sources(dataset: Dataset, samples: Sequence[Sample]) -> Iterator[Source]:
    """Where the pixels of these samples are; nothing for one whose image is unknown."""
    for sample in samples:
        image = dataset.images.get(sample.image)
        if image is not None:
            original = dataset.image_path(image.sha256, image.format)
            crop = dataset.crop_path(sample.key)
            yield Source(sample.key, str(crop), str(original), sample.box, sample.angle)
