"""Calibration error and temperature scaling on simulated networks."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from baseline.evaluation.outputs import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    calibration_error,
    fit_calibration,
    log_softmax,
    softmax,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benchmarks"))
from calibrated_nets import Net, draw_scores, train_balanced

LogitsAndLabels = tuple[np.ndarray, np.ndarray]


def sample_calibrated(count: int, classes: int, seed: int = 0) -> LogitsAndLabels:
    """Draw logits, and labels with exactly their probabilities."""
    random = np.random.default_rng(seed)
    logits = (2 * random.normal(size=(count, classes))).astype(np.float32)
    share = softmax(logits).cumsum(1)
    return logits, (random.random((count, 1)) > share[:, :-1]).sum(1).astype(np.int64)


def singleton_groups(count: int) -> list[str]:
    return [str(i) for i in range(count)]


def test_temperature_fixes_overconfident_network() -> None:
    logits, y = sample_calibrated(6000, 5)
    assert calibration_error(softmax(logits), y).ece < 0.02
    assert fit_calibration(
        logits, y, singleton_groups(6000)
    ).temperature == pytest.approx(1, abs=0.06)
    loud = logits * 3
    assert calibration_error(softmax(loud), y).ece > 0.15
    fitted = fit_calibration(loud, y, singleton_groups(6000))
    assert fitted.temperature == pytest.approx(3, abs=0.2)
    assert calibration_error(softmax(loud / fitted.temperature), y).ece < 0.03


def test_ece_matches_hand_calculation() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.35, 0.65]])
    y = np.array([0, 1, 0, 1])
    # Confidence 0.9: 1 of 2 correct; 0.6 and 0.65, in bins .53-.6 and .6-.67: all correct.
    result = calibration_error(probabilities, y)
    assert result.ece == pytest.approx(
        (2 * abs(0.9 - 0.5) + (1 - 0.6) + (1 - 0.65)) / 4
    )
    counts = [row.count for row in result.bins]
    assert counts == [*[0] * 8, 1, 1, 0, 0, 0, 2, 0]


scores = st.integers(2, 5).flatmap(
    lambda classes: hnp.arrays(
        np.float32,
        st.tuples(st.integers(2, 30), st.just(classes)),
        elements=st.floats(-20, 20, width=32),
    )
)


@settings(max_examples=40)
@given(scores, st.integers(0, 10**6))
def test_temperature_is_bounded_for_any_logits(logits: np.ndarray, seed: int) -> None:
    y = np.random.default_rng(seed).integers(0, logits.shape[1], len(logits))
    fitted = fit_calibration(logits, y, singleton_groups(len(y)))
    assert MIN_TEMPERATURE * 0.999 <= fitted.temperature <= MAX_TEMPERATURE * 1.001
    result = calibration_error(softmax(logits / fitted.temperature), y)
    assert 0 <= result.ece <= 1
    assert sum(row.count for row in result.bins) == len(y)

    def loss(at: float) -> float:
        return float(-log_softmax(logits / at)[np.arange(len(y)), y].mean())

    assert loss(fitted.temperature) <= loss(1.0) + 1e-6


def test_small_correct_val_keeps_temperature_near_one() -> None:
    # With smoothed targets the temperature would be 4.9.
    y = np.arange(10) % 2
    logits = (
        np.stack((1 - y, y), 1).astype(np.float32) * np.linspace(10, 24, 10)[:, None]
    )
    fitted = fit_calibration(logits.astype(np.float32), y, singleton_groups(10))
    assert fitted.temperature == pytest.approx(1, abs=0.05)
    assert fitted.describe() == (
        "temperature 1.00 (10 images of val, 10 groups), not significantly different from 1"
    )


def test_too_little_val_is_not_calibrated() -> None:
    logits, y = sample_calibrated(20, 3)
    single = fit_calibration(logits[:1], y[:1], ["a"])
    assert single.temperature == 1.0
    assert single.describe().startswith("not calibrated: no images in val")
    one_class = fit_calibration(
        logits[:, :1], np.zeros(20, np.int64), singleton_groups(20)
    )
    assert one_class.temperature == 1.0


def test_calibration_counts_groups() -> None:
    logits, y = sample_calibrated(12, 4, 2)
    loud = logits * 4
    single = fit_calibration(loud, y, singleton_groups(12))
    repeated = np.repeat(loud, 8, axis=0), np.repeat(y, 8)
    scenes = fit_calibration(*repeated, [str(i // 8) for i in range(96)])
    frames = fit_calibration(*repeated, singleton_groups(96))
    assert scenes.temperature == pytest.approx(single.temperature, rel=1e-3)
    assert (scenes.images, scenes.groups) == (96, 12)
    assert frames.temperature > 1.3 * scenes.temperature


NETS = [
    Net(classes, skill, confidence)
    for classes in (2, 6)
    for skill in (2.0, 5.0)
    for confidence in (0.6, 1.0, 1.6, 4.0)
]
"""Underconfident to strongly overconfident networks."""


@pytest.mark.parametrize(("groups", "max_size"), [(4, 1), (25, 4)])
def test_small_val_never_raises_log_loss(groups: int, max_size: int) -> None:
    for net in NETS:
        drawn = [draw_scores(net, groups, max_size, seed) for seed in range(12)]
        fits = [
            fit_calibration(sample.logits, sample.y, sample.groups) for sample in drawn
        ]
        new_images = draw_scores(net, 3000, 1, seed=99)
        raw = new_images.loss(1.0)
        fitted = np.array([new_images.loss(fit.temperature) for fit in fits])
        noise = fitted.std() / 12**0.5
        assert fitted.mean() <= raw * 1.01 + noise, net
        if net.confidence == 4.0 and groups >= 25:
            assert fitted.mean() < 0.9 * raw, net


def _log_loss(scores: np.ndarray, y: np.ndarray) -> float:
    return float(-log_softmax(scores)[np.arange(len(y)), y].mean())


def test_calibration_corrects_class_balancing() -> None:
    # A class of 8 %, weighted to one half: its mean probability is .36 without correction.
    head = train_balanced(4, 1.0, 400, 0)
    test = head.draw_scores(4000, 1)
    assert softmax(test.logits)[:, 1].mean() > 0.3
    fitted = fit_calibration(*head.draw_scores(100, 2), head.shift)
    assert fitted.share > 0.7
    assert "of the effect of class balancing corrected" in fitted.describe()
    calibrated = fitted.apply(test.logits)
    assert softmax(calibrated)[:, 1].mean() == pytest.approx(test.y.mean(), abs=0.04)
    assert _log_loss(calibrated, test.y) < 0.55 * _log_loss(test.logits, test.y)
    # A temperature alone does not correct it.
    single = fit_calibration(*head.draw_scores(100, 2))
    assert (single.share, single.offsets) == (None, ())
    assert _log_loss(single.apply(test.logits), test.y) > 0.9 * _log_loss(
        test.logits, test.y
    )


@pytest.mark.parametrize("pictures", [10, 50])
def test_separable_data_needs_no_balancing_correction(pictures: int) -> None:
    # With more features than images, class weights have no effect.
    changes = []
    for seed in range(8):
        head = train_balanced(300, 3.0, 80, seed)
        test = head.draw_scores(2000, seed + 100)
        fitted = fit_calibration(*head.draw_scores(pictures, seed + 200), head.shift)
        before = _log_loss(test.logits, test.y)
        changes.append(_log_loss(fitted.apply(test.logits), test.y) - before)
        assert _log_loss(test.logits + head.shift, test.y) > before
    noise = float(np.std(changes)) / 8**0.5
    assert np.mean(changes) <= noise
