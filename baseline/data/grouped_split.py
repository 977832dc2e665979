"""Parts of the samples that keep moments whole: a val cut from train, and folds."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from baseline.data.samples import Examples
from baseline.judge.outputs import Indices
from gleanset.errors import InputUnusable
from gleanset.records import Sample

SHARE = 0.125
"""Of each class in train, about."""
FEWEST = 8
"""Pictures from which a class can spare one for val: of three, one is a third of what there is to
learn from (docs/experiments.md)."""
_MEND = "give it a share of its own: labeler split --ratio 8:1:1"


def with_val(examples: Examples, seed: int) -> tuple[Examples, str | None]:
    """Return the examples, where val is empty with one cut from train; and what to say of it.

    No moment is on both sides, and every class keeps most of its pictures in train. A class of a
    single moment, or of fewer than `FEWEST` pictures, stays in train as a whole. Labels that nobody
    has looked at are not counted, and never are val.
    """
    train = examples.splits["train"]
    if examples.splits["val"] or not train:
        return examples, None
    moments = examples.moments
    seen = [sample for sample in train if sample.key not in examples.unseen]
    taken = _taken(seen, moments, seed)
    if not taken:
        return examples, f"val is empty and nothing can be cut from train for it; {_MEND}"
    parts = {
        name: tuple(s for s in train if (moments[s.key] in taken) is (name == "val"))
        for name in ("train", "val")
    }
    # Copies that balancing made would count twice.
    judges = {one.key: one for one in parts["val"] if one.key not in examples.unseen}
    parts["val"] = tuple(judges.values())
    told = (
        f"val is empty: {len(parts['val'])} of the {len({s.key for s in train})} pictures of train "
        f"(whole moments) watch the training instead of teaching it; {_MEND}"
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
    most = {label: round(SHARE * n) if n >= FEWEST else 0 for label, n in there.items()}
    taken, have = set(), Counter[str]()
    for name in np.random.default_rng(seed).permutation(sorted(sizes)).tolist():
        if all(have[label] + n <= most[label] for label, n in sizes[name].items()):
            taken.add(name)
            have.update(sizes[name])
    return taken


Moments = dict[str, list[Sample]]


def held_out_folds(
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
    judging = judging_moments(examples, dealt)
    judged = [name for name in names if name in judging]
    if len(judged) < folds or len(examples.classes) < 2:
        raise InputUnusable(
            f"{folds} folds need {folds} moments of classes that have several, and two classes; "
            f"there are {len(judged)} and {len(examples.classes)}",
            "label more pictures, or take fewer folds: --folds 2",
        )
    parts = (
        _as_dealt(judging, judged, folds, dealt) if dealt else deal_folds(judging, judged, folds)
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


def judging_moments(examples: Examples, dealt: Mapping[str, int] | None = None) -> Moments:
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


def stratified_group_folds(
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


def deal_folds(
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
