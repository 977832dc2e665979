"""How good a model is on one split, in the figures that people compare.

All of it is computed in float32, whatever the precision of training was, so that a model
that was saved and loaded, or moved to another machine, is judged alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from baseline.arrays import Arrays, batches, to_float
from gleanset.errors import InputUnusable

BATCH = 128
"""Pictures a forward pass: a bound on memory, without influence on the figures' meaning."""
TOP = 5


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class: figures are 0 where nothing was predicted, or nothing is there, to divide by.

    `precision` = right / predicted, `recall` = right / support, `f1` their harmonic mean;
    `support` is the number of pictures that truly are of the class.
    """

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Mistake:
    """One picture the model got wrong; `confidence` is the probability it gave `predicted`."""

    key: str
    true: str
    predicted: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures of one split.

    `log_loss` is the mean cross entropy in nats, unweighted; `macro_f1` the plain mean over
    the classes that have pictures; row i, column j of `confusion` counts pictures of class i
    taken for class j; `mistakes` come most confident first; `top5_accuracy` is None with five
    classes or fewer.
    """

    count: int
    accuracy: float
    log_loss: float
    macro_f1: float
    top5_accuracy: float | None
    classes: tuple[ClassScore, ...]
    confusion: list[list[int]]
    mistakes: tuple[Mistake, ...]

    def to_json(self) -> dict[str, object]:
        """The same as JSON values."""
        return asdict(self) | {
            "classes": [asdict(score) for score in self.classes],
            "mistakes": [asdict(mistake) for mistake in self.mistakes],
        }


def predict_logits(model: nn.Module, arrays: Arrays) -> npt.NDArray[np.float32]:
    """The raw scores of `model` for every picture, float32 N x classes."""
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    with torch.inference_mode():
        parts = [
            model(to_float(arrays.x, index, device)).float().cpu().numpy()
            for index in batches(torch.arange(len(arrays)), BATCH)
        ]
    model.train(training)
    logits: npt.NDArray[np.float32] = np.concatenate(parts)
    return logits


def evaluate(
    model: nn.Module, arrays: Arrays, classes: Sequence[str], worst: int = 20
) -> Evaluation:
    """Judge `model` on `arrays`; at most `worst` mistakes are listed.

    Raises InputUnusable where there is no picture to judge on.
    """
    if not len(arrays):
        raise InputUnusable(
            "There is no picture to evaluate on.",
            "Give the split a share: labeler split --ratio 8:1:1",
        )
    return evaluate_logits(predict_logits(model, arrays), arrays.y, arrays.keys, classes, worst)


def evaluate_logits(
    logits: npt.NDArray[np.float32],
    y: npt.NDArray[np.int64],
    keys: Sequence[str],
    classes: Sequence[str],
    worst: int = 20,
) -> Evaluation:
    """The figures for `logits` (N x classes) against the true classes `y` (N)."""
    log_probabilities = _log_softmax(logits.astype(np.float64))
    predicted = log_probabilities.argmax(1)
    confusion = _confusion(y, predicted, len(classes))
    scores = tuple(_score(name, confusion, i) for i, name in enumerate(classes))
    return Evaluation(
        count=len(y),
        accuracy=float((predicted == y).mean()),
        log_loss=float(-log_probabilities[np.arange(len(y)), y].mean()),
        macro_f1=float(np.mean([score.f1 for score in scores if score.support])),
        top5_accuracy=_top_accuracy(log_probabilities, y) if len(classes) > TOP else None,
        classes=scores,
        confusion=confusion.tolist(),
        mistakes=_mistakes(log_probabilities, y, keys, classes)[:worst],
    )


def _log_softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shifted = logits - logits.max(1, keepdims=True)
    result: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result


def _confusion(
    y: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], classes: int
) -> npt.NDArray[np.int64]:
    counts = np.bincount(y * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def _score(name: str, confusion: npt.NDArray[np.int64], i: int) -> ClassScore:
    right = int(confusion[i, i])
    predicted, support = int(confusion[:, i].sum()), int(confusion[i].sum())
    return ClassScore(
        name,
        precision=right / predicted if predicted else 0.0,
        recall=right / support if support else 0.0,
        f1=2 * right / (predicted + support) if predicted + support else 0.0,
        support=support,
    )


def _top_accuracy(scores: npt.NDArray[np.float64], y: npt.NDArray[np.int64]) -> float:
    best = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
    return float((best == y[:, None]).any(1).mean())


def _mistakes(
    log_probabilities: npt.NDArray[np.float64],
    y: npt.NDArray[np.int64],
    keys: Sequence[str],
    classes: Sequence[str],
) -> tuple[Mistake, ...]:
    predicted = log_probabilities.argmax(1)
    wrong = [
        Mistake(keys[i], classes[y[i]], classes[predicted[i]], _probability(log_probabilities[i]))
        for i in map(int, np.flatnonzero(predicted != y))
    ]
    return tuple(sorted(wrong, key=lambda mistake: (-mistake.confidence, mistake.key)))


def _probability(log_probabilities: npt.NDArray[np.float64]) -> float:
    return float(np.exp(log_probabilities.max()))
