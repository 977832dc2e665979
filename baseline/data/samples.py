"""The labelled samples of a dataset: by split, in folds that keep groups whole, as pixels."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from baseline.data.pixels import PixelReader, Pixels, PixelSource, decode_all
from baseline.evaluation.outputs import Indices
from baseline.settings import Settings, Triplet
from curation.moments import assign_moments
from gleanset import Dataset
from gleanset.db.journal import get_unseen_labels
from gleanset.db.samples import DEFAULT_WEIGHT, Balances, SampleWeight
from gleanset.errors import InputUnusable
from gleanset.records import SPLITS, Sample
from gleanset.work.progress import Progress


@dataclass(frozen=True, slots=True)
class Examples:
    """What a run learns from: the classes in order, the samples of each split, their moments.

    `moments` names what must not be learnt from and judged by at once, by sample key.

    Train is as `labeler balance` has it: samples left out or repeated, and the `weights` of the
    classes in the loss where it gave some. `class_counts` counts train by class before.
    `unseen` are the samples (keys) whose labels nobody has looked at: they teach and never judge.
    """

    classes: tuple[str, ...]
    splits: dict[str, tuple[Sample, ...]]
    moments: Mapping[str, str]
    weights: tuple[float, ...] = ()
    class_counts: Mapping[str, int] = field(default_factory=dict)
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

    def count_leaked_samples(self, split: str) -> int:
        """Return how many samples of `split` are of a moment that train has, too."""
        learnt = {self.moments[sample.key] for sample in self.splits["train"]}
        return sum(self.moments[sample.key] in learnt for sample in self.splits[split])

    def counts(self) -> dict[str, int]:
        """Return how many samples each split has."""
        return {split: len(self.splits[split]) for split in SPLITS}


def find_examples(dataset: Dataset) -> Examples:
    """Find the labelled samples that have a split. Raises `InputUnusable` where there are none."""
    chosen = list(dataset.samples.iter_in_splits())
    if not chosen:
        counts = dataset.samples.count_by("status", "kept", "label")
        classes_there = [key for key in counts if key[:2] == ("labelled", "kept")]
        raise InputUnusable(
            "there is nothing to train on: no labelled sample has a split yet",
            f"split them: labeler split --ratio 8:1:1 {dataset.option}"
            if len(classes_there) > 1
            else f"see what comes next: gleanset status {dataset.option}",
        )
    classes = tuple(sorted({str(sample.label) for sample in chosen}))
    by_split = {split: tuple(s for s in chosen if s.split == split) for split in SPLITS}
    class_counts = Counter(str(sample.label) for sample in by_split["train"])
    shares = Balances(dataset.db).get_weights()
    by_split["train"] = tuple(
        sample
        for sample in by_split["train"]
        for _ in range(shares.get(sample.key, DEFAULT_WEIGHT).copies)
    )
    moments = assign_moments(dataset.db, [sample.key for sample in chosen])
    weights = _class_weights(by_split["train"], classes, shares)
    return Examples(classes, by_split, moments, weights, class_counts, _unseen(dataset))


def find_fold_examples(dataset: Dataset) -> Examples:
    """Find what folds are dealt of, as train: train and val, and never what is in test.

    Where the split is one into folds, or nothing has a split, that is every labelled sample.
    Balances by copies and weights are left out. Raises `InputUnusable` where there are none.
    """
    labelled = [
        one for one in dataset.samples.iter_by_key() if one.status == "labelled" and one.kept
    ]
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
    moments = assign_moments(dataset.db, [sample.key for sample in chosen])
    class_counts = Counter(str(sample.label) for sample in chosen)
    parts: dict[str, tuple[Sample, ...]] = {"train": tuple(chosen), "val": (), "test": ()}
    return Examples(classes, parts, moments, (), class_counts, unseen)


def _unseen(dataset: Dataset) -> frozenset[str]:
    return frozenset(get_unseen_labels(dataset.db))


def _class_weights(
    train: Sequence[Sample], classes: Sequence[str], shares: Mapping[str, SampleWeight]
) -> tuple[float, ...]:
    """Return the mean weight of each class; nothing where all weigh alike."""
    weighed = {label: [1.0] for label in classes}
    for sample in train:
        weighed[str(sample.label)].append(shares.get(sample.key, DEFAULT_WEIGHT).weight)
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
    read = PixelReader(settings.size, "L" if settings.channels == 1 else "RGB", settings.fit)
    decoded = decode_all(dataset.cache / "pixels", sources, read, progress)
    keys = tuple(sources[row].key for row in decoded.rows)
    if samples and not keys:
        raise unreadable_images_error(len(samples), split)
    return Arrays(decoded.x, examples.classes_of(split, keys), keys)


def unreadable_images_error(count: int, split: str = "") -> InputUnusable:
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
        last = np.ascontiguousarray(self.x.transpose(0, 2, 3, 1)[index])
        return last.transpose(0, 3, 1, 2)


Floats = npt.NDArray[np.float64]
_SAME = 1e-9


def compute_prior_shift(examples: Examples, settings: Settings) -> Floats:
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
    there = np.array([examples.class_counts.get(name, counts[name]) for name in examples.classes])
    shift = np.log(there / there.sum()) - np.log(learnt / learnt.sum())
    shift -= shift.mean()
    return shift if np.abs(shift).max() > _SAME else np.zeros(0)


SHARE = 0.125
"""Of each class in train, about."""
MIN_CLASS_SIZE = 8
"""Pictures from which a class can spare one for val: of three, one is a third of what there is to
learn from (docs/experiments.md)."""
_FIX = "give it a share of its own: labeler split --ratio 8:1:1"


def ensure_val(examples: Examples, seed: int) -> tuple[Examples, str | None]:
    """Return the examples, where val is empty with one cut from train; and what to say of it.

    No moment is on both sides, and every class keeps most of its pictures in train. A class of
    a single group, or of fewer than `MIN_CLASS_SIZE` images, stays in train as a whole. Unseen labels
    are not counted, and never are val.
    """
    train = examples.splits["train"]
    if examples.splits["val"] or not train:
        return examples, None
    moments = examples.moments
    seen = [sample for sample in train if sample.key not in examples.unseen]
    taken = _taken(seen, moments, seed)
    if not taken:
        return examples, f"val is empty and nothing can be cut from train for it; {_FIX}"
    parts = {
        name: tuple(s for s in train if (moments[s.key] in taken) is (name == "val"))
        for name in ("train", "val")
    }
    # Copies that balancing made would count twice.
    judges = {one.key: one for one in parts["val"] if one.key not in examples.unseen}
    parts["val"] = tuple(judges.values())
    told = (
        f"val is empty: {len(parts['val'])} of the {len({s.key for s in train})} pictures of train "
        f"(whole moments) watch the training instead of teaching it; {_FIX}"
    )
    return replace(examples, splits=examples.splits | parts), told


def _taken(train: Sequence[Sample], moments: Mapping[str, str], seed: int) -> set[str]:
    """Moments for val: drawn one by one, while none of their classes gets too many."""
    members: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for sample in train:
        members[moments[sample.key]].add((sample.key, str(sample.label)))
    sizes = {name: Counter(label for _, label in found) for name, found in members.items()}
    there: Counter[str] = Counter()
    for size in sizes.values():
        there.update(size)
    most = {label: round(SHARE * n) if n >= MIN_CLASS_SIZE else 0 for label, n in there.items()}
    taken, have = set(), Counter[str]()
    for name in np.random.default_rng(seed).permutation(sorted(sizes)).tolist():
        if all(have[label] + n <= most[label] for label, n in sizes[name].items()):
            taken.add(name)
            have.update(sizes[name])
    return taken


Moments = dict[str, list[Sample]]


def make_folds(
    examples: Examples, folds: int, seed: int, dealt: Mapping[str, int] | None = None
) -> Iterator[Examples]:
    """Yield the examples of each fold: the fold as test, the rest as train, nothing as val.

    A class with a single moment is in every train, and so is a moment without a label that somebody
    has looked at: none other is judged. Which fold each sample is in (by key, from 1 on) may have
    been `dealt` before. Raises `InputUnusable` where fewer moments than folds are
    left, or there is one class.
    """
    samples = {sample.key: sample for part in examples.splits.values() for sample in part}
    moments: Moments = defaultdict(list)
    for key in sorted(samples):
        moments[examples.moments[key]].append(samples[key])
    names = [str(name) for name in np.random.default_rng(seed).permutation(sorted(moments))]
    judging = find_holdout_moments(examples, dealt)
    judged = [name for name in names if name in judging]
    if len(judged) < folds or len(examples.classes) < 2:
        raise InputUnusable(
            f"{folds} folds need {folds} moments of classes that have several, and two classes; "
            f"there are {len(judged)} and {len(examples.classes)}",
            "label more pictures, or take fewer folds: --folds 2",
        )
    parts = (
        _as_dealt(judging, judged, folds, dealt) if dealt else assign_folds(judging, judged, folds)
    )
    for fold in parts:
        held = _spared(moments, fold, names)
        rest = [name for name in names if name not in held]
        splits = {
            "train": _samples(moments, rest),
            "val": (),
            "test": _samples(judging, sorted(held)),
        }
        yield replace(examples, splits=splits, weights=())


def find_holdout_moments(examples: Examples, dealt: Mapping[str, int] | None = None) -> Moments:
    """Return the moments that folds can hold out, with the samples that somebody has looked at.

    Their classes have several moments. Where samples were `dealt` before, others are not judged.
    """
    samples = {sample.key: sample for part in examples.splits.values() for sample in part}
    moments: Moments = defaultdict(list)
    seen: Moments = defaultdict(list)
    for key in sorted(samples):
        moments[examples.moments[key]].append(samples[key])
        if key not in examples.unseen and (not dealt or key in dealt):
            seen[examples.moments[key]].append(samples[key])
    lone = _lone(moments)
    return {name: found for name, found in seen.items() if name not in lone}


def split_stratified_groups(
    y: Indices, groups: Indices, most: int, seed: int
) -> list[tuple[Indices, Indices]]:
    """Cut rows into (the rest, a fold), whole groups at a time, classes alike in each.

    `y` and `groups` number the class and the group of each row. There are `most` folds, or as
    many as there are groups, or members of the largest class; none where that is less than two.
    """
    folds = min(most, len(np.unique(groups)), int(np.bincount(y).max()))
    if folds < 2:
        return []
    from sklearn.model_selection import StratifiedGroupKFold

    with warnings.catch_warnings():
        # Of classes with fewer members than folds: some folds then go without them.
        warnings.simplefilter("ignore", UserWarning)
        cut = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        return list(cut.split(y, y, groups))


def assign_folds(
    moments: Mapping[str, Sequence[Sample]], names: Sequence[str], folds: int
) -> list[list[str]]:
    """Deal the moments out so that every fold has about as many samples of each class."""
    parts: list[list[str]] = [[] for _ in range(folds)]
    held: list[Counter[str]] = [Counter() for _ in range(folds)]
    for name in sorted(names, key=lambda name: -len(moments[name])):
        labels = Counter(str(sample.label) for sample in moments[name])
        main = min(labels, key=lambda label: (-labels[label], label))
        to = min(range(folds), key=lambda at: (held[at][main], held[at].total(), at))
        parts[to].append(name)
        held[to] += labels
    return parts


def _as_dealt(
    moments: Moments, names: Sequence[str], folds: int, dealt: Mapping[str, int]
) -> list[list[str]]:
    """Return the folds as they were dealt; a moment is where most of its samples are."""
    parts: list[list[str]] = [[] for _ in range(folds)]
    for name in names:
        places = Counter(dealt[sample.key] for sample in moments[name])
        parts[places.most_common(1)[0][0] - 1].append(name)
    return parts


def _lone(moments: Moments) -> set[str]:
    """Moments that hold all there is of a class."""
    places: dict[str, set[str]] = defaultdict(set)
    for name, samples in moments.items():
        for sample in samples:
            places[str(sample.label)].add(name)
    return {next(iter(names)) for names in places.values() if len(names) == 1}


def _spared(moments: Moments, fold: Sequence[str], names: Sequence[str]) -> set[str]:
    """Return the fold without moments that hold the last of a class which the others lack."""
    held = set(fold)
    there = {label for name in names if name not in held for label in _labels(moments[name])}
    return {name for name in fold if _labels(moments[name]) <= there}


def _labels(samples: Sequence[Sample]) -> set[str]:
    return {str(sample.label) for sample in samples}


def _samples(moments: Moments, names: Sequence[str]) -> tuple[Sample, ...]:
    found = [sample for name in names for sample in moments[name]]
    return tuple(sorted(found, key=lambda sample: sample.key))


def compute_class_weights(
    y: npt.NDArray[np.int64], classes: int, balance: str, weights: Sequence[float] = ()
) -> npt.NDArray[np.float32]:
    """Return the weight of each class in the loss, float32.

    With balance 'weights' every class counts as much as any other; else as `weights` (by the
    labeler's own balancing), or all samples alike.
    """
    if balance == "weights":
        counts = np.bincount(y, minlength=classes)
        return (len(y) / (classes * np.maximum(counts, 1))).astype(np.float32)
    return np.array(weights, np.float32) if weights else np.ones(classes, np.float32)


def check_classes(y: npt.NDArray[np.int64], classes: Sequence[str]) -> None:
    """Raise `InputUnusable` where there is nothing to tell apart, or a class without samples."""
    if len(classes) < 2:
        raise InputUnusable(
            f"A classifier needs at least 2 classes, and there is {len(classes)}.",
            "Label pictures of another class, then split again: labeler split",
        )
    if not len(y):
        raise InputUnusable(
            "There is no picture to train on: the train split is empty.",
            "Label pictures, then split them: labeler split",
        )
    counts = np.bincount(y, minlength=len(classes))
    bare = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if bare:
        raise InputUnusable(
            f"No training picture for: {', '.join(bare)}.",
            "Label more pictures of it, or give train a larger share: labeler split --ratio 8:1:1",
        )
