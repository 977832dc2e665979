"""Labelled samples of a dataset, by split or in folds that keep groups together."""

import hashlib
import warnings
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from baseline.data.pixels import PixelReader, PixelSource, decode_all
from baseline.evaluation.outputs import NO_SHIFT
from baseline.settings import Settings, Triplet
from curation.split_groups import assign_split_groups
from gleanset import Dataset
from gleanset.arrays import Float32Array, Float64Array, IntArray, Pixels
from gleanset.dataset import PIXELS
from gleanset.db.journal import get_unseen_labels
from gleanset.errors import InputUnusable
from gleanset.records import SPLITS, Sample
from gleanset.work.progress import NO_PROGRESS, Progress


class Examples(NamedTuple):
    """Classes in order, and the samples of each split.

    Attributes
    ----------
    groups : group of each sample, by key
    class_counts : samples of train by class
    unseen : keys of samples with unreviewed labels: they train and never evaluate
    """

    classes: tuple[str, ...]
    splits: dict[str, tuple[Sample, ...]]
    groups: Mapping[str, str]
    class_counts: Mapping[str, int] = MappingProxyType({})
    unseen: frozenset[str] = frozenset()

    def fingerprint(self) -> str:
        """Return a hash of the samples, their labels, boxes, angles and splits."""
        digest = hashlib.sha256(repr(self.classes).encode())
        for split in SPLITS:
            for sample in self.splits[split]:
                # Defaults are left out: no angle, and a reviewed label.
                numbers = [*sample.box, sample.angle] if sample.angle else sample.box
                region = ",".join(map(str, numbers))
                suffix = " unseen" if sample.key in self.unseen else ""
                line = f"{split} {sample.key} {region} {sample.label}{suffix}\n"
                digest.update(line.encode())
        return digest.hexdigest()[:16]

    def classes_of(self, split: str, keys: Sequence[str]) -> IntArray:
        """Return the class numbers of samples of a split, by key."""
        number_of = {name: number for number, name in enumerate(self.classes)}
        labels = {sample.key: str(sample.label) for sample in self.splits[split]}
        return np.array([number_of[labels[key]] for key in keys], dtype=np.int64)

    def all_samples(self) -> list[Sample]:
        """Return the samples of all splits, by key."""
        return sorted(
            chain.from_iterable(self.splits.values()), key=lambda sample: sample.key
        )

    def count_leaked_samples(self, split: str) -> int:
        """Count the samples of `split` in groups that are also in train."""
        in_train = {self.groups[sample.key] for sample in self.splits["train"]}
        return sum(self.groups[sample.key] in in_train for sample in self.splits[split])


def find_examples(dataset: Dataset) -> Examples:
    """Return the labelled samples with a split. Raises `InputUnusable` if there are none."""
    samples = list(dataset.samples.iter_in_splits())
    if not samples:
        counts = dataset.samples.count_by("status", "kept", "label")
        labels = {
            label
            for status, duplicate_status, label in counts
            if (status, duplicate_status) == ("labelled", "kept")
        }
        # A single class cannot be trained on, whatever the split.
        advice = dataset.status_advice
        if len(labels) > 1:
            advice = f"split them: labeler split --ratio 8:1:1 {dataset.option}"
        raise InputUnusable(
            "nothing to train on: no labelled sample has a split", advice
        )

    splits = {
        split: tuple(sample for sample in samples if sample.split == split)
        for split in SPLITS
    }
    return _make_examples(dataset, samples, splits)


def find_fold_examples(dataset: Dataset) -> Examples:
    """Return the samples for cross-validation as train: those of train and val.

    Without a split these are all labelled samples. Raises `InputUnusable` if there are none.
    """
    all_samples = [
        sample
        for sample in dataset.samples.iter_by_key()
        if sample.status == "labelled" and sample.kept
    ]
    with_split = [sample for sample in all_samples if sample.split]
    samples = [sample for sample in with_split or all_samples if sample.split != "test"]
    if not samples:
        suffix = " outside test" if with_split else ""
        raise InputUnusable(
            f"nothing to train on: no labelled sample{suffix}", dataset.status_advice
        )

    return _make_examples(
        dataset, samples, {"train": tuple(samples), "val": (), "test": ()}
    )


def _make_examples(
    dataset: Dataset, samples: Sequence[Sample], splits: dict[str, tuple[Sample, ...]]
) -> Examples:
    classes = tuple(sorted({str(sample.label) for sample in samples}))
    groups = assign_split_groups(
        dataset.db,
        [sample.key for sample in samples],
    )
    class_counts = Counter(str(sample.label) for sample in splits["train"])
    unseen = frozenset(get_unseen_labels(dataset.db))
    return Examples(
        classes,
        splits,
        groups,
        class_counts,
        unseen,
    )


@dataclass(frozen=True)
class Arrays:
    """The images of one split.

    `x` is uint8, N x C x H x W, with C 1 (grayscale) or 3 (RGB), and may be memory-mapped; `y` are
    class numbers (int64, N), `keys` the sample keys (N).
    """

    x: Pixels
    y: IntArray
    keys: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def pick(self, index: IntArray) -> Pixels:
        """Return a copy of the images at `index`, N x C x H x W, channels last in memory."""
        channels_last = np.ascontiguousarray(self.x.transpose(0, 2, 3, 1)[index])
        return channels_last.transpose(0, 3, 1, 2)


def load_arrays(
    dataset: Dataset,
    examples: Examples,
    settings: Settings,
    split: str,
    progress: Progress = NO_PROGRESS,
) -> Arrays:
    """Read the pixels of a split, in the order of its samples.

    They are decoded once and memory-mapped from the cache of the dataset. Unreadable samples are
    left out. Raises `InputUnusable` if none is readable.
    """
    samples = examples.splits[split]
    sources = list(pixel_sources(dataset, samples))
    read = PixelReader(settings.size, settings.channels, settings.fit)
    pixels = decode_all(
        dataset.cache / PIXELS,
        sources,
        read,
        progress,
    )

    keys = tuple(sources[row].key for row in pixels.rows)
    if samples and not keys:
        raise unreadable_images_error(len(samples), split)
    return Arrays(pixels.x, examples.classes_of(split, keys), keys)


def unreadable_images_error(count: int, split: str) -> InputUnusable:
    """Return the error for `count` images of a split (or "") that are all unreadable."""
    suffix = f" of {split}" if split else ""
    return InputUnusable(
        f"all {count} images{suffix} are unreadable",
        "restore the images folder of the dataset",
    )


def pixel_sources(dataset: Dataset, samples: Sequence[Sample]) -> Iterator[PixelSource]:
    """Yield the pixel source of each sample whose image is in the catalogue."""
    for sample in samples:
        image = dataset.images.get(sample.image)
        if image is not None:
            yield PixelSource(
                key=sample.key,
                crop=dataset.crop_path(sample.key),
                original=dataset.image_path(image.sha256, image.format),
                box=sample.box,
                angle=sample.angle,
            )


_EPSILON = 1e-9


def compute_prior_shift(examples: Examples, settings: Settings) -> Float64Array:
    """Return log(share of a class / share in balanced training), centered (C).

    Empty without balancing, and for triplets: similarities to known images have no class prior.
    """
    if isinstance(settings, Triplet) or settings.balance == "none":
        return NO_SHIFT
    counts = [max(examples.class_counts.get(name, 0), 1) for name in examples.classes]
    shift = np.log(np.array(counts, dtype=np.float64))
    shift -= shift.mean()
    # Without a shift if all classes have the same size.
    return shift if np.abs(shift).max() > _EPSILON else NO_SHIFT


VAL_SHARE = 0.125
"""Approximate share of each class that is split off for val."""
MIN_CLASS_SIZE = 8
"""Smallest class that is split: of three images, one is a third of the training data
(docs/experiments.md)."""


def ensure_val(examples: Examples, seed: int) -> tuple[Examples, str | None]:
    """Return the examples with a val, split off train if it is empty, and a notice about it.

    Groups stay together and every class keeps most of its images in train. A class with a single
    group or fewer than `MIN_CLASS_SIZE` images stays in train. Unreviewed labels never are val.
    """
    train = examples.splits["train"]
    if examples.splits["val"] or not train:
        return examples, None
    groups = examples.groups
    reviewed_samples = [sample for sample in train if sample.key not in examples.unseen]
    val_groups = _choose_val_groups(reviewed_samples, groups, seed)
    if not val_groups:
        return examples, "val is empty and train is too small to split off one"

    # Unreviewed labels of the groups of val are in neither.
    new_train = tuple(
        sample for sample in train if groups[sample.key] not in val_groups
    )
    val = tuple(
        sample for sample in reviewed_samples if groups[sample.key] in val_groups
    )
    notice = (
        f"val is empty: {len(val)} of the {len(train)} images of train "
        "(whole groups) are used as val"
    )
    splits = examples.splits | {"train": new_train, "val": val}
    return examples._replace(splits=splits), notice


def _choose_val_groups(
    train: Sequence[Sample], groups: Mapping[str, str], seed: int
) -> set[str]:
    """Draw groups for val in random order, up to the limit of each class."""
    label_counts = defaultdict[str, Counter[str]](Counter)
    totals = Counter[str]()
    for sample in train:
        label_counts[groups[sample.key]][str(sample.label)] += 1
        totals[str(sample.label)] += 1

    limits = {
        label: round(VAL_SHARE * total) if total >= MIN_CLASS_SIZE else 0
        for label, total in totals.items()
    }

    # A group is drawn if none of its classes then exceeds its limit.
    val_groups = set()
    counts = Counter[str]()
    names = np.random.default_rng(seed).permutation(sorted(label_counts))
    for name in names.tolist():
        sums = counts + label_counts[name]
        if all(sums[label] <= limits[label] for label in label_counts[name]):
            val_groups.add(name)
            counts = sums

    return val_groups


Groups = dict[str, list[Sample]]


def make_folds(examples: Examples, folds: int, seed: int) -> Iterator[Examples]:
    """Yield the examples of each fold: the fold as test, the rest as train, nothing as val.

    The only group of a class, and groups without a reviewed label, are in every train. Raises
    `InputUnusable` if there are fewer groups than folds, or one class.
    """
    groups: Groups = defaultdict(list)
    for sample in examples.all_samples():
        groups[examples.groups[sample.key]].append(sample)

    holdout = _find_holdout(groups, examples.unseen)
    names = np.random.default_rng(seed).permutation(sorted(groups)).tolist()
    holdout_names = [name for name in names if name in holdout]
    check_folds(folds, len(holdout_names), len(examples.classes))

    for fold in assign_folds(holdout, holdout_names, folds):
        other_names = set(names).difference(fold)
        train_labels = _list_labels(_collect_samples(groups, other_names))
        # Groups whose classes would be missing from train stay in train.
        test = {name for name in fold if _list_labels(groups[name]) <= train_labels}
        train = [name for name in names if name not in test]
        splits = {
            "train": _collect_samples(groups, train),
            "val": (),
            "test": _collect_samples(holdout, test),
        }
        yield examples._replace(splits=splits)


def _find_holdout(groups: Groups, unseen: Collection[str]) -> Groups:
    """Return the groups that can be held out, with their samples that are not in `unseen`."""
    group_counts = Counter[str]()
    for samples in groups.values():
        group_counts.update(_list_labels(samples))

    holdout: Groups = {}
    for name, samples in groups.items():
        reviewed_samples = [sample for sample in samples if sample.key not in unseen]
        labels = _list_labels(samples)
        has_other_groups = all(group_counts[label] > 1 for label in labels)
        if reviewed_samples and has_other_groups:
            holdout[name] = reviewed_samples
    return holdout


def can_be_folded(dataset: Dataset, folds: int) -> bool:
    """Return whether there are enough groups for a number of folds."""
    try:
        # Only for its errors, which come before the first fold. The fold itself is not needed.
        next(make_folds(find_fold_examples(dataset), folds, seed=0))
    except InputUnusable:
        return False
    return True


def check_folds(folds: int, groups: int, classes: int) -> None:
    """Raise `InputUnusable` if there are too few groups to hold out, or one class."""
    if classes < 2:
        problem = f"cross-validation needs two classes: there is {classes}"
        raise InputUnusable(problem, "label images of another class: labeler")

    if groups < folds:
        fewer = f"use fewer folds: --folds {groups}; or " if groups > 1 else ""
        raise InputUnusable(
            f"too few groups for {folds} folds: {groups} can be held out (the images of one scene "
            "or post are one group, and the only group of a class is always trained on)",
            f"{fewer}label images of other scenes or posts: labeler open",
        )


def split_stratified_groups(
    y: IntArray, groups: IntArray, max_folds: int, seed: int
) -> list[tuple[IntArray, IntArray]]:
    """Return (train rows, test rows) of stratified folds that keep groups together.

    `y` and `groups` (N each) are class and group numbers. There are at most as many folds as
    groups, or as members of the largest class; none if that is less than two.
    """
    folds = min(max_folds, len(np.unique(groups)), int(np.bincount(y).max()))
    if folds < 2:
        return []
    from sklearn.model_selection import StratifiedGroupKFold

    with warnings.catch_warnings():
        # Classes with fewer members than folds are missing from some folds.
        warnings.simplefilter("ignore", UserWarning)
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        return list(splitter.split(y, y, groups))


def assign_folds(
    groups: Mapping[str, Sequence[Sample]], names: Sequence[str], folds: int
) -> list[list[str]]:
    """Return the group names of each fold, with about as many samples of each class."""
    names_by_fold: list[list[str]] = [[] for _ in range(folds)]
    counts: list[Counter[str]] = [Counter() for _ in range(folds)]
    # The largest first, so that small ones even out the folds.
    for name in sorted(names, key=lambda name: -len(groups[name])):
        labels = Counter(str(sample.label) for sample in groups[name])
        main_label = min(labels, key=lambda label: (-labels[label], label))
        # The fold with the fewest samples of the group's main class, then of all.
        loads = [(count[main_label], count.total()) for count in counts]
        fold = loads.index(min(loads))
        names_by_fold[fold].append(name)
        counts[fold] += labels

    return names_by_fold


def _list_labels(samples: Sequence[Sample]) -> set[str]:
    return {str(sample.label) for sample in samples}


def _collect_samples(groups: Groups, names: Iterable[str]) -> tuple[Sample, ...]:
    samples = chain.from_iterable(groups[name] for name in names)
    return tuple(sorted(samples, key=lambda sample: sample.key))


def compute_class_weights(y: IntArray, classes: int, balance: str) -> Float32Array:
    """Return the class weights of the loss (C).

    With balance 'none' they are 1; otherwise all classes count equally.
    """
    if balance == "none":
        return np.ones(classes, np.float32)
    counts = np.maximum(np.bincount(y, minlength=classes), 1)
    return (len(y) / (classes * counts)).astype(np.float32)


def check_classes(y: IntArray, classes: Sequence[str]) -> None:
    """Raise `InputUnusable` for fewer than two classes, or a class without samples."""
    if len(classes) < 2:
        raise InputUnusable(
            f"at least 2 classes are needed, but there is {len(classes)}",
            "label images of another class, then split again: labeler split",
        )
    if not len(y):
        raise InputUnusable(
            "no images to train on: train is empty",
            "label images, then split them: labeler split",
        )

    counts = np.bincount(y, minlength=len(classes))
    empty = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if empty:
        raise InputUnusable(
            f"no training images of: {', '.join(empty)}",
            "label more of them, then split again: labeler split",
        )
