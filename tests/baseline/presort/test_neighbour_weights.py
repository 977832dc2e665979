"""What parts of the features count where samples are compared, told by their neighbours' vote."""

from __future__ import annotations

import numpy as np
import pytest

from baseline.features.backbone import FeatureLayer, FeaturePart
from baseline.features.texture import ExpectedWeights
from baseline.presort.neighbour_weights import choose_neighbour_weights
from baseline.train.methods.part_weights import PartWeights

PARTS = (
    FeaturePart("network", True, (FeatureLayer(8),)),
    FeaturePart("colours", False, (FeatureLayer(8),)),
)
EXPECTED = ExpectedWeights((1.0, 0.5), "as expected")
Rows = np.ndarray[tuple[int, int], np.dtype[np.float64]]


def chosen(network: Rows, colours: Rows, y: np.ndarray, groups: np.ndarray) -> PartWeights:
    """The weights for parts (N x 8 each) that are brought to the same variance."""
    parts = [part - part.mean(0) for part in (network, colours)]
    x = np.concatenate([part / np.sqrt((part**2).sum(1).mean()) for part in parts], axis=1)
    names = [f"moment {group}" for group in groups]
    return choose_neighbour_weights(x, PARTS, y, np.ones(len(y)), names, 0, EXPECTED)


def spread(places: np.ndarray, noise: float, random: np.random.Generator) -> Rows:
    """Rows about random centres, one for each number in `places`."""
    centres = random.normal(size=(places.max() + 1, 8))
    found: Rows = centres[places] + noise * random.normal(size=(len(places), 8))
    return found


def test_colours_that_tell_get_a_large_weight() -> None:
    random, y = np.random.default_rng(1), np.arange(60) % 5
    found = chosen(spread(y, 2.0, random), spread(y, 0.2, random), y, np.arange(60))
    assert found.weights[1] >= 1
    assert found.losses["colours 1"] < found.losses["colours 0"]
    assert "leaving one moment out" in found.by


def test_colours_that_mislead_get_a_small_weight() -> None:
    """The ground is that of another class as often as not; a head can overlook it, a cosine not."""
    random, y = np.random.default_rng(2), np.arange(60) % 5
    ground = random.integers(0, 5, 60)
    found = chosen(spread(y, 0.6, random), spread(ground, 0.2, random), y, np.arange(60))
    assert found.weights[1] <= 0.25
    assert found.losses["colours 2"] > found.losses["colours 0"]


def test_whole_moments_are_left_out() -> None:
    """Frames of one moment share their colours, which tell nothing of the class elsewhere."""
    random, moment = np.random.default_rng(3), np.arange(60) // 4
    y = moment % 5
    network, colours = spread(y, 1.0, random), spread(moment, 0.05, random)
    assert chosen(network, colours, y, moment).weights[1] <= 0.25
    assert chosen(network, colours, y, np.arange(60)).weights[1] >= 1.4


def test_without_two_moments_of_a_class_the_expected_is_taken() -> None:
    random, y = np.random.default_rng(4), np.arange(60) // 12
    rows = spread(y, 0.2, random), spread(y, 0.2, random)
    found = chosen(*rows, y, y)
    assert (found.weights, found.losses) == (EXPECTED.weights, {})
    assert found.by == "as expected, and no class has two moments"


@pytest.mark.parametrize("repeats", [1, 8])
def test_a_frame_said_again_is_no_further_evidence(repeats: int) -> None:
    """Ten moments of colours that tell a little cannot move far from what is expected."""
    random, y = np.random.default_rng(5), np.arange(10) % 2
    rows = [spread(y, 1.5, random).repeat(repeats, 0) for _ in PARTS]
    found = chosen(*rows, y.repeat(repeats), np.arange(10).repeat(repeats))
    assert found.weights == chosen(rows[0][::repeats], rows[1][::repeats], y, np.arange(10)).weights
