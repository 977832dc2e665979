"""How likely an image is of one of the classes a head was trained on, rather than of another.

Outsiders are simulated: folds leave out images, and once more whole classes, and a logistic
regression on distances separates left-out classes from left-out images. The distances are those of
unit vectors to the nearest class mean, with the directions that vary most within classes shrunk
(within-class covariance normalization, as in `methods/logistic.py`), of the identity
block alone, and to the mean of a background of people of no class. Features are those of a frozen
backbone, so no network is trained for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from baseline.data.samples import split_stratified_groups

Rows = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
State = Mapping[str, npt.NDArray[Any]]
FitScaling = Callable[[Rows], tuple[Floats, Floats]]
"""Mean and divisor of each feature (D), for features N x V x D."""

PREFIX = "membership."
FOLDS = 10
DIRECTIONS = 32
"""Directions within classes that are shrunk; as good as all of them (docs/experiments.md)."""
MAX_FOLD_SAMPLES, MAX_FOLD_ROWS = 2000, 4000
"""Training samples that folds are made of, and rows with their augmented views."""
MIN_CLASSES = 3
"""Classes from which one can be left out."""
IDENTITY_WEIGHT = 1.0
BACKGROUND_WEIGHT = -0.25
"""Weights of these distances relative to that of all columns, before classes are left out."""
PRIOR_STRENGTH, REGULARIZATION, ROUNDS = 2.0, 10.0, 3
"""How firmly the relative weights stay, scikit-learn's C, and fits with new nearest classes."""
MIN_LENGTH = 1e-9


@dataclass(frozen=True, eq=False)
class ClassMembership:
    """Probability that an embedding (D numbers) is of a class in `centers`.

    Attributes
    ----------
    mean, factors : embeddings are centred and multiplied by these (D each)
    directions, shrinkage : orthonormal directions (R x D) and what is added along them (R)
    centers : mean unit vector of each class (C x D)
    identity_centers : the same of the identity block (C x its width; no column without it)
    background : mean unit vector of the background (1 x D)
    weights : of the distances (all columns, identity block, background), and a constant
    identity : columns of the identity block
    """

    mean: Rows
    factors: Rows
    directions: Rows
    shrinkage: Rows
    centers: Rows
    identity_centers: Rows
    background: Rows
    weights: Rows
    identity: slice

    def __call__(self, embedded: Rows) -> Floats:
        """Return the probability of each of N embeddings (N x D)."""
        return self.weigh(self.distances(embedded))

    def weigh(self, distances: Floats) -> Floats:
        """Return the probabilities (N) for distances (N x C x their number)."""
        weights = self.weights.astype(np.float64)
        score = (distances @ weights[:-1]).max(1) + weights[-1]
        return np.asarray(1 / (1 + np.exp(-score)))

    def distances(self, embedded: Rows) -> Floats:
        """Return squared distances to the centers and the background (N x C x their number)."""
        units = self.unit_vectors(embedded)
        centers = (self.centers, self.identity_centers)
        columns = [
            _squared_distances(u, c) for u, c in zip(units, centers, strict=False)
        ]
        columns.append(_squared_distances(units[0], self.background))
        return np.stack(np.broadcast_arrays(*columns), 2).astype(np.float64)

    def unit_vectors(self, embedded: Rows) -> list[Rows]:
        """Return unit vectors of all columns (N x D), and of the identity block if it counts."""
        scaled = (embedded - self.mean) * self.factors
        shrunk = (
            scaled + (scaled @ self.directions.T * self.shrinkage) @ self.directions
        )
        blocks: list[npt.NDArray[np.floating]] = [shrunk]
        if self.factors[self.identity].any():
            blocks.append(scaled[:, self.identity])
        lengths = (np.linalg.norm(block, axis=1, keepdims=True) for block in blocks)
        return [
            b / np.maximum(n, MIN_LENGTH) for b, n in zip(blocks, lengths, strict=True)
        ]

    @property
    def state(self) -> State:
        """Tensors by name."""
        fields = (name for name in self.__dataclass_fields__ if name != "identity")
        return {f"{PREFIX}{name}": getattr(self, name) for name in fields}

    @classmethod
    def from_state(cls, state: State, width: int, identity: slice) -> Self | None:
        """Return that of a saved run for embeddings of `width` numbers, None if it has none.

        Raises `ValueError` if it is damaged.
        """
        tensors = {
            name.removeprefix(PREFIX): v
            for name, v in state.items()
            if name.startswith(PREFIX)
        }
        if not tensors:
            return None
        rows = ("mean", "factors", "directions", "centers", "background")
        if set(tensors) != {*cls.__dataclass_fields__} - {"identity"} or any(
            tensors[name].shape[-1] != width for name in rows
        ):
            raise ValueError(f"{PREFIX}* do not fit {width} features")
        return cls(**tensors, identity=identity)


class TrainFeatures(NamedTuple):
    """Features of train (`x`, N x V x D, view 0 without augmentation), by `keys` (N).

    `y` and `groups` are class and group numbers (N each).
    """

    x: Rows
    y: Indices
    groups: Indices
    keys: tuple[str, ...]

    def at(self, rows: Indices) -> TrainFeatures:
        """Return some rows."""
        keys = tuple(self.keys[row] for row in rows)
        return TrainFeatures(self.x[rows], self.y[rows], self.groups[rows], keys)


class LeftOutImages(NamedTuple):
    """Probabilities of left-out images of known classes, and of images of left-out classes.

    `known_keys` are the samples, `outsider_classes` and `nearest_classes` the class numbers of
    outsiders, and of the classes that they are most similar to.
    """

    known_keys: tuple[str, ...]
    known: Floats
    outsider_classes: Indices
    outsiders: Floats
    nearest_classes: Indices


def fit_membership(
    train: TrainFeatures,
    background: Rows,
    identity: slice,
    fit_scaling: FitScaling,
    seed: int,
) -> tuple[ClassMembership, LeftOutImages] | None:
    """Fit to train features, and predict what folds left out; None for too little data.

    `background` are features of people of no class (M x D), `identity` the columns of the identity
    block, an empty slice without one.
    """
    random = np.random.default_rng(seed)
    sample = np.sort(random.permutation(len(train.y))[:MAX_FOLD_SAMPLES])
    part = train.at(sample)
    classes = random.permutation(np.unique(part.y))
    known, outsiders = list[_LeftOutPart](), list[_LeftOutPart]()
    folds = split_stratified_groups(part.y, part.groups, FOLDS, seed)
    if len(classes) < MIN_CLASSES or not folds:
        return None
    for number, (rows, held_out) in enumerate(folds):
        members = held_out[np.isin(part.y[held_out], part.y[rows])]
        # With fewer classes than folds, each class is left out several times.
        is_outsider = np.isin(part.y, classes[number % len(classes) :: len(folds)])
        for results, learned, left in (
            (known, rows, members),
            (outsiders, rows[~is_outsider[rows]], np.flatnonzero(is_outsider)),
        ):
            if len(learned) and len(left):
                fitted = _fit_centers(
                    part.at(learned), background, identity, fit_scaling
                )
                distances = fitted.distances(part.x[left, 0])
                results.append(
                    _LeftOutPart(left, distances, np.unique(part.y[learned]))
                )
    if not known or not outsiders:
        return None
    known_rows, near, _ = zip(*known, strict=True)
    outsider_rows, far, _ = zip(*outsiders, strict=True)
    rows, left_rows = np.concatenate(known_rows), np.concatenate(outsider_rows)
    weights = _fit_weights([*near, *far], part.y[np.append(rows, left_rows)], len(rows))
    fitted = replace(
        _fit_centers(train, background, identity, fit_scaling), weights=weights
    )
    unique_rows, first = np.unique(left_rows, return_index=True)
    inside, outside = (
        np.concatenate([*map(fitted.weigh, kind)]) for kind in (near, far)
    )
    nearest = np.concatenate(
        [each.classes[(each.distances @ weights[:-1]).argmax(1)] for each in outsiders]
    )
    known_keys = tuple(part.keys[row] for row in rows)
    left_out = LeftOutImages(
        known_keys, inside, part.y[unique_rows], outside[first], nearest[first]
    )
    return fitted, left_out


class _LeftOutPart(NamedTuple):
    """Rows that a fold left out, and their distances to the `classes` it learned."""

    rows: Indices
    distances: Floats
    classes: Indices


def _fit_centers(
    train: TrainFeatures, background: Rows, identity: slice, fit_scaling: FitScaling
) -> ClassMembership:
    from sklearn.utils.extmath import randomized_svd

    rows = np.linspace(0, len(train.y) - 1, min(len(train.y), MAX_FOLD_ROWS)).astype(
        np.int64
    )
    views = train.x[rows, : max(1, MAX_FOLD_ROWS // len(rows))]
    center, deviation = fit_scaling(views)
    mean = center.astype(np.float32)
    factors = (1 / deviation).astype(np.float32)
    y = np.unique(train.y, return_inverse=True)[1]
    names = np.repeat(y[rows], views.shape[1])
    residuals = (views.reshape(-1, views.shape[2]) - mean) * factors
    residuals -= _mean_by_class(residuals, names)[names]
    # Every class counts alike.
    residuals /= np.sqrt(np.bincount(names)[names] * (y.max() + 1))[:, None].astype(
        np.float32
    )
    variance = float(np.square(residuals).sum()) / residuals.shape[1] or 1.0
    count = min(DIRECTIONS, *residuals.shape)
    _, spread, directions = randomized_svd(residuals, count, random_state=0)
    shrinkage = (1 / np.sqrt(1 + spread**2 / variance) - 1).astype(np.float32)
    none = np.zeros((y.max() + 1, 0), np.float32)
    space = (mean, factors, directions, shrinkage)
    fitted = ClassMembership(*space, none, none, none, none[0], identity)
    centers = [_mean_by_class(unit, y) for unit in fitted.unit_vectors(train.x[:, 0])]
    background = fitted.unit_vectors(background)[0].mean(0, keepdims=True)
    identity_centers = centers[1] if len(centers) > 1 else none
    return ClassMembership(
        *space, centers[0], identity_centers, background, none[0], identity
    )


def _squared_distances(units: Rows, centers: Rows) -> Rows:
    return np.asarray(1 - 2 * units @ centers.T + np.square(centers).sum(1))


def _mean_by_class(rows: Rows, y: Indices) -> Rows:
    members = np.zeros((int(y.max()) + 1, len(y)), np.float32)
    members[y, np.arange(len(y))] = 1
    return np.asarray(members @ rows / np.maximum(members.sum(1, keepdims=True), 1))


def _fit_weights(left_out: Sequence[Floats], y: Indices, known: int) -> Rows:
    """Return the weight of each distance, and a constant.

    `left_out` are distances by fold, of classes `y`, the first `known` of known images. Every class
    counts as one image, so that a few classes hardly change the relative weights.
    """
    from sklearn.linear_model import LogisticRegression

    is_known = np.arange(len(y)) < known
    _, kind, cases = np.unique(
        2 * y + is_known, return_inverse=True, return_counts=True
    )
    others = left_out[0].shape[2] - 2
    prior = np.array([1.0, *[IDENTITY_WEIGHT] * others, BACKGROUND_WEIGHT])
    strength = np.array([PRIOR_STRENGTH, *[1.0] * others])
    weights = -prior
    constant = 0.0
    for _ in range(ROUNDS):
        nearest = np.concatenate(
            [
                part[np.arange(len(part)), (part @ weights).argmax(1)]
                for part in left_out
            ]
        )
        columns = np.column_stack([nearest @ prior, nearest[:, 1:-1]])
        mean = columns.mean(0)
        deviation = np.maximum(columns.std(0), MIN_LENGTH) / strength
        model = LogisticRegression(C=REGULARIZATION).fit(
            (columns - mean) / deviation, is_known, sample_weight=1 / cases[kind]
        )
        slopes = model.coef_[0] / deviation
        weights = slopes[0] * prior
        weights[1:-1] += slopes[1:]
        constant = model.intercept_[0] - slopes @ mean
    return np.append(weights, constant).astype(np.float32)
