"""Classification and retrieval metrics against scikit-learn and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from baseline.evaluation.metrics import (
    Embeddings,
    compute_classification_metrics,
    compute_retrieval_metrics,
    normalize_embeddings,
)
from baseline.evaluation.outputs import Outputs
from baseline.settings import load_preset
from baseline.train.methods.training_data import feature_outputs
from baseline.train.networks import build_net, to_trained_net
from baseline.train.trained_net import GalleryHead

# True and predicted: a a, a b, b b, b b, c b, c a.
PROBABILITIES = np.array(
    [
        [0.8, 0.1, 0.1],
        [0.3, 0.6, 0.1],
        [0.2, 0.5, 0.3],
        [0.1, 0.7, 0.2],
        [0.05, 0.9, 0.05],
        [0.5, 0.1, 0.4],
    ]
)
TRUE = np.array([0, 0, 1, 1, 2, 2])
KEYS = [f"k{i}" for i in range(6)]


def test_metrics_match_hand_calculation() -> None:
    logits = (np.log(PROBABILITIES) + 3).astype(np.float32)
    result = compute_classification_metrics(logits, TRUE, KEYS, "abc")
    assert result.accuracy == pytest.approx(3 / 6)
    losses = [-math.log(p) for p in (0.8, 0.3, 0.5, 0.7, 0.05, 0.4)]
    assert result.log_loss == pytest.approx(sum(losses) / 6, rel=1e-6)
    assert result.confusion == [[1, 1, 0], [0, 2, 0], [1, 1, 0]]
    a, b, c = result.classes
    assert (a.precision, a.recall, a.f1, a.support) == (0.5, 0.5, 0.5, 2)
    assert (b.precision, b.recall, b.support) == (0.5, 1.0, 2)
    assert b.f1 == pytest.approx(2 / 3)
    assert (c.precision, c.recall, c.f1, c.support) == (0.0, 0.0, 0.0, 2)
    assert result.macro_f1 == pytest.approx((0.5 + 2 / 3) / 3)
    assert result.top5_accuracy is None
    assert result.confused() == []
    assert [(m.key, m.true, m.predicted) for m in result.mistakes] == [
        ("k4", "c", "b"),
        ("k1", "a", "b"),
        ("k5", "c", "a"),
    ]
    assert [m.confidence for m in result.mistakes] == pytest.approx([0.9, 0.6, 0.5])


def test_confusions_are_sorted_by_count() -> None:
    y = np.array([0] * 7 + [1] * 13 + [2] * 4)
    predicted = [0] * 5 + [1] * 2 + [1] * 9 + [2] * 4 + [0] + [2] * 3
    logits = np.eye(3, dtype=np.float32)[predicted]
    pairs = compute_classification_metrics(logits, y, [str(n) for n in range(24)], "abc").confused(
        2
    )
    assert [(pair.true, pair.answered, pair.count, pair.total) for pair in pairs] == [
        ("b", "c", 4, 13),
        ("a", "b", 2, 7),
    ]


def test_class_without_images_is_ignored() -> None:
    logits = np.array([[9, 0, 0], [0, 9, 0]], np.float32)
    result = compute_classification_metrics(logits, np.array([0, 1]), ["x", "y"], "abc")
    assert result.macro_f1 == result.accuracy == 1
    assert result.classes[2].support == 0


def test_gallery_image_is_not_compared_with_itself() -> None:
    # a: two images; b: one, repeated.
    vectors = np.array([[[1.0, 0], [0, 1]], [[0.6, 0.8], [0.6, 0.8]]], np.float32)
    embedded, y = np.array([[1, 0], [0, 1], [1, 0]], np.float32), np.array([0, 0, 1])
    settings = load_preset("simple", {"size": "32", "blocks": "4,8", "dense": "2"})
    net = to_trained_net(build_net(settings, 2), settings)
    keys = ("one", "two", "new")
    net.head = GalleryHead(vectors)
    assert feature_outputs(net, embedded, y, keys).logits.argmax(1).tolist() == [0, 0, 0]
    net.head = GalleryHead(vectors, (("one", "two"), ("three",)))
    result = feature_outputs(net, embedded, y, keys).logits
    assert result[0].tolist() == pytest.approx([0, 12])
    assert result[1].tolist() == pytest.approx([0, 16])
    assert result[2].tolist() == pytest.approx([20, 12])


def vectors(embeddings: np.ndarray, y: np.ndarray, groups: np.ndarray | None = None) -> Embeddings:
    keys = tuple(str(i) for i in range(len(y)))
    outputs = Outputs(np.zeros((len(y), 1), np.float32), y, keys, embeddings.astype(np.float32))
    return normalize_embeddings(outputs, np.arange(len(y)) if groups is None else groups)


def clusters(classes: int, each: int, noise: float, seed: int = 0) -> Embeddings:
    random = np.random.default_rng(seed)
    y = np.repeat(np.arange(classes), each)
    centres = 3 * random.normal(size=(classes, 12))
    return vectors(centres[y] + noise * random.normal(size=(len(y), 12)), y)


def test_retrieval_metrics_match_sklearn() -> None:
    drawn = clusters(5, 8, 4.0)
    cosines = drawn.unit @ drawn.unit.T
    others = ~np.eye(40, dtype=bool)
    same = drawn.y[:, None] == drawn.y
    average = [
        metrics.average_precision_score(same[i, others[i]], cosines[i, others[i]])
        for i in range(40)
    ]
    figures = compute_retrieval_metrics(drawn, drawn)
    assert figures is not None
    assert figures.mean_average_precision == pytest.approx(np.mean(average))
    order = [np.flatnonzero(others[i])[np.argsort(-cosines[i, others[i]])] for i in range(40)]
    assert figures.recall_at_1 == np.mean([same[i, row[0]] for i, row in enumerate(order)])
    assert figures.recall_at_5 == np.mean([same[i, row[:5]].any() for i, row in enumerate(order)])


def test_retrieval_ignores_same_group() -> None:
    embeddings = np.array([[1, 0], [1, 0.01], [0, 1], [0.1, 1]])
    y = np.array([0, 0, 1, 1])
    singletons, scenes = np.arange(4), np.array([0, 0, 1, 2])
    figures = compute_retrieval_metrics(*[vectors(embeddings, y, singletons)] * 2)
    assert figures is not None
    assert (figures.queries, figures.recall_at_1) == (4, 1)
    by_scene = compute_retrieval_metrics(*[vectors(embeddings, y, scenes)] * 2)
    assert by_scene is not None
    assert by_scene.queries == 2  # the two images of class 0 are one group


def test_retrieval_without_matches_is_none() -> None:
    lone = vectors(np.eye(3), np.arange(3))
    assert compute_retrieval_metrics(lone, lone) is None
    empty = vectors(np.zeros((0, 3)), np.zeros(0, np.int64))
    assert compute_retrieval_metrics(empty, empty) is None


def test_retrieval_interval_counts_groups() -> None:
    many = clusters(4, 50, 0.1)
    scenes = Embeddings(many.unit, many.y, many.y)
    figures = compute_retrieval_metrics(scenes, Embeddings(many.unit, many.y, many.y + 4))
    assert figures is not None
    assert (figures.recall_at_1, figures.interval) == (1, (pytest.approx(0.025 ** (1 / 4)), 1))
