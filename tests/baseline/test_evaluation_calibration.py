"""Calibration error, temperature and intervals, on answers whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from baseline.evaluation.calibration import COLDEST, HOTTEST, calibration, fit_temperature
from baseline.evaluation.figures import evaluate_logits
from baseline.evaluation.intervals import draws, intervals, share_interval
from baseline.evaluation.probabilities import log_softmax, softmax

Drawn = tuple[np.ndarray, np.ndarray]


def honest(count: int, classes: int, seed: int = 0) -> Drawn:
    """Scores, and classes drawn by just these probabilities."""
    random = np.random.default_rng(seed)
    logits = (2 * random.normal(size=(count, classes))).astype(np.float32)
    share = softmax(logits).cumsum(1)
    return logits, (random.random((count, 1)) > share[:, :-1]).sum(1).astype(np.int64)


def test_an_honest_network_is_calibrated_and_an_overconfident_one_is_mended() -> None:
    logits, y = honest(6000, 5)
    assert calibration(softmax(logits), y).ece < 0.02
    assert fit_temperature(logits, y) == pytest.approx(1, abs=0.06)
    loud = logits * 3
    assert calibration(softmax(loud), y).ece > 0.15
    temperature = fit_temperature(loud, y)
    assert temperature == pytest.approx(3, abs=0.2)
    assert calibration(softmax(loud, temperature), y).ece < 0.03


def test_ece_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.35, 0.65]])
    y = np.array([0, 1, 0, 1])
    # 0.9 is right once of two; 0.6 and 0.65 (bins of a tenth: .5-.6 and .6-.7) both.
    told = calibration(probabilities, y, bins=10)
    assert told.ece == pytest.approx((2 * abs(0.9 - 0.5) + (1 - 0.6) + (1 - 0.65)) / 4)
    assert [one.count for one in told.bins] == [0, 0, 0, 0, 0, 1, 1, 0, 2, 0]


scores = st.integers(2, 5).flatmap(
    lambda classes: hnp.arrays(
        np.float32,
        st.tuples(st.integers(2, 30), st.just(classes)),
        elements=st.floats(-20, 20, width=32),
    )
)


@settings(max_examples=40)
@given(scores, st.integers(0, 10**6))
def test_any_scores_give_a_temperature_within_bounds(logits: np.ndarray, seed: int) -> None:
    y = np.random.default_rng(seed).integers(0, logits.shape[1], len(logits))
    temperature = fit_temperature(logits, y)
    assert COLDEST * 0.999 <= temperature <= HOTTEST * 1.001
    told = calibration(softmax(logits, temperature), y)
    assert 0 <= told.ece <= 1
    assert sum(one.count for one in told.bins) == len(y)
    # The smoothed loss, which is what is made small, is nowhere smaller nearby.
    slip = 1 / (len(y) + 2)
    wanted = np.full(logits.shape, slip / logits.shape[1])
    wanted[np.arange(len(y)), y] += 1 - slip

    def loss(at: float) -> float:
        return float(-(wanted * log_softmax(logits, at)).sum())

    for factor in (0.8, 1.25):
        near = min(max(temperature * factor, COLDEST), HOTTEST)
        assert loss(temperature) <= loss(near) + 1e-6 * max(1, loss(near))


def test_without_a_mistake_on_val_it_does_not_become_certain() -> None:
    y = np.arange(20) % 2
    logits = np.stack((1 - y, y), 1).astype(np.float32) * 4
    assert softmax(logits, fit_temperature(logits, y)).max() < 0.99
    assert fit_temperature(logits[:1], y[:1]) == 1
    assert fit_temperature(logits[:, :1], np.zeros(20, np.int64)) == 1


def test_the_interval_of_independent_pictures_is_that_of_the_textbook() -> None:
    logits, y = honest(900, 3, 4)
    told = intervals(logits, y, [str(i) for i in range(900)])
    accuracy = float((logits.argmax(1) == y).mean())
    half = 1.96 * (accuracy * (1 - accuracy) / 900) ** 0.5
    assert told["accuracy"] == pytest.approx((accuracy - half, accuracy + half), abs=0.006)
    figures = evaluate_logits(logits, y, [str(i) for i in range(900)], "abc")
    assert told["log_loss"].low < figures.log_loss < told["log_loss"].high
    assert told["macro_f1"].low < figures.macro_f1 < told["macro_f1"].high


def test_frames_of_one_scene_make_the_interval_wider() -> None:
    logits, y = honest(60, 3, 1)
    alone = intervals(logits, y, [str(i) for i in range(60)])["accuracy"]
    repeated = np.repeat(logits, 10, axis=0), np.repeat(y, 10)
    scenes = intervals(*repeated, [str(i // 10) for i in range(600)])["accuracy"]
    naive = intervals(*repeated, [str(i) for i in range(600)])["accuracy"]
    assert scenes == pytest.approx(alone, abs=0.03)
    assert naive.high - naive.low < 0.5 * (scenes.high - scenes.low)


@pytest.mark.parametrize("each", [1, 4])
def test_the_interval_of_a_small_test_set_holds_the_truth(each: int) -> None:
    """25 moments of so many frames that are right together, four of five moments."""
    random, held = np.random.default_rng(each), 0
    groups = np.repeat(np.arange(25), each)
    drawn = draws(25)
    for _ in range(300):
        right = np.repeat(random.random(25) < 0.8, each)
        low, high = share_interval(right, groups, drawn)
        held += low <= 0.8 <= high
    assert 0.93 < held / 300 < 0.995


def test_all_right_is_not_certain_and_one_moment_tells_nothing() -> None:
    logits = np.tile(np.array([[9, 0]], np.float32), (10, 1))
    y = np.zeros(10, np.int64)
    low, high = intervals(logits, y, [str(i // 2) for i in range(10)])["accuracy"]
    assert high == pytest.approx(1)
    assert low == pytest.approx(0.566, abs=0.001)  # Wilson, 5 of 5
    assert intervals(logits, y, ["one"] * 10) == {}
    assert intervals(logits[:0], y[:0], []) == {}
