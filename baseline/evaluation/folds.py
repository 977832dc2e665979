"""Out-of-fold answers: every labelled sample judged by a network that had not learnt it.

Folds are made of whole moments, or a network would know a picture from the next frame.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from baseline.data import Examples
from baseline.evaluation.outputs import Outputs
from baseline.validation import with_val
from gleanset.errors import InputUnusable
from gleanset.records import Sample

Learn = Callable[[Examples], Outputs]
"""Trains on `train` and `val` of some examples; its answers to `test`."""
Moments = dict[str, list[Sample]]


def out_of_fold(examples: Examples, folds: int, seed: int, learn: Learn) -> Outputs:
    """The answers to all samples of all splits, in the order of their keys.

    A class with a single moment stays in every training set and is not judged. Raises
    `InputUnusable` where fewer moments than folds are left, and what `learn` raises.
    """
    parts = [learn(part) for part in fold_examples(examples, folds, seed)]
    logits = np.concatenate([part.logits for part in parts])
    y = np.concatenate([part.y for part in parts])
    keys = tuple(key for part in parts for key in part.keys)
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
    return Outputs(logits, y, keys).at(order)


def fold_examples(examples: Examples, folds: int, seed: int) -> Iterator[Examples]:
    """For each fold its examples: the fold as test, the rest as train and a little val."""
    samples = {sample.key: sample for part in examples.splits.values() for sample in part}
    moments: Moments = defaultdict(list)
    for key in sorted(samples):
        moments[examples.moments[key]].append(samples[key])
    names = [str(name) for name in np.random.default_rng(seed).permutation(sorted(moments))]
    lone = _lone(moments)
    judged = [name for name in names if name not in lone]
    if len(judged) < folds:
        raise InputUnusable(
            f"{folds} folds need {folds} moments of classes that have several; "
            f"there are {len(judged)}",
            "label more pictures, or take fewer folds: --folds 2",
        )
    for fold in deal(moments, judged, folds):
        held = _spared(moments, fold, names)
        rest = [name for name in names if name not in held]
        splits = {
            "train": _samples(moments, rest),
            "val": (),
            "test": _samples(moments, sorted(held)),
        }
        yield with_val(replace(examples, splits=splits, weights=()), seed)[0]


def deal(
    moments: Mapping[str, Sequence[Sample]], names: Sequence[str], folds: int
) -> list[list[str]]:
    """The moments dealt out so that every fold has about as many samples of each class."""
    parts: list[list[str]] = [[] for _ in range(folds)]
    held: list[Counter[str]] = [Counter() for _ in range(folds)]
    for name in sorted(names, key=lambda name: -len(moments[name])):
        labels = Counter(str(sample.label) for sample in moments[name])
        main = min(labels, key=lambda label: (-labels[label], label))
        to = min(range(folds), key=lambda at: (held[at][main], held[at].total(), at))
        parts[to].append(name)
        held[to] += labels
    return parts


def _lone(moments: Moments) -> set[str]:
    """Moments that hold all there is of a class."""
    places: dict[str, set[str]] = defaultdict(set)
    for name, samples in moments.items():
        for sample in samples:
            places[str(sample.label)].add(name)
    return {next(iter(names)) for names in places.values() if len(names) == 1}


def _spared(moments: Moments, fold: Sequence[str], names: Sequence[str]) -> set[str]:
    """The fold without moments that hold the last of a class which the others lack."""
    held = set(fold)
    there = {label for name in names if name not in held for label in _labels(moments[name])}
    return {name for name in fold if _labels(moments[name]) <= there}


def _labels(samples: Sequence[Sample]) -> set[str]:
    return {str(sample.label) for sample in samples}


def _samples(moments: Moments, names: Sequence[str]) -> tuple[Sample, ...]:
    found = [sample for name in names for sample in moments[name]]
    return tuple(sorted(found, key=lambda sample: sample.key))
