"""What is unfamiliar is called unknown, no more often than promised, by every engine alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr

from baseline.data.pixels import Pixels
from baseline.judge.answers import (
    FILE,
    UNKNOWN,
    DecisionRule,
    decide,
    familiarity_of,
    fit_feature_scale,
    load_feature_scale,
    save_feature_scale,
)
from baseline.judge.outputs import Floats, Indices
from baseline.judge.thresholds import choose_familiarity
from baseline.use.engines.base import ModelFacts, NetworkOutputs
from baseline.use.model import Model
from gleanset.errors import InputUnusable


def drawn(
    moments: int, alike: float, random: np.random.Generator, most: int = 8
) -> tuple[Floats, Indices]:
    """Familiarities (normal, to be thought of on any scale) of moments of 1 to `most` pictures."""
    groups = np.repeat(np.arange(moments), random.integers(1, most + 1, moments))
    own, shared = random.normal(size=len(groups)), random.normal(size=moments)[groups]
    return alike**0.5 * shared + (1 - alike) ** 0.5 * own, groups


@pytest.mark.parametrize(("moments", "alike"), [(19, 0.95), (45, 0.5), (150, 0.0)])
def test_no_more_known_pictures_are_unknown_than_promised(moments: int, alike: float) -> None:
    random = np.random.default_rng(moments)
    found = [choose_familiarity(*drawn(moments, alike, random), 0.05) for _ in range(800)]
    truth = ndtr([one.below for one in found])  # the share of all pictures that is below
    assert all(one.promised for one in found)
    error = float(truth.std() / len(truth) ** 0.5)
    assert truth.mean() <= 0.05 + 2 * error
    assert truth.mean() > 0.05 / 5  # the promise is not kept by never saying unknown
    assert np.mean(truth <= [one.at_most for one in found]) >= 0.93


@pytest.mark.parametrize(("moments", "most"), [(14, 8), (45, 1)])
def test_as_many_other_pictures_seldom_exceed_the_bound(moments: int, most: int) -> None:
    """What a test as large as val shows wanders more than what is true of all pictures."""
    random = np.random.default_rng(moments)
    over = []
    for _ in range(600):
        val, test = (drawn(moments, 0.9, random, most) for _ in "vt")
        found = choose_familiarity(*val, 0.05)
        over.append((test[0] < found.below).mean() > found.at_most + 1e-9)
    assert np.mean(over) <= 0.06


def test_few_moments_promise_what_they_can() -> None:
    random = np.random.default_rng(1)
    found = [choose_familiarity(*drawn(9, 0.5, random), 0.05) for _ in range(800)]
    assert {(one.promised, one.needed, one.unknown) for one in found} == {(False, 19, 0)}
    assert found[0].on_average == pytest.approx(0.1)
    assert ndtr([one.below for one in found]).mean() <= 0.11
    with pytest.raises(InputUnusable, match="val is empty"):
        choose_familiarity(np.zeros(0), [], 0.05)


def test_the_frames_of_one_moment_are_one_case() -> None:
    # 38 moments, of which one has 40 odd frames: one case of 39, though half of the pictures.
    familiarity = np.append(np.linspace(0.5, 0.9, 38), np.full(40, 0.1))
    moments = np.append(np.arange(38), np.full(40, 38))
    found = choose_familiarity(familiarity, moments, 0.05)
    assert 0.1 < found.below < 0.5
    assert (found.unknown, found.moments) == (40, 39)
    assert found.at_most > 0.5


def test_what_lies_farther_out_is_less_familiar() -> None:
    random = np.random.default_rng(0)
    train = random.normal(3, (1, 5, 0.0), (200, 3)).astype(np.float32)
    scale = fit_feature_scale(train)
    distances = scale.distances(train)
    assert distances.mean() == pytest.approx(1, abs=1e-3)
    out = np.array([[3, 3, 3], [9, 3, 3], [3, 33, 3]], np.float32)
    near, far, wide = scale.distances(out)
    assert near < 1 < far
    assert far == pytest.approx(wide, rel=0.2)
    scores = np.array([[4.0, 0, 0]] * 3)
    told = familiarity_of(scores, scale.distances(out))
    assert told[0] > told[1]
    assert ((told > 1 / 3) & (told <= 1)).all()
    # Scores or their log probabilities: the same.
    assert familiarity_of(scores - 7, distances[:3]) == pytest.approx(
        familiarity_of(scores, distances[:3])
    )


def test_the_scale_is_kept_beside_the_weights(tmp_path: Path) -> None:
    assert load_feature_scale(tmp_path) is None
    scale = fit_feature_scale(np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32))
    save_feature_scale(tmp_path, scale)
    assert load_feature_scale(tmp_path) == scale
    (tmp_path / FILE).write_text('{"mean": [1]}')
    with pytest.raises(InputUnusable, match="train again"):
        load_feature_scale(tmp_path)


def test_the_unfamiliar_are_unknown_where_their_familiarity_is_known() -> None:
    logits = np.array([[5, 0], [5, 0], [0, 5], [1, 0]], np.float32)
    rule = DecisionRule(unfamiliar_below=0.5)
    familiarity = np.array([0.9, 0.2, 0.6, 0.7])
    assert decide(logits, ("x", "y"), rule, familiarity).classes.tolist() == [0, UNKNOWN, 1, 0]
    assert decide(logits, ("x", "y"), rule).classes.tolist() == [0, 0, 1, 0]


class GalleryEngine:
    """An engine of known pictures that was told the likeness of each."""

    def __init__(self, below: float) -> None:
        self.facts = ModelFacts(
            "r", 8, ("a", "b"), DecisionRule(unfamiliar_below=below), (("k",), ("l",))
        )

    def __call__(self, pictures: Pixels) -> NetworkOutputs:
        likeness = np.array([[[0.9], [0.1]], [[0.2], [0.4]]], np.float32)
        even = np.full((2, 2), 0.5, np.float32)
        return NetworkOutputs(even, even, likeness)


def test_a_gallery_knows_by_the_likeness_of_the_nearest() -> None:
    told = Model(GalleryEngine(0.5)).answers_to(np.zeros((2, 8, 8, 3), np.uint8))
    assert [one.familiarity for one in told] == pytest.approx([0.9, 0.4])
    assert [one.label for one in told] == ["a", None]
