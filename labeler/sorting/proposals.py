"""What is proposed for each sample that waits: a presort's word, its hint's, its neighbours'.

Sources are taken as independent and multiplied (naive Bayes); each gives what it does not say to
the other classes, and to somebody of no class, in equal parts. A class that a person refused for a
sample is not proposed again.

How far a sample is from its nearest of each class tells which class is likely. How much that is
worth is measured on the decided samples themselves, each left out in turn: a logistic curve over
the margin between the first and the second class (Platt, "Probabilistic outputs for support
vector machines", 1999), and another over the distance, which tells members of a class from
samples of a class that is not there yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gleanset.db.classes import class_name
from gleanset.errors import UsageError
from labeler.likeness import Vectors

Floats = npt.NDArray[np.float64]
FEWEST = 8
NEARLY_EQUAL = 0.1
"""Distances under this are the same drawing twice: they say nothing about a new one."""

USUAL, FARTHER, STEEP = 0.9, 1.1, 12.0
SHARE = 0.02
"""Of every confidence so much is kept back for what could not be measured."""


class NeighbourVote(NamedTuple):
    """The first and second class (numbers, -1 for none) that the neighbours say.

    `confidence` is the chance of the first among the known classes, `known` that it is one of them.
    """

    label: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    confidence: Floats
    known: Floats


class Curve(NamedTuple):
    """A logistic curve over one value."""

    slope: float
    offset: float

    def at(self, values: Floats) -> Floats:
        """Return probabilities."""
        return np.asarray(1 / (1 + np.exp(-np.clip(self.slope * values + self.offset, -30, 30))))


class Neighbours:
    """Fitted to decided samples; `labels` are numbers of classes, one for each row."""

    def __init__(self, rows: Vectors, labels: npt.NDArray[np.int64]) -> None:
        self._rows, self._labels = rows, labels
        self.classes = np.unique(labels)
        self.usable = len(rows) >= FEWEST
        if self.usable:
            self._fit()

    def _fit(self) -> None:
        apart = _distances(self._rows, self._rows)
        apart[apart < NEARLY_EQUAL] = np.inf
        nearest = self._of_classes(apart)
        own = nearest[np.arange(len(nearest)), np.searchsorted(self.classes, self._labels)]
        others = nearest.copy()
        others[np.arange(len(nearest)), np.searchsorted(self.classes, self._labels)] = np.inf
        other = others.min(axis=1) if len(self.classes) > 1 else np.full(len(own), np.inf)
        best = np.minimum(own, other)
        whole = np.isfinite(own) & np.isfinite(other)
        right = (own < other)[whole].astype(np.float64)
        self._margin = fit_curve(_margin(best[whole], np.maximum(own, other)[whole]), right)
        same, else_ = own[np.isfinite(own)], other[np.isfinite(other)]
        distances = np.concatenate([same, else_])
        truths = np.concatenate([np.ones(len(same)), np.zeros(len(else_))])
        self._known = fit_curve(distances, truths)
        # Nobody has shown a class that is not there yet: whoever is farther than members of a
        # class are from each other may be of one.
        usual = float(np.quantile(same, USUAL)) if len(same) else 0.0
        self._near = Curve(-STEEP / max(usual, 0.05), STEEP * FARTHER)

    def _of_classes(self, apart: Floats) -> Floats:
        """Return the distance of each row to its nearest of each class."""
        parts = [apart[:, self._labels == label].min(axis=1) for label in self.classes]
        return np.stack(parts, axis=1)

    def vote(self, rows: Vectors, bias: float = 0.0) -> NeighbourVote:
        """Return what the neighbours of some samples say; `bias` (log odds) is for being known."""
        if not self.usable or not len(rows):
            none, nothing = np.full(len(rows), -1, np.int64), np.zeros(len(rows))
            return NeighbourVote(none, none, nothing, nothing)
        nearest = self._of_classes(_distances(rows, self._rows))
        order = np.argsort(nearest, axis=1)
        first = np.take_along_axis(nearest, order[:, :1], axis=1)[:, 0]
        known = self._known._replace(offset=self._known.offset + bias).at(first)
        known = known * self._near.at(first)
        labels = self.classes[order[:, 0]]
        if len(self.classes) == 1:
            return NeighbourVote(
                labels, np.full(len(rows), -1), np.full(len(rows), 1 - SHARE), known
            )
        second = np.take_along_axis(nearest, order[:, 1:2], axis=1)[:, 0]
        sure = self._margin.at(_margin(first, second)) * (1 - SHARE)
        return NeighbourVote(labels, self.classes[order[:, 1]], sure, known)


def _margin(best: Floats, second: Floats) -> Floats:
    """Return how much nearer the first is than the second, as a part of the second's distance."""
    return np.asarray(1 - best / np.maximum(second, 1e-6))


def _distances(one: Vectors, other: Vectors) -> Floats:
    squares = 2 - 2 * (one @ other.T)
    return np.asarray(np.sqrt(np.maximum(squares, 0)), np.float64)


def fit_curve(values: Floats, truths: Floats) -> Curve:
    """Newton's method for logistic regression on one value; two made-up observations of each
    kind at the mean, and a small ridge, keep it finite where the kinds do not overlap."""
    if not len(values):
        return Curve(0.0, 0.0)
    middle = float(np.mean(values))
    scale = float(np.std(values)) or 1.0
    x = np.concatenate([(values - middle) / scale, np.zeros(4)])
    y = np.concatenate([truths, [1, 1, 0, 0]])
    weights = np.zeros(2)
    both = np.stack([x, np.ones_like(x)])
    for _ in range(25):
        chance = 1 / (1 + np.exp(-np.clip(weights @ both, -30, 30)))
        slope = both @ (y - chance) - 0.05 * weights
        bend = (both * (chance * (1 - chance))) @ both.T + 0.05 * np.eye(2)
        change = np.linalg.solve(bend, slope)
        weights = weights + np.clip(change, -5, 5)
        if float(np.abs(change).max()) < 1e-6:
            break
    return Curve(float(weights[0] / scale), float(weights[1] - weights[0] * middle / scale))


HINT = 0.8
"""How often a hint is right, as long as nothing is known: queries find bystanders."""

MOST_SURE = 0.995
TOP = 3


class ClassOpinion(NamedTuple):
    """What one source says of one sample: classes by name with their probabilities."""

    says: Mapping[str, float]


class ClassProposal(NamedTuple):
    """Classes with their probabilities, the likeliest first; empty where nobody knows."""

    top: tuple[tuple[str, float], ...] = ()

    @property
    def label(self) -> str | None:
        """The first proposal."""
        return self.top[0][0] if self.top else None

    @property
    def confidence(self) -> float:
        """How sure it is; 0 for none."""
        return self.top[0][1] if self.top else 0.0

    def renamed(self, names: Mapping[str, str]) -> ClassProposal:
        """Return it with other names of classes."""
        return ClassProposal(tuple((names.get(name, name), sure) for name, sure in self.top))

    def doubted(self, other: float) -> ClassProposal:
        """Return it where somebody of no class yet is as likely as `other`."""
        return ClassProposal(tuple((name, sure * (1 - other)) for name, sure in self.top))


NO_IDEA = ClassProposal()


def combined(
    opinions: Iterable[ClassOpinion],
    classes: Sequence[str],
    refused: Iterable[str] = (),
) -> ClassProposal:
    """One proposal of several opinions."""
    given = [opinion.says for opinion in opinions if opinion.says]
    names = set(classes).union(*given) if given else set()
    refused = set(refused)
    scores = {name: 1.0 for name in names if name not in refused}
    if not given or not scores:
        return NO_IDEA
    stranger = 1.0  # somebody of whom there is no class
    for says in given:
        rest = max(0.0, 1 - sum(says.values())) / (len(names) - len(says) + 1)
        stranger *= max(rest, 1e-6)
        for name in scores:
            scores[name] *= max(says.get(name, rest), 1e-6)
    total = sum(scores.values()) + stranger
    # What was refused takes its share of certainty with it: the rest is a guess again.
    kept = 1 - max((says.get(name, 0.0) for says in given for name in refused), default=0.0) * 0.5
    best = sorted(
        ((name, score / total) for name, score in scores.items()),
        key=lambda item: (-item[1], item[0]),
    )[:TOP]
    first = max(0.01, min(MOST_SURE, best[0][1] * kept))
    # The others share what is left as they did before.
    part = (1 - first) / max(1 - best[0][1], 1e-6)
    others = ((name, min(first, share * part)) for name, share in best[1:])
    return ClassProposal(((best[0][0], first), *others))


def of_hint(hint: str | None) -> ClassOpinion:
    """Return a hint as an opinion; none where it could not be the name of a class."""
    with suppress(UsageError):
        if hint is not None:
            return ClassOpinion({class_name(hint): HINT})
    return ClassOpinion({})


class NeighbourReliability:
    """How much the neighbours' word is worth, from how often it was right when it was asked.

    It begins with less than it claims: what is left out in turn looks like its own class more
    than a new picture does.
    """

    RIGHT, CLAIMED = 6.0, 10.0

    def __init__(self) -> None:
        self._right = self.RIGHT
        self._claimed = self.CLAIMED

    def learn(self, claimed: float, *, right: bool) -> None:
        """Neighbours were so sure of a class, before trust was taken off."""
        self._right += right
        self._claimed += claimed / self.worth

    @property
    def worth(self) -> float:
        """What to multiply their confidence with."""
        return min(1.0, max(0.2, self._right / self._claimed))
