"""How much each part of the features counts: chosen within train, by what it does to the loss.

Colours tell drawn characters apart and mislead about photographs. What texture lets expect
(`features/texture.py`) is the prior, cross-validation that keeps moments whole the evidence: the
weights of least held-out loss and distance from what was expected are taken, so that a dozen
pictures change little and a hundred much.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from baseline.features.backbone import FeaturePart
from baseline.features.texture import PartWeights
from baseline.train.methods.logistic import (
    Classes,
    Floats,
    Folds,
    TrainRows,
    fit_logistic,
    log_loss,
    threads_for,
)
from gleanset.errors import UsageError

WEIGHTS = (0.0, 0.25, 0.5, 0.7, 1.0, 1.4, 2.0)
"""What is tried for a part beside the first one, whose weight is 1. Squared: shares of variance."""
SPREAD = 0.4
"""How far weights lie from what is expected of them: the standard deviation of a normal prior."""
VARIANCE = 1000.0
"""Of the first part, as a network's standardised features have it; strengths go by it."""
STRENGTHS = (1.0, 10.0, 100.0)


def weights_by_setting(setting: str, parts: Sequence[FeaturePart]) -> PartWeights | None:
    """Return the weights that a setting has: of each part after the first; None for 'auto'.

    Raises `UsageError` where they do not fit the parts.
    """
    if len(parts) == 1:
        return PartWeights((1.0,), "there is one part", {})
    if setting == "auto":
        return None
    weights = tuple(float(weight) for weight in setting.split(","))
    if len(weights) != len(parts) - 1:
        names = ", ".join(part.name for part in parts[1:])
        raise UsageError(
            f"'{setting}' are {len(weights)} weights, and beside {parts[0].name} there is {names}",
            f"give {len(parts) - 1}, with commas between, or -o part_weights=auto",
        )
    return PartWeights((1.0, *weights), "settings", {})


def choose_part_weights(
    rows: TrainRows, parts: Sequence[FeaturePart], expected: PartWeights, seed: int
) -> PartWeights:
    """Choose the likeliest weights by cross-validation that keeps groups whole, and a prior.

    `rows` are N x D, scaled so that all parts have the same variance. Parts are weighed one after
    the other, each beside those weighed before.
    """
    some = rows.some(seed)
    folds = some.folds(seed)
    if not folds:
        return expected._replace(by=f"{expected.by}, and train is too small to choose")
    cases = len(np.unique(some.groups))
    weights = [1.0]
    losses: dict[str, float] = {}
    with threads_for(some.x):
        products = _products(some.x, parts)
        for part, prior in zip(parts[1:], expected.weights[1:], strict=True):
            tried = {}
            for weight in WEIGHTS:
                each = zip([*weights, weight], products, strict=False)
                kernel = np.sum([own * own * gram for own, gram in each], axis=0)
                tried[weight] = _held_out_loss(kernel, some, folds)
            cost = {w: cases * loss + ((w - prior) / SPREAD) ** 2 / 2 for w, loss in tried.items()}
            weights.append(min(cost, key=lambda weight: cost[weight]))
            losses |= {f"{part.name} {weight:g}": loss for weight, loss in tried.items()}
    by = f"{len(folds)}-fold cross-validation by moment within train"
    return PartWeights(tuple(weights), by, losses)


def _products(x: Floats, parts: Sequence[FeaturePart]) -> list[Floats]:
    """Return the products of all pairs of samples, N x N, for each part, on one scale."""
    ends = np.cumsum([part.width for part in parts])[:-1]
    grams = [part @ part.T for part in np.split(x, ends, axis=1)]
    scale = VARIANCE / max(float(grams[0].diagonal().mean()), 1e-12)
    return [scale * gram for gram in grams]


def _held_out_loss(kernel: Floats, rows: TrainRows, folds: Folds) -> float:
    """Return the mean held-out log loss, at the best strength of all that are tried."""
    losses = np.zeros(len(STRENGTHS))
    y, weights = rows.y, rows.weights
    for learnt, held in folds:
        known, asked = _coordinates(kernel, learnt, held)
        for number, strength in enumerate(STRENGTHS):
            model = fit_logistic(known, y[learnt], weights[learnt], strength)
            losses[number] += log_loss(model, asked, y[held], weights[held])
    return float(losses.min() / weights.sum())


def _coordinates(kernel: Floats, learnt: Classes, held: Classes) -> tuple[Floats, Floats]:
    """Return coordinates of both parts in the span of `learnt`, in which products are the kernel's.

    A penalty |w|^2 does not look out of that span, so a linear model of them is one of the
    features.
    """
    values, vectors = np.linalg.eigh(kernel[np.ix_(learnt, learnt)])
    keep = values > values.max() * 1e-9
    axes = vectors[:, keep] / np.sqrt(values[keep])
    return kernel[np.ix_(learnt, learnt)] @ axes, kernel[np.ix_(held, learnt)] @ axes
