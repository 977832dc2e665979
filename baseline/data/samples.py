"""The labelled samples of a dataset as arrays of pixels, one for each split."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from baseline.data.pixel_cache import decode_all
from baseline.data.pixels import Pixels, PixelSource, ReadPixels
from baseline.settings import Settings, Triplet
from curation.moments import moments_of
from gleanset import Dataset
from gleanset.db.journal import unseen_labels
from gleanset.db.samples import AS_IT_IS, Balances, SampleWeight
from gleanset.errors import InputUnusable
from gleanset.records import SPLITS, Sample
from gleanset.work.progress import Progress


@dataclass(frozen=True, slots=True)
class Examples:
    """What a run learns from: the classes in order, the samples of each split, their moments.

    `moments` names what must not be learnt from and judged by at once, by sample key.

    Train is as `labeler balance` has it: samples left out or repeated, and the `weights` of the
    classes in the loss where it gave some. `natural` counts the samples of train by class before.
    `unseen` are the samples (keys) whose labels nobody has looked at: they teach and never judge.
    """

    classes: tuple[str, ...]
    splits: dict[str, tuple[Sample, ...]]
    moments: Mapping[str, str]
    weights: tuple[float, ...] = ()
    natural: Mapping[str, int] = field(default_factory=dict)
    unseen: frozenset[str] = frozenset()

    def fingerprint(self) -> str:
        """Return a hash of which sample is of which class in which split: equal means equal data.

        The box counts as well, because another margin gives other pixels to the same sample,
        and so does the angle of a levelled one.
        """
        told = repr(self.classes) + (repr(self.weights) if self.weights else "")
        digest = hashlib.sha256(told.encode())
        for split in SPLITS:
            for sample in self.splits[split]:
                angle = (sample.angle,) if sample.angle else ()
                box = ",".join(map(str, (*sample.box, *angle)))
                seen = " unseen" if sample.key in self.unseen else ""
                digest.update(f"{split} {sample.key} {box} {sample.label}{seen}\n".encode())
        return digest.hexdigest()[:16]

    def classes_of(self, split: str, keys: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the index of the class of some samples of a split, by key."""
        index = {name: number for number, name in enumerate(self.classes)}
        labels = {sample.key: str(sample.label) for sample in self.splits[split]}
        return np.array([index[labels[key]] for key in keys], dtype=np.int64)

    def straddling(self, split: str) -> int:
        """Return how many samples of `split` are of a moment that train has, too."""
        learnt = {self.moments[sample.key] for sample in self.splits["train"]}
        return sum(self.moments[sample.key] in learnt for sample in self.splits[split])

    def counts(self) -> dict[str, int]:
        """Return how many samples each split has."""
        return {split: len(self.splits[split]) for split in SPLITS}


def find_examples(dataset: Dataset) -> Examples:
    """Find the labelled samples that have a split. Raises `InputUnusable` where there are none."""
    chosen = list(dataset.samples.in_splits())
    if not chosen:
        counts = dataset.samples.counts("status", "kept", "label")
        classes_there = [key for key in counts if key[:2] == ("labelled", "kept")]
        raise InputUnusable(
            "there is nothing to train on: no labelled sample has a split yet",
            f"split them: labeler split --ratio 8:1:1 {dataset.option}"
            if len(classes_there) > 1
            else f"see what comes next: gleanset status {dataset.option}",
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
    return Examples(classes, by_split, moments, weights, natural, _unseen(dataset))


def find_foldable(dataset: Dataset) -> Examples:
    """Find what folds are dealt of, as train: train and val, and never what is in test.

    Where the split is one into folds, or nothing has a split, that is every labelled sample.
    Balances by copies and weights are left out. Raises `InputUnusable` where there are none.
    """
    labelled = [one for one in dataset.samples.by_key() if one.status == "labelled" and one.kept]
    split = [one for one in labelled if one.split]
    chosen = split or labelled
    unseen = _unseen(dataset)
    if split and not any(one.fold for one in split):
        chosen = [one for one in split if one.split != "test"]
    if not chosen:
        raise InputUnusable(
            "there is nothing to train on: no sample has a label"
            + (" and lies outside of test" if split else ""),
            f"see what comes next: gleanset status {dataset.option}",
        )
    classes = tuple(sorted({str(sample.label) for sample in chosen}))
    moments = moments_of(dataset.db, [sample.key for sample in chosen])
    natural = Counter(str(sample.label) for sample in chosen)
    parts: dict[str, tuple[Sample, ...]] = {"train": tuple(chosen), "val": (), "test": ()}
    return Examples(classes, parts, moments, (), natural, unseen)


def _unseen(dataset: Dataset) -> frozenset[str]:
    return frozenset(unseen_labels(dataset.db))


def _class_weights(
    train: Sequence[Sample], classes: Sequence[str], shares: Mapping[str, SampleWeight]
) -> tuple[float, ...]:
    """Return the mean weight of each class; nothing where all weigh alike."""
    weighed = {label: [1.0] for label in classes}
    for sample in train:
        weighed[str(sample.label)].append(shares.get(sample.key, AS_IT_IS).weight)
    means = tuple(sum(values[1:]) / max(len(values) - 1, 1) for values in weighed.values())
    return () if set(means) <= {1.0} else means


def load_arrays(
    dataset: Dataset,
    examples: Examples,
    settings: Settings,
    split: str,
    progress: Progress | None = None,
) -> Arrays:
    """Read the pixels of a split, in the order of its samples.

    They are decoded once and mapped into memory from the dataset's cache. Samples whose pictures
    cannot be read are left out. Raises `InputUnusable` when that is all of the split.
    """
    samples = examples.splits[split]
    sources = list(pixel_sources(dataset, samples))
    read = ReadPixels(settings.size, "L" if settings.channels == 1 else "RGB", settings.fit)
    decoded = decode_all(dataset.cache / "pixels", sources, read, progress)
    keys = tuple(sources[row].key for row in decoded.rows)
    if samples and not keys:
        raise no_readable_picture(len(samples), split)
    return Arrays(decoded.x, examples.classes_of(split, keys), keys)


def no_readable_picture(count: int, split: str = "") -> InputUnusable:
    """Return the error for `count` pictures (of a split) none of which can be read."""
    place = f" of {split}" if split else ""
    return InputUnusable(
        f"none of the {count} pictures{place} can be read",
        "put the images folder of the dataset back",
    )


def pixel_sources(dataset: Dataset, samples: Sequence[Sample]) -> Iterator[PixelSource]:
    """Yield where the pixels of these samples are; nothing for one whose image is unknown."""
    for sample in samples:
        image = dataset.images.get(sample.image)
        if image is not None:
            original = dataset.image_path(image.sha256, image.format)
            crop = dataset.crop_path(sample.key)
            yield PixelSource(sample.key, crop, original, sample.box, sample.angle)


@dataclass(frozen=True, slots=True)
class Arrays:
    """The pictures of one split.

    `x` is uint8, N x C x H x W, C 1 (grayscale) or 3 (RGB), and may be a file mapped into memory;
    `y` is int64, N, the index of the class; `keys` are the N sample keys.
    """

    x: Pixels
    y: npt.NDArray[np.int64]
    keys: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.x.ndim != 4 or self.x.dtype != np.uint8:
            raise ValueError(f"x must be uint8 N x C x H x W, not {self.x.dtype} {self.x.shape}")
        if not len(self.x) == len(self.y) == len(self.keys):
            raise ValueError("x, y and keys must be of one length")

    def __len__(self) -> int:
        return len(self.keys)

    def pick(self, index: npt.NDArray[np.int64]) -> Pixels:
        """Return a copy of the pictures at `index`, N x C x H x W, channels last in memory."""
        return picked(self.x, index)


def picked(x: Pixels, index: npt.NDArray[np.int64]) -> Pixels:
    """Return a copy of the pictures of `x` at `index`, channels last in memory for networks."""
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)[index])
    return last.transpose(0, 3, 1, 2)


Floats = npt.NDArray[np.float64]
_SAME = 1e-9


def prior_shift(examples: Examples, settings: Settings) -> Floats:
    """Return log(share in train / share as it was learnt) of each class, less its mean.

    Empty where they are the same, and for triplets: likenesses to known pictures hold no prior.
    """
    if isinstance(settings, Triplet):
        return np.zeros(0)
    counts = Counter(str(sample.label) for sample in examples.splits["train"])
    learnt = np.array([counts[name] for name in examples.classes], dtype=np.float64)
    if settings.balance != "none":
        learnt = np.ones_like(learnt)
    elif examples.weights:
        learnt = learnt * np.array(examples.weights)
    there = np.array([examples.natural.get(name, counts[name]) for name in examples.classes])
    shift = np.log(there / there.sum()) - np.log(learnt / learnt.sum())
    shift -= shift.mean()
    return shift if np.abs(shift).max() > _SAME else np.zeros(0)
