"""How far figures would wander with other pictures of the same kind: the cluster bootstrap.

Whole moments are drawn, not pictures: frames of one scene, copies and pictures of one post are
right or wrong together, so drawing them one by one would make intervals too narrow. Pictures of
one show or one photographer still resemble each other beyond a moment; of other shows the
interval says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from baseline.evaluation.probabilities import Floats, Indices, Scores, log_softmax
from gleanset.shares import Interval, wilson

DRAWS = 1000
"""The ends of a 95 % interval are then the means of some 25 draws beyond them."""
FEWEST = 200
_NUMBERS = 20_000_000
"""Above that many in all, fewer draws are made: of many moments the ends are steady anyway."""
_AT_ONCE = 50

Sums: TypeAlias = npt.NDArray[np.float64]
Drawn: TypeAlias = Sequence[npt.NDArray[np.float32]]


def group_numbers(names: Sequence[str]) -> Indices:
    """Names of groups as numbers from 0 on."""
    return np.unique(np.asarray(names, dtype=np.str_), return_inverse=True)[1].astype(np.int64)


def draws(groups: int, seed: int = 0) -> list[npt.NDArray[np.float32]]:
    """How often each group is drawn, in parts of some draws x groups; each row sums to `groups`."""
    random = np.random.default_rng(seed)
    share = np.full(groups, 1 / groups)
    number = min(DRAWS, max(FEWEST, _NUMBERS // groups))
    parts = [min(_AT_ONCE, number - start) for start in range(0, number, _AT_ONCE)]
    return [random.multinomial(groups, share, size=part).astype(np.float32) for part in parts]


def mean_draws(values: Floats, groups: Indices, drawn: Drawn) -> Floats:
    """The mean of `values` (N) in every draw of their groups (N)."""
    count = int(groups.max()) + 1
    sums = np.bincount(groups, values, minlength=count)
    sizes = np.bincount(groups, minlength=count).astype(np.float64)
    return np.concatenate([(part @ sums) / (part @ sizes) for part in drawn])


def between(values: Floats) -> Interval:
    """The middle 95 % of some draws."""
    low, high = np.quantile(values, (0.025, 0.975))
    return Interval(float(low), float(high))


def intervals(
    logits: Scores, y: Indices, groups: Sequence[str], temperature: float = 1.0
) -> dict[str, Interval]:
    """95 % intervals of accuracy, log loss and macro F1; empty for a single moment."""
    numbers = group_numbers(groups)
    count = int(numbers.max()) + 1 if len(numbers) else 0
    if count < 2:
        return {}
    log_probabilities = log_softmax(logits, temperature)
    predicted = log_probabilities.argmax(1)
    losses = -log_probabilities[np.arange(len(y)), y]
    drawn = draws(count)
    return {
        "accuracy": share_interval(predicted == y, numbers, drawn),
        "log_loss": between(mean_draws(losses, numbers, drawn)),
        "macro_f1": between(_macro_f1_draws(y, predicted, numbers, logits.shape[1], drawn)),
    }


def share_interval(right: npt.NDArray[np.bool_], groups: Indices, drawn: Drawn) -> Interval:
    """The interval of a share. Where all or none are right, drawing them again tells nothing.

    Then it is Wilson's, with every moment as one case.
    """
    if right.all() or not right.any():
        count = int(groups.max()) + 1
        return wilson(count if right.all() else 0, count)
    return between(mean_draws(right.astype(np.float64), groups, drawn))


def _macro_f1_draws(
    y: Indices, predicted: Indices, groups: Indices, classes: int, drawn: Drawn
) -> Floats:
    count = int(groups.max()) + 1
    right = _by_group(y[predicted == y], groups[predicted == y], count, classes)
    support = _by_group(y, groups, count, classes)
    answered = _by_group(predicted, groups, count, classes)
    return np.concatenate(
        [_macro_f1(part @ right, part @ support, part @ answered) for part in drawn]
    )


def _by_group(kind: Indices, groups: Indices, count: int, classes: int) -> Sums:
    """Counts of each class in each group, groups x classes."""
    table = np.bincount(groups * classes + kind, minlength=count * classes)
    return table.reshape(count, classes).astype(np.float64)


def _macro_f1(right: Sums, support: Sums, answered: Sums) -> Floats:
    f1 = 2 * right / np.maximum(support + answered, 1)
    there = support > 0
    result: Floats = (f1 * there).sum(1) / np.maximum(there.sum(1), 1)
    return result
