"""The figures of a classifier on one split: accuracy, log loss, F1, confusion, mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from baseline.evaluation.probabilities import Floats, Indices, Scores, log_softmax
from gleanset.errors import InputUnusable

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
    classes or fewer; `commonest_class` is the accuracy of always naming the class with the most
    pictures.
    """

    count: int
    accuracy: float
    log_loss: float
    macro_f1: float
    top5_accuracy: float | None
    classes: tuple[ClassScore, ...]
    confusion: list[list[int]]
    mistakes: tuple[Mistake, ...]
    commonest_class: float = 0.0

    def to_json(self) -> dict[str, object]:
        """The same as JSON values."""
        return asdict(self) | {
            "classes": [asdict(score) for score in self.classes],
            "mistakes": [asdict(mistake) for mistake in self.mistakes],
        }


def evaluate_logits(
    logits: Scores, y: Indices, keys: Sequence[str], classes: Sequence[str], worst: int = 20
) -> Evaluation:
    """The figures for `logits` (N x classes) against the true classes `y` (N).

    At most `worst` mistakes are listed. Raises InputUnusable where there is no picture.
    """
    if not len(y):
        raise no_picture()
    log_probabilities = log_softmax(logits)
    confusion = confusion_of(y, log_probabilities.argmax(1), len(classes))
    scores = tuple(_score(name, confusion, i) for i, name in enumerate(classes))
    return Evaluation(
        count=len(y),
        accuracy=float(confusion.trace() / len(y)),
        log_loss=float(-log_probabilities[np.arange(len(y)), y].mean()),
        macro_f1=float(np.mean([score.f1 for score in scores if score.support])),
        top5_accuracy=_top_accuracy(log_probabilities, y) if len(classes) > TOP else None,
        classes=scores,
        confusion=confusion.tolist(),
        mistakes=_mistakes(log_probabilities, y, keys, classes)[:worst],
        commonest_class=float(confusion.sum(1).max() / len(y)),
    )


def no_picture() -> InputUnusable:
    """The error of an empty split."""
    return InputUnusable(
        "There is no picture to evaluate on.", "Give the split a share: labeler split --ratio 8:1:1"
    )


def confusion_of(y: Indices, predicted: Indices, classes: int) -> Indices:
    """classes x classes counts: true classes in rows, answers in columns."""
    counts = np.bincount(y * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def _score(name: str, confusion: Indices, i: int) -> ClassScore:
    right = int(confusion[i, i])
    predicted, support = int(confusion[:, i].sum()), int(confusion[i].sum())
    return ClassScore(
        name,
        precision=right / predicted if predicted else 0.0,
        recall=right / support if support else 0.0,
        f1=2 * right / (predicted + support) if predicted + support else 0.0,
        support=support,
    )


def _top_accuracy(scores: Floats, y: Indices) -> float:
    best = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
    return float((best == y[:, None]).any(1).mean())


def _mistakes(
    log_probabilities: Floats, y: Indices, keys: Sequence[str], classes: Sequence[str]
) -> tuple[Mistake, ...]:
    predicted, sure = log_probabilities.argmax(1), np.exp(log_probabilities.max(1))
    wrong = [
        Mistake(keys[i], classes[y[i]], classes[predicted[i]], float(sure[i]))
        for i in map(int, np.flatnonzero(predicted != y))
    ]
    return tuple(sorted(wrong, key=lambda mistake: (-mistake.confidence, mistake.key)))
