"""Retrieval, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from baseline.judge.metrics import (
    Embeddings,
    retrieval_metrics,
    unit_embeddings,
)
from baseline.judge.outputs import Outputs


def vectors(embeddings: np.ndarray, y: np.ndarray, moments: np.ndarray | None = None) -> Embeddings:
    keys = tuple(str(i) for i in range(len(y)))
    outputs = Outputs(np.zeros((len(y), 1), np.float32), y, keys, embeddings.astype(np.float32))
    return unit_embeddings(outputs, np.arange(len(y)) if moments is None else moments)


def clusters(classes: int, each: int, noise: float, seed: int = 0) -> Embeddings:
    random = np.random.default_rng(seed)
    y = np.repeat(np.arange(classes), each)
    centres = 3 * random.normal(size=(classes, 12))
    return vectors(centres[y] + noise * random.normal(size=(len(y), 12)), y)


def test_agrees_with_sklearn_query_by_query() -> None:
    drawn = clusters(5, 8, 4.0)
    cosines = drawn.unit @ drawn.unit.T
    others = ~np.eye(40, dtype=bool)
    same = drawn.y[:, None] == drawn.y
    average = [
        metrics.average_precision_score(same[i, others[i]], cosines[i, others[i]])
        for i in range(40)
    ]
    figures = retrieval_metrics(drawn, drawn)
    assert figures is not None
    assert figures.mean_average_precision == pytest.approx(np.mean(average))
    order = [np.flatnonzero(others[i])[np.argsort(-cosines[i, others[i]])] for i in range(40)]
    assert figures.recall_at_1 == np.mean([same[i, row[0]] for i, row in enumerate(order)])
    assert figures.recall_at_5 == np.mean([same[i, row[:5]].any() for i, row in enumerate(order)])


def test_the_next_frame_of_a_scene_does_not_count() -> None:
    embeddings = np.array([[1, 0], [1, 0.01], [0, 1], [0.1, 1]])
    y = np.array([0, 0, 1, 1])
    alone, scenes = np.arange(4), np.array([0, 0, 1, 2])
    figures = retrieval_metrics(*[vectors(embeddings, y, alone)] * 2)
    assert figures is not None
    assert (figures.queries, figures.recall_at_1) == (4, 1)
    honest = retrieval_metrics(*[vectors(embeddings, y, scenes)] * 2)
    assert honest is not None
    assert honest.queries == 2  # the two of class 0 have nothing left to be found


def test_nothing_to_find() -> None:
    lone = vectors(np.eye(3), np.arange(3))
    assert retrieval_metrics(lone, lone) is None
    empty = vectors(np.zeros((0, 3)), np.zeros(0, np.int64))
    assert retrieval_metrics(empty, empty) is None


def test_frames_are_no_more_witnesses_than_their_moments() -> None:
    """Four scenes are four, however many frames they have."""
    many = clusters(4, 50, 0.1)
    scenes = Embeddings(many.unit, many.y, many.y)
    figures = retrieval_metrics(scenes, Embeddings(many.unit, many.y, many.y + 4))
    assert figures is not None
    assert (figures.recall_at_1, figures.interval) == (1, (pytest.approx(0.025 ** (1 / 4)), 1))
