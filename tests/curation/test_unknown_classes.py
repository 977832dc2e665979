"""Confidence of samples whose class has no label."""

from __future__ import annotations

import numpy as np
import pytest

from curation.similarity.class_learning import Floats, Indices, LearnedClasses, Rows, learn_classes
from curation.similarity.unknown_classes import MIN_CLASSES
from gleanset.db.proposals import PrelabelSample

PER_CLASS, LABELS = 40, 12


def draw_classes(count: int) -> tuple[Rows, Indices]:
    """Return unit vectors around class centers, and their class numbers."""
    random = np.random.default_rng(count)
    y = np.repeat(np.arange(count), PER_CLASS)
    centers = random.normal(size=(count, 48))
    rows = centers[y] + random.normal(0, 1.1, (len(y), 48))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32), y


def learn(
    vectors: Rows, y: Indices, labelled_classes: int, hints: dict[int, str] | None = None
) -> LearnedClasses:
    """Learn from `LABELS` samples of each of the first classes."""
    is_labelled = (y < labelled_classes) & (np.arange(len(y)) % PER_CLASS < LABELS)
    samples = []
    for row, number in enumerate(y.tolist()):
        status, label = ("labelled", str(number)) if is_labelled[row] else ("queue", None)
        hint = (hints or {}).get(row)
        samples.append(PrelabelSample(f"{row:04}", status, label, None, (), hint, frozenset()))
    model = learn_classes(
        samples, vectors, {sample.key: sample.key for sample in samples}, open_set=True
    )
    assert model is not None
    return model


def first_confidences(model: LearnedClasses) -> Floats:
    """Return the confidence of the first suggestion of each sample."""
    return np.array([top[0].confidence if top else 0.0 for top in model.likeliest])


@pytest.mark.parametrize("unlabelled_classes", [0, 1, 4])
def test_expected_errors_include_unlabelled_classes(unlabelled_classes: int) -> None:
    vectors, y = draw_classes(8 + unlabelled_classes)
    model = learn(vectors, y, 8)
    pending = (y >= 8) | (np.arange(len(y)) % PER_CLASS >= LABELS)
    confidences = first_confidences(model)[pending]
    wrong = (model.probabilities.argmax(1) != y)[pending]
    assert (1 - confidences).sum() == pytest.approx(wrong.sum(), abs=15)
    assert np.median(confidences[y[pending] < 8]) > 0.9
    if unlabelled_classes:
        assert np.median(confidences[y[pending] >= 8]) < 0.5


def test_few_classes_get_closed_set_probabilities() -> None:
    # A class that is left out of four changes the model too much to stand for another one.
    vectors, y = draw_classes(MIN_CLASSES)
    model = learn(vectors, y, MIN_CLASSES - 1)
    assert model.probabilities.sum(1) == pytest.approx(np.ones(len(y)))


def test_weak_label_is_evidence_for_labelled_class() -> None:
    vectors, y = draw_classes(10)
    hints = {row: str(number) for row, number in enumerate(y.tolist()) if number < 8}
    newcomer = int(np.flatnonzero(y == 9)[0])
    plain = first_confidences(learn(vectors, y, 8, hints))[newcomer]
    likeliest = learn(vectors, y, 8, hints).likeliest[newcomer][0].label
    assert first_confidences(learn(vectors, y, 8, hints | {newcomer: likeliest}))[newcomer] > plain
