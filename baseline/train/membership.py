"""How likely an image is of one of the classes a head was trained on, rather than of another.

Outsiders are simulated: folds leave out images, and once more whole classes, and a logistic
regression on distances separates left-out classes from left-out images. The distances are those of
unit vectors to the nearest class mean, with the directions that vary most within classes shrunk
(within-class covariance normalization, as in `methods/logistic.py`), of the identity block alone,
and of both to the nearest of a background of people of no class: a face that is as similar to some
of them as to a class is of none (cohort normalization, as in speaker verification). Features are
those of a frozen backbone, so no network is trained for it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import numpy as np

from baseline.data.samples import split_stratified_groups
from baseline.features.backbone import State
from gleanset.arrays import (
    MIN_LENGTH,
    Float32Array,
    Float64Array,
    IntArray,
    normalize_rows,
)

FitScaling = Callable[[Float32Array], tuple[Float64Array, Float64Array]]
"""Mean and divisor of each feature (D), for features N x V x D."""

PREFIX = "membership."
FOLDS = 10
DIRECTIONS = 32
"""Directions within classes that are shrunk; as good as all of them (docs/experiments.md)."""
MAX_FOLD_ROWS = 2000
"""Maximum of training samples in folds, and that directions are fitted to."""
MAX_VIEWS = 1000
"""Views up to which further ones are used: twice as many add nothing (docs/experiments.md)."""
MIN_CLASSES = 3
"""Classes from which one can be left out."""
BACKGROUND_WEIGHT = -0.35
"""Weight of the distance to the background relative to that to a class, in both kinds."""
PRIOR_STRENGTH = 2.0
"""How firmly the relative weights stay."""
REGULARIZATION = 10.0
"""`C` of scikit-learn."""
ROUNDS = 3
"""Fits, each with new nearest classes."""


class _UnitVectors(NamedTuple):
    """Unit vectors of all columns (N x D), and of the identity block if it counts."""

    whole: Float32Array
    identity: Float32Array | None


class ClassMembership(NamedTuple):
    """Probability that an embedding (D numbers) is of a class in `centers`.

    Attributes
    ----------
    mean, factors : embeddings are centred and multiplied by these (D each)
    directions, shrinkage : orthonormal directions (R x D) and what is added along them (R)
    centers : mean unit vector of each class (C x D)
    identity_centers : the same of the identity block (C x its width; no column without it)
    background : unit vectors of people of no class (M x D); their mean in older runs (1 x D)
    identity_background : the same of the identity block (M x its width; none in older runs)
    weights : of the distances in the order of `distances`, and a constant
    identity : columns of the identity block
    """

    mean: Float32Array
    factors: Float32Array
    directions: Float32Array
    shrinkage: Float32Array
    centers: Float32Array
    identity_centers: Float32Array
    background: Float32Array
    identity_background: Float32Array
    weights: Float32Array
    identity: slice

    def __call__(self, embeddings: Float32Array) -> Float64Array:
        """Return the probability of each of N embeddings (N x D)."""
        return self.weigh(self.distances(embeddings))

    def weigh(self, distances: Float64Array) -> Float64Array:
        """Return the probabilities (N) for distances (N x C x K, with K kinds of distances)."""
        # The last weight is the constant of the regression.
        weights = self.weights.astype(np.float64)
        class_scores = distances @ weights[:-1]  # N x C
        log_odds = class_scores.max(1) + weights[-1]
        return np.asarray(1 / (1 + np.exp(-log_odds)))

    def distances(self, embeddings: Float32Array) -> Float64Array:
        """Return squared distances to the centers and the background (N x C x K).

        The K kinds are: to the centers by all columns, to the centers by the identity block if it
        counts, then to the background in the same order.
        """
        units = self.unit_vectors(embeddings)
        blocks = [(units.whole, self.centers, self.background)]
        if units.identity is not None:
            blocks.append(
                (units.identity, self.identity_centers, self.identity_background)
            )
        columns = [
            _compute_squared_distances(rows, centers) for rows, centers, _ in blocks
        ]
        # The nearest person of the background is one for all classes: N x 1. (The nearest five are
        # as good: docs/experiments.md.) The identity block of an older run has no background.
        columns += [
            _compute_squared_distances(rows, background).min(1, keepdims=True)
            for rows, _, background in blocks
            if background.size
        ]
        return np.stack(np.broadcast_arrays(*columns), 2).astype(np.float64)

    def unit_vectors(self, embeddings: Float32Array) -> _UnitVectors:
        """Return unit vectors of embeddings (N x D)."""
        rows = (embeddings - self.mean) * self.factors
        along = rows @ self.directions.T  # N x R, coordinates on the directions
        # Shrinkage is negative: -0.3 leaves .7 of a coordinate. The identity block has its own
        # distance below, in its own coordinates.
        shrunk = rows + (along * self.shrinkage) @ self.directions

        identity = None
        # A block with weight 0 has factors of 0 and no direction.
        if self.factors[self.identity].any():
            identity = normalize_rows(rows[:, self.identity])
        return _UnitVectors(normalize_rows(shrunk), identity)

    @property
    def state(self) -> State:
        """Tensors by name."""
        return {f"{PREFIX}{name}": getattr(self, name) for name in _tensor_names()}

    @classmethod
    def from_state(cls, state: State, width: int, identity: slice) -> Self | None:
        """Return the membership saved with a network; None if it was saved without.

        `width` is the size of its embeddings. Raises `ValueError` if tensors are missing or do not
        fit.
        """
        tensors = {
            name.removeprefix(PREFIX): tensor
            for name, tensor in state.items()
            if name.startswith(PREFIX)
        }
        if not tensors:
            return None

        # Runs of older versions have the mean of the background alone.
        tensors.setdefault(
            "identity_background",
            np.zeros((0, 0), np.float32),
        )
        # Their last axis is that of the embeddings.
        rows = ("mean", "factors", "directions", "centers", "background")
        is_complete = set(tensors) == _tensor_names()
        if not is_complete or any(tensors[name].shape[-1] != width for name in rows):
            raise ValueError(f"{PREFIX}* do not fit {width} features")
        return cls(**tensors, identity=identity)


def _tensor_names() -> set[str]:
    return set(ClassMembership._fields) - {"identity"}


class TrainFeatures(NamedTuple):
    """Features of train (`x`, N x V x D, view 0 without augmentation), by `keys` (N).

    `y` and `groups` are class and group numbers (N each).
    """

    x: Float32Array
    y: IntArray
    groups: IntArray
    keys: tuple[str, ...]

    def at(self, rows: IntArray) -> Self:
        """Return the samples with these row numbers."""
        keys = tuple(self.keys[row] for row in rows)
        return type(self)(
            self.x[rows],
            self.y[rows],
            self.groups[rows],
            keys,
        )


class LeftOutImages(NamedTuple):
    """Probabilities of left-out images of known classes, and of images of left-out classes.

    `known_keys` are the samples, `outsider_classes` and `nearest_classes` the class numbers of
    outsiders, and of the classes that they are most similar to.
    """

    known_keys: tuple[str, ...]
    known: Float64Array
    outsider_classes: IntArray
    outsiders: Float64Array
    nearest_classes: IntArray


def fit_membership(
    train: TrainFeatures,
    background: Float32Array,
    identity: slice,
    fit_scaling: FitScaling,
    seed: int,
) -> tuple[ClassMembership, LeftOutImages] | None:
    """Fit to train features, and predict what folds left out; None for too little data.

    `background` are features of people of no class (M x D), `identity` the columns of the identity
    block, an empty slice without one.
    """
    # Folds are made of at most `MAX_FOLD_ROWS` samples, drawn at random.
    random = np.random.default_rng(seed)
    order = random.permutation(len(train.y))
    sample = train.at(np.sort(order[:MAX_FOLD_ROWS]))
    classes = random.permutation(np.unique(sample.y))
    folds = split_stratified_groups(sample.y, sample.groups, FOLDS, seed)
    if len(classes) < MIN_CLASSES or not folds:
        return None

    def fit(rows: TrainFeatures) -> ClassMembership:
        return _fit_centers(rows, background, identity, fit_scaling)

    known_parts: list[_LeftOutPart] = []
    outsider_parts: list[_LeftOutPart] = []
    for number, (train_rows, test_rows) in enumerate(folds):
        # Known images are those whose class is in train, too. The fit has all classes: when it also
        # lacked one, the thresholds rejected 2 % of known images instead of 6 %
        # (docs/experiments.md).
        is_known = np.isin(sample.y[test_rows], sample.y[train_rows])
        known_parts += _leave_out(fit, sample, train_rows, test_rows[is_known])

        # Outsiders: all images of some classes. With fewer classes than folds, each class is left
        # out several times.
        left_out_classes = classes[number % len(classes) :: len(folds)]
        is_outsider = np.isin(sample.y, left_out_classes)
        # All is fitted again without these classes, also the scaling. With the mean of all
        # features, the estimate was that .92 to .99 of left-out images are found, but only .73 to
        # .94 are (docs/experiments.md).
        insider_rows = train_rows[~is_outsider[train_rows]]
        outsider_rows = np.flatnonzero(is_outsider)
        outsider_parts += _leave_out(fit, sample, insider_rows, outsider_rows)

    if not known_parts or not outsider_parts:
        return None

    # The weights are those that separate known images from outsiders; the rest of the membership is
    # fitted on all samples.
    known_rows = np.concatenate([part.rows for part in known_parts])
    outsider_rows = np.concatenate([part.rows for part in outsider_parts])
    weights = _fit_weights(
        [part.distances for part in (*known_parts, *outsider_parts)],
        sample.y[np.append(known_rows, outsider_rows)],
        known_count=len(known_rows),
    )
    membership = fit(train)._replace(weights=weights)

    # An image that was left out several times counts once.
    unique_rows, first = np.unique(outsider_rows, return_index=True)
    outsider_scores = np.concatenate(
        [membership.weigh(part.distances) for part in outsider_parts]
    )
    nearest = np.concatenate([part.nearest_classes(weights) for part in outsider_parts])

    left_out = LeftOutImages(
        known_keys=tuple(sample.keys[row] for row in known_rows),
        known=np.concatenate(
            [membership.weigh(part.distances) for part in known_parts]
        ),
        outsider_classes=sample.y[unique_rows],
        outsiders=outsider_scores[first],
        nearest_classes=nearest[first],
    )
    return membership, left_out


class _LeftOutPart(NamedTuple):
    """Rows that a fold left out, and their distances to the `classes` it learned."""

    rows: IntArray
    distances: Float64Array
    classes: IntArray

    def nearest_classes(self, weights: Float32Array) -> IntArray:
        """Return the nearest learned class of each row by weighted distances."""
        scores = self.distances @ weights[:-1]  # N x classes
        return np.asarray(self.classes[scores.argmax(1)])


def _leave_out(
    fit: Callable[[TrainFeatures], ClassMembership],
    sample: TrainFeatures,
    train_rows: IntArray,
    test_rows: IntArray,
) -> list[_LeftOutPart]:
    """Measure the distances of `test_rows` by a fit on `train_rows`.

    The list has one part, or is empty if either has no rows.
    """
    if not (len(train_rows) and len(test_rows)):
        return []
    distances = fit(sample.at(train_rows)).distances(sample.x[test_rows, 0])
    return [_LeftOutPart(test_rows, distances, np.unique(sample.y[train_rows]))]


def _fit_centers(
    train: TrainFeatures,
    background: Float32Array,
    identity: slice,
    fit_scaling: FitScaling,
) -> ClassMembership:
    """Return a membership with all but its weights."""
    from sklearn.utils.extmath import randomized_svd

    # Evenly spaced samples, and as many of their views as there is room for.
    count = len(train.y)
    rows = np.linspace(0, count - 1, min(count, MAX_FOLD_ROWS)).astype(np.int64)
    views = train.x[rows, : max(1, MAX_VIEWS // len(rows))]
    center, deviation = fit_scaling(views)
    mean = center.astype(np.float32)
    factors = (1 / deviation).astype(np.float32)

    # Deviations of views from the mean of their class.
    y = np.unique(train.y, return_inverse=True)[1]  # without gaps
    classes = y.max() + 1
    view_y = np.repeat(y[rows], views.shape[1])
    residuals = (views.reshape(-1, views.shape[2]) - mean) * factors
    residuals -= _average_by_class(residuals, view_y)[view_y]
    # Every class counts alike.
    divisors = np.sqrt(np.bincount(view_y)[view_y] * classes)
    residuals /= divisors[:, None].astype(np.float32)

    # A direction with variance v, where the mean of all is m, is multiplied by 1 / sqrt(1 + v / m):
    # within-class covariance normalization, with the mean as a ridge.
    variance = float(np.square(residuals).sum()) / residuals.shape[1] or 1.0
    # All directions would be as good, and add 12 MB to a run (docs/experiments.md). Two
    # iterations separate people of no class as well as four or seven.
    rank = min(DIRECTIONS, *residuals.shape)
    _, spread, directions = randomized_svd(
        residuals,
        rank,
        n_iter=2,
        random_state=0,
    )
    shrinkage = (1 / np.sqrt(1 + spread**2 / variance) - 1).astype(np.float32)

    # Without centers yet: they are means of unit vectors in this space.
    empty = np.zeros((classes, 0), np.float32)
    space = ClassMembership(
        mean=mean,
        factors=factors,
        directions=directions,
        shrinkage=shrinkage,
        centers=empty,
        identity_centers=empty,
        background=empty,
        identity_background=empty,
        weights=empty,
        identity=identity,
    )
    # The first `count` rows are of the training samples, the others of the background.
    whole, block = space.unit_vectors(np.append(train.x[:, 0], background, axis=0))
    if block is not None:
        space = space._replace(
            identity_centers=_average_by_class(block[:count], y),
            identity_background=block[count:],
        )
    return space._replace(
        centers=_average_by_class(whole[:count], y),
        background=whole[count:],
    )


def _compute_squared_distances(
    units: Float32Array, centers: Float32Array
) -> Float32Array:
    """Return the squared distances (N x C) of unit vectors (N x D) from centers (C x D)."""
    # |u - c|^2 = 1 - 2 u c' + |c|^2 for a unit vector u.
    products = 2 * units @ centers.T
    return np.asarray(1 - products + np.square(centers).sum(1))


def _average_by_class(rows: Float32Array, y: IntArray) -> Float32Array:
    """Return the mean (C x D) of the rows (N x D) of each class; zeros without rows."""
    members = np.zeros((int(y.max()) + 1, len(y)), np.float32)  # C x N
    members[y, np.arange(len(y))] = 1
    counts = np.maximum(members.sum(1, keepdims=True), 1)
    return np.asarray(members @ rows / counts)


def _fit_weights(
    left_out: Sequence[Float64Array], y: IntArray, known_count: int
) -> Float32Array:
    """Return the weight of each distance, and a constant.

    `left_out` are distances by fold, of classes `y`, the first `known_count` of known images. Every
    class counts as one image, so that a few classes hardly change the relative weights.
    """
    from sklearn.linear_model import LogisticRegression

    is_known = np.arange(len(y)) < known_count
    # Known and left-out images of a class are two cases.
    _, case, case_sizes = np.unique(
        2 * y + is_known, return_inverse=True, return_counts=True
    )

    # The regression has two columns: distances summed by their prior weights, and those of the
    # identity block alone, if it counts. The first is penalized less.
    blocks = np.array([[1.0, 0.0], [1.0, 1.0]])
    if left_out[0].shape[2] == 2:  # no identity block
        blocks = blocks[:1, :1]
    # Relative to a class, the background has the same weight in both (distances x columns).
    mixture = np.kron([[1.0], [BACKGROUND_WEIGHT]], blocks)
    strength = np.array([PRIOR_STRENGTH, 1.0])[: len(blocks)]

    # Which class is nearest depends on the weights, so they are fitted again. The first weights are
    # negative, because a class scores higher the nearer it is.
    weights = -mixture[:, 0]
    constant = 0.0
    for _ in range(ROUNDS):
        nearest = np.concatenate(
            [_select_nearest(distances, weights) for distances in left_out]
        )
        columns = nearest @ mixture
        mean = columns.mean(0)
        deviation = np.maximum(columns.std(0), MIN_LENGTH) / strength
        model = LogisticRegression(C=REGULARIZATION).fit(
            (columns - mean) / deviation,
            is_known,
            sample_weight=1 / case_sizes[case],
        )

        # Weights of the distances themselves.
        slopes = model.coef_[0] / deviation
        weights = mixture @ slopes
        constant = model.intercept_[0] - slopes @ mean

    return np.append(weights, constant).astype(np.float32)


def _select_nearest(distances: Float64Array, weights: Float64Array) -> Float64Array:
    """Return the distances (N x K) to the class that is nearest by weighted distances."""
    nearest = (distances @ weights).argmax(1)
    return np.asarray(distances[np.arange(len(distances)), nearest])
