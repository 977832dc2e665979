"""Confidence intervals and bounds, by hand and by their coverage; classification metrics."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tools_for_tests import ROOT

from baseline.evaluation.intervals import (
    bound_share,
    compare_paired,
    difference_interval,
    effective_groups,
    randomization_test,
    share_interval,
    share_interval_or_none,
)
from baseline.evaluation.metrics import compute_classification_metrics
from baseline.features.graph_backbones import SmallBackbone
from baseline.settings import load_preset
from baseline.train.networks import SmallNet, to_trained_net
from baseline.train.trained_net import GalleryHead
from baseline.train.training import compute_feature_outputs

sys.path.insert(0, str(ROOT / "benchmarks"))
from interval_coverage import CASES, Case, measure

shares = st.integers(2, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(shares)
def test_bound_of_singleton_groups_is_clopper_pearson(case: tuple[int, int]) -> None:
    # Exact without hits, otherwise wider by the uncertainty of the variance.
    hits, count = case
    result = bound_share(np.arange(count) < hits, np.arange(count))
    exact = stats.beta.ppf(0.95, hits + 1, count - hits) if hits < count else 1.0
    assert result >= exact - 1e-9
    if hits == 0:
        assert result == pytest.approx(exact)
    if count >= 100:
        assert result <= exact + 0.2 / count**0.5


def test_repetition_within_groups_keeps_interval() -> None:
    right = np.random.default_rng(0).random(40) < 0.7
    single = share_interval(right, np.arange(40))
    repeated = share_interval(np.repeat(right, 5), np.arange(200) // 5)
    assert tuple(repeated) == pytest.approx(tuple(single), abs=0.005)


def test_single_group_has_no_interval() -> None:
    group = np.zeros(9, np.int64)
    assert bound_share(np.arange(9) < 3, group) == 1
    assert bound_share(group > 0, group) == pytest.approx(0.95)
    assert bound_share(np.zeros(0, bool), np.zeros(0, np.int64)) == 1
    assert share_interval_or_none(group > 0, group) is None


def test_paired_test_counts_groups() -> None:
    other = np.zeros(40, bool)
    groups = [str(i // 4) for i in range(40)]
    this = np.arange(40) < 12
    result = compare_paired(this, other, groups)
    assert result.p == pytest.approx(2 * 0.5**3)
    assert not result.clear
    assert compare_paired(this, other, [str(i) for i in range(40)]).clear
    assert randomization_test([]) == 1
    # By hand: of the 8 signs of 1, 1, 2, three give a sum >= 2 and three a sum <= -2.
    assert randomization_test([1, -1, 2]) == pytest.approx(6 / 8)


@pytest.mark.parametrize("count", [12, 25, 100])
def test_interval_of_equal_runs_is_exact(count: int) -> None:
    result = compare_paired(
        *[np.ones(count, bool)] * 2, [str(i) for i in range(count)]
    ).interval
    limit = stats.beta.ppf(0.975, 1, count)
    assert tuple(result) == pytest.approx((-limit, limit))
    repeated = difference_interval(np.zeros(4 * count), np.arange(4 * count) // 4)
    assert tuple(repeated) == pytest.approx((-limit, limit))


@pytest.mark.parametrize(("count", "gain"), [(12, 0.08), (25, 0.05), (100, 0.05)])
def test_difference_interval_covers_small_gain(count: int, gain: float) -> None:
    # Exact coverage: sum the probabilities of the outcomes whose interval contains the gain.
    groups = np.arange(count)
    intervals = [
        tuple(difference_interval((groups < hits) * 1.0, groups)) for hits in groups
    ]
    chances = stats.binom.pmf(groups, count, gain)
    assert sum(chances[[low <= gain <= high for low, high in intervals]]) >= 0.95


def test_effective_groups_with_unequal_sizes() -> None:
    # Fifteen groups of 30 and 85 singletons are worth 21 groups of equal size.
    sizes = np.where(np.arange(100) < 15, 30, 1)
    groups = np.repeat(np.arange(100), sizes)
    effective = 535**2 / (15 * 900 + 85)
    assert effective_groups(groups) == pytest.approx(effective)
    assert effective_groups(np.arange(40) // 4) == pytest.approx(10)
    assert bound_share(groups < 0, groups) == pytest.approx(1 - 0.05 ** (1 / effective))
    # All errors are singletons: that says little about the large groups.
    low, _ = share_interval(groups < 92, groups)
    assert low < 0.93


RUNS = 40
EACH = 4
"""Simulated worlds of each case, evenly spread."""


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_intervals_reach_nominal_coverage(case: Case) -> None:
    step = max(1, len(case.worlds) // EACH)
    rows = [measure(case, world, RUNS) for world in case.worlds[step // 2 :: step]]
    result = [row for row in rows if row is not None]
    assert result
    assert not [row for row in result if not row.is_nominal]
    # The mean coverage varies less.
    assert sum(row.coverage for row in result) / len(result) >= case.nominal - 0.02


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in CASES if "drawn" in name])
def test_every_simulated_world_is_covered(name: str) -> None:
    rows = [measure(CASES[name], world, 200) for world in CASES[name].worlds]
    assert not [row for row in rows if row is None or not row.is_nominal]


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
    assert result.list_confused_pairs() == []
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
    pairs = compute_classification_metrics(
        logits, y, [str(n) for n in range(24)], "abc"
    ).list_confused_pairs()[:2]
    assert [(pair.true, pair.answer, pair.count, pair.total) for pair in pairs] == [
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
    embedded = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    y = np.array([0, 0, 1])
    settings = load_preset("simple", {"size": "32", "blocks": "4,8", "dense": "2"})
    net = to_trained_net(SmallNet(settings, 2), settings, SmallBackbone(settings))
    keys = ("one", "two", "new")
    net.head = GalleryHead(vectors)
    assert compute_feature_outputs(net, embedded, y, keys).logits.argmax(
        1
    ).tolist() == [
        0,
        0,
        0,
    ]
    net.head = GalleryHead(vectors, (("one", "two"), ("three",)))
    result = compute_feature_outputs(net, embedded, y, keys).logits
    assert result[0].tolist() == pytest.approx([0, 12])
    assert result[1].tolist() == pytest.approx([0, 16])
    assert result[2].tolist() == pytest.approx([20, 12])
