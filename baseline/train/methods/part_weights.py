"""How much each part of the features counts: chosen within train, by what it does to the loss.

Colours tell drawn characters apart and mislead about photographs. What texture lets expect
(`features/texture.py`) is the prior, cross-validation that keeps moments whole the evidence: the
weights of least held-out loss and distance from what was expected are taken, so that a dozen
pictures change little and a hundred much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from baseline.data.grouped_split import stratified_group_folds
from baseline.features.backbone import Backbone, FeaturePart
from baseline.features.texture import ExpectedWeights
from baseline.settings import Transfer, Triplet
from baseline.train.batches import FeatureSamples
from baseline.train.callbacks import TrainingCallback
from baseline.train.methods.logistic import fit_logistic, log_loss
from baseline.train.methods.one_thread import one_thread
from baseline.train.methods.scaling import Scaling
from baseline.train.methods.training_data import TrainingData
from gleanset.errors import UsageError

Floats = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]

WEIGHTS = (0.0, 0.25, 0.5, 0.7, 1.0, 1.4, 2.0)
"""What is tried for a part beside the first one, whose weight is 1. Squared: shares of variance."""
SPREAD = 0.4
"""How far weights lie from what is expected of them: the standard deviation of a normal prior."""
VARIANCE = 1000.0
"""Of the first part, as a network's standardised features have it; strengths go by it."""
STRENGTHS = (1.0, 10.0, 100.0)
FOLDS = 4
MOST = 1000
"""Samples that the choice is made with."""


class PartWeights(NamedTuple):
    """The weight of each part, how it came about, and the log loss of each one that was tried."""

    weights: tuple[float, ...]
    by: str
    losses: dict[str, float]

    def to_json(self, parts: Sequence[FeaturePart]) -> dict[str, object]:
        """Return the facts for the metrics: nothing where there is one part."""
        if len(parts) == 1:
            return {}
        named = {part.name: weight for part, weight in zip(parts, self.weights, strict=True)}
        return {"parts": named, "parts_by": self.by, "parts_tried": self.losses}

    def words(self, parts: Sequence[FeaturePart]) -> str:
        """Return a line for a person; empty where there is one part."""
        if len(parts) == 1:
            return ""
        named = zip(parts[1:], self.weights[1:], strict=True)
        beside = ", ".join(f"{part.name} {weight:g}" for part, weight in named)
        return f"beside {parts[0].name}: {beside}, by {self.by}"


def weighed_scaling(
    train: FeatureSamples,
    backbone: Backbone,
    setting: str,
    weights: Floats,
    groups: Sequence[str],
    seed: int,
    expected: Callable[[], ExpectedWeights],
) -> tuple[Scaling, PartWeights]:
    """Return the scaling of the features of `backbone`, and the weights of its parts within it.

    `setting` is 'auto' or has the weight of each part after the first. `weights` and `groups` are
    those of the samples of train; `expected` is only asked where it
    is wanted. Raises `UsageError` where the setting does not fit the parts.
    """
    chosen = given_weights(setting, backbone.parts)
    if chosen is None:
        even = Scaling.of(train.x, backbone)
        plain = even.applied(train.x[:, 0]).astype(np.float64)
        known = backbone.parts, train.y, weights, groups, seed
        chosen = choose_part_weights(plain, *known, expected())
    return Scaling.of(train.x, backbone, chosen.weights), chosen


def weigh_train(
    material: TrainingData,
    train: FeatureSamples,
    backbone: Backbone,
    settings: Transfer | Triplet,
    weights: Floats,
    groups: Sequence[str],
    watch: TrainingCallback,
) -> tuple[Scaling, dict[str, object]]:
    """Return the scaling of `train`, its parts weighed, and the facts of it; say the weights.

    As `weighed_scaling`, with texture for what is expected.
    """
    parts = backbone.parts
    scaling, chosen = weighed_scaling(
        train,
        backbone,
        settings.part_weights,
        weights,
        groups,
        settings.seed,
        lambda: material.expected_weights(parts),
    )
    if words := chosen.words(parts):
        watch.say(words)
    return scaling, chosen.to_json(parts) | {"views": train.x.shape[1]}


def given_weights(setting: str, parts: Sequence[FeaturePart]) -> PartWeights | None:
    """Return the weights that a setting gives; None where it leaves them to be chosen.

    Raises `UsageError` where they do not fit the parts.
    """
    if len(parts) == 1:
        return PartWeights((1.0,), "there is one part", {})
    if setting == "auto":
        return None
    given = tuple(float(one) for one in setting.split(","))
    if len(given) != len(parts) - 1:
        names = ", ".join(part.name for part in parts[1:])
        raise UsageError(
            f"'{setting}' are {len(given)} weights, and beside {parts[0].name} there is {names}",
            f"give {len(parts) - 1}, with commas between, or -o part_weights=auto",
        )
    return PartWeights((1.0, *given), "settings", {})


def choose_part_weights(
    x: Floats,
    parts: Sequence[FeaturePart],
    y: Classes,
    weights: Floats,
    groups: Sequence[str],
    seed: int,
    expected: ExpectedWeights,
) -> PartWeights:
    """Choose the likeliest weights by cross-validation that keeps groups whole, and a prior.

    `x` is N x D, scaled so that all parts have the same variance; `weights` (N) are those of the
    samples. Parts are weighed one after the other, each beside those weighed before.
    """
    numbers = np.unique(np.array(groups), return_inverse=True)[1]
    some = some_samples(len(y), seed)
    x, y, weights, numbers = x[some], y[some], weights[some], numbers[some]
    folds = stratified_group_folds(y, numbers, FOLDS, seed)
    if not folds or len(np.unique(y)) < 2:
        return PartWeights(
            expected.weights, f"{expected.why}, and train is too small to choose", {}
        )
    return likeliest_weights(
        x,
        parts,
        expected,
        len(np.unique(numbers)),
        lambda kernel: _loss_of(kernel, y, weights, folds),
        f"{len(folds)}-fold cross-validation by moment within train",
    )


def some_samples(count: int, seed: int) -> Classes:
    """Return the rows, of so many, that the choice is made with, in order."""
    some = np.random.default_rng(seed).permutation(count)[:MOST]
    some.sort()
    return some


def likeliest_weights(
    x: Floats,
    parts: Sequence[FeaturePart],
    expected: ExpectedWeights,
    cases: int,
    loss_of: Callable[[Floats], float],
    by: str,
) -> PartWeights:
    """Return the weights of least loss and distance from what is expected, chosen `by` that.

    `x` is N x D; `loss_of` tells the mean log loss of a matrix of products, N x N, in which the
    parts are weighed, and counts as so many independent `cases`.
    """
    likeness = _gram_matrices(x, parts)
    chosen = [1.0]
    losses: dict[str, float] = {}
    for part, prior in zip(parts[1:], expected.weights[1:], strict=True):
        tried: dict[float, float] = {}
        for weight in WEIGHTS:
            kernel = sum(w * w * g for w, g in zip([*chosen, weight], likeness, strict=False))
            tried[weight] = loss_of(np.asarray(kernel))
        cost = {w: cases * loss + ((w - prior) / SPREAD) ** 2 / 2 for w, loss in tried.items()}
        chosen.append(min(cost, key=lambda weight: cost[weight]))
        losses |= {f"{part.name} {weight:g}": loss for weight, loss in tried.items()}
    return PartWeights(tuple(chosen), by, losses)


def _gram_matrices(x: Floats, parts: Sequence[FeaturePart]) -> list[Floats]:
    """Return the products of all pairs of samples, N x N, for each part, on one scale."""
    ends = np.cumsum([part.width for part in parts])[:-1]
    with one_thread():
        found = [part @ part.T for part in np.split(x, ends, axis=1)]
    scale = VARIANCE / max(float(found[0].diagonal().mean()), 1e-12)
    return [scale * gram for gram in found]


def _loss_of(
    kernel: Floats, y: Classes, weights: Floats, folds: Sequence[tuple[Classes, Classes]]
) -> float:
    """Return the mean held-out log loss, at the best strength of all that are tried."""
    losses = np.zeros(len(STRENGTHS))
    for learnt, held in folds:
        if len(np.unique(y[learnt])) < 2:
            continue
        known, asked = _coordinates(kernel, learnt, held)
        for number, strength in enumerate(STRENGTHS):
            model = fit_logistic(known, y[learnt], weights[learnt], strength)
            losses[number] += log_loss(model, asked, y[held], weights[held])
    return float(losses.min() / weights.sum())


def _coordinates(kernel: Floats, learnt: Classes, held: Classes) -> tuple[Floats, Floats]:
    """Return coordinates of both parts in the span of `learnt`, in which products are the kernel's.

    An L2 penalty does not look out of that span, so a linear model of them is one of the features.
    """
    with one_thread():
        values, vectors = np.linalg.eigh(kernel[np.ix_(learnt, learnt)])
        keep = values > values.max() * 1e-9
        axes = vectors[:, keep] / np.sqrt(values[keep])
        return kernel[np.ix_(learnt, learnt)] @ axes, kernel[np.ix_(held, learnt)] @ axes
