"""Retrieval, verification and open sets, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baseline.judge.outputs import Outputs
from baseline.judge.retrieval import (
    Embeddings,
    open_set_metrics,
    retrieval_metrics,
    roc_curve_of,
    unit_embeddings,
    verification_metrics,
)


def vectors(embeddings: np.ndarray, y: np.ndarray, moments: np.ndarray | None = None) -> Embeddings:
    keys = tuple(str(i) for i in range(len(y)))
    told = Outputs(np.zeros((len(y), 1), np.float32), y, keys, embeddings.astype(np.float32))
    return unit_embeddings(told, np.arange(len(y)) if moments is None else moments)


def clusters(classes: int, each: int, noise: float, seed: int = 0) -> Embeddings:
    random = np.random.default_rng(seed)
    y = np.repeat(np.arange(classes), each)
    centres = 3 * random.normal(size=(classes, 12))
    return vectors(centres[y] + noise * random.normal(size=(len(y), 12)), y)


def test_agrees_with_sklearn_query_by_query() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    told = clusters(5, 8, 4.0)
    cosines = told.unit @ told.unit.T
    others = ~np.eye(40, dtype=bool)
    same = told.y[:, None] == told.y
    average = [
        metrics.average_precision_score(same[i, others[i]], cosines[i, others[i]])
        for i in range(40)
    ]
    found = retrieval_metrics(told, told)
    assert found is not None
    assert found.mean_average_precision == pytest.approx(np.mean(average))
    order = [np.flatnonzero(others[i])[np.argsort(-cosines[i, others[i]])] for i in range(40)]
    assert found.recall_at_1 == np.mean([same[i, row[0]] for i, row in enumerate(order)])
    assert found.recall_at_5 == np.mean([same[i, row[:5]].any() for i, row in enumerate(order)])

    pairs = verification_metrics(told, told)
    assert pairs is not None
    scores, truth = cosines[others], same[others]
    assert pairs.auc == pytest.approx(metrics.roc_auc_score(truth, scores), abs=1e-6)
    false, true, _ = metrics.roc_curve(truth, scores, drop_intermediate=False)
    assert pairs.true_positive_rate["0.01"] == pytest.approx(true[false <= 0.01].max())
    crossing = np.argmin(np.abs(false - (1 - true)))
    assert pairs.equal_error_rate == pytest.approx(false[crossing], abs=0.02)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=60).filter(
        lambda rows: len({positive for _, positive in rows}) == 2
    )
)
def test_the_area_counts_ties_as_half(rows: list[tuple[int, bool]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    scores = np.array([score for score, _ in rows], np.float64)
    positive = np.array([kind for _, kind in rows])
    curve = roc_curve_of(scores, positive)
    assert curve is not None
    assert curve.area == pytest.approx(metrics.roc_auc_score(positive, scores))
    assert 0 <= curve.equal_error() <= 1
    assert curve.points()[0] == (0, 0)
    assert curve.points()[-1] == (1, 1)


def test_the_next_frame_of_a_scene_does_not_count() -> None:
    embeddings = np.array([[1, 0], [1, 0.01], [0, 1], [0.1, 1]])
    y = np.array([0, 0, 1, 1])
    alone, scenes = np.arange(4), np.array([0, 0, 1, 2])
    found = retrieval_metrics(*[vectors(embeddings, y, alone)] * 2)
    assert found is not None
    assert (found.queries, found.recall_at_1) == (4, 1)
    honest = retrieval_metrics(*[vectors(embeddings, y, scenes)] * 2)
    assert honest is not None
    assert honest.queries == 2  # the two of class 0 have nothing left to be found


def test_nothing_to_find() -> None:
    one = vectors(np.eye(3), np.arange(3))
    assert retrieval_metrics(one, one) is None
    assert verification_metrics(one, one) is None
    same = vectors(np.eye(3), np.zeros(3, np.int64))
    assert verification_metrics(same, same) is None
    empty = vectors(np.zeros((0, 3)), np.zeros(0, np.int64))
    assert retrieval_metrics(empty, empty) is None
    assert open_set_metrics(same, same) is None


def test_too_few_pairs_for_a_small_rate_is_said() -> None:
    told = verification_metrics(*[clusters(4, 5, 0.1)] * 2)
    assert told is not None
    assert told.true_positive_rate["0.001"] is None
    assert told.true_positive_rate["0.01"] == 1


def test_pairs_of_frames_are_no_more_pairs_of_moments() -> None:
    """Four scenes have twelve pairs, however many frames they have."""
    many = clusters(4, 50, 0.1)
    scenes = Embeddings(many.unit, many.y, many.y)
    told = verification_metrics(scenes, Embeddings(many.unit, many.y, many.y + 4))
    assert told is not None
    assert told.pairs == 40_000
    assert told.true_positive_rate == {"0.01": None, "0.001": None}
    found = retrieval_metrics(scenes, Embeddings(many.unit, many.y, many.y + 4))
    assert found is not None
    assert (found.recall_at_1, found.interval) == (1, (pytest.approx(0.025 ** (1 / 4)), 1))


def test_unknown_classes_are_told_apart_as_far_as_the_embedding_goes() -> None:
    good, poor = (
        open_set_metrics(*[clusters(8, 10, 0.3)] * 2),
        open_set_metrics(*[clusters(8, 10, 12.0)] * 2),
    )
    assert good is not None
    assert poor is not None
    assert good.auroc > 0.999
    assert good.named == 1
    assert 0.4 < poor.auroc < 0.75
    assert poor.named < 0.4
    zero = vectors(np.zeros((9, 4)), np.repeat(np.arange(3), 3))
    lost = open_set_metrics(zero, zero)
    assert lost is not None
    assert lost.auroc == 0.5
