"""Classification metrics by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from baseline.evaluation.metrics import compute_classification_metrics
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
