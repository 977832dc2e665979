"""The rule for "unknown" that training chooses by out-of-fold similarity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_dataset import EIGHT_TO_ONE, fill, put_whole
from PIL import Image

from baseline.data.runs import run_folder
from baseline.evaluation.decision_rule import (
    NO_UNKNOWN_RULE,
    compute_training_similarity,
    fit_feature_scale,
    load_decision_rule,
)
from baseline.evaluation.evaluate import reevaluate_run
from baseline.evaluation.outputs import Floats, Indices
from baseline.evaluation.thresholds import RuleRequest, choose_unknown_threshold
from baseline.settings import load_preset
from baseline.train.cross_validation import MAX_KNOWN_REJECTED, UNKNOWN_FOLDS
from baseline.train.train_run import train_run
from gleanset import Dataset
from gleanset.db.journal import Choice

TINY = {"size": "32", "backbone": "efficientnet_lite0", "weights": "none", "views": "0"}


def draw_features(
    groups: int, centers: Floats, random: np.random.Generator
) -> tuple[Floats, Indices]:
    """Draw correlated features in groups, and return them with the groups."""
    numbers = np.repeat(np.arange(groups), random.integers(1, 4, groups))
    shared = random.normal(0, 0.7, (groups, centers.shape[1]))
    own = random.normal(0, 0.7, (len(numbers), centers.shape[1]))
    return centers[numbers % len(centers)] + shared[numbers] + own, numbers


def measure_similarity(train: tuple[Floats, Indices], features: Floats, classes: int) -> Floats:
    """Return the similarity of `features` to `train`, with class means as the head."""
    x, groups = train
    means = np.stack([x[groups % classes == name].mean(0) for name in range(classes)])
    scores = features @ means.T - (means**2).sum(1) / 2
    distances = fit_feature_scale(x.astype(np.float32)).distances(features)
    return compute_training_similarity(scores, distances)


@pytest.mark.parametrize("groups", [20, 60])
def test_out_of_fold_threshold_keeps_rejection_rate(groups: int) -> None:
    random, classes, known_rates, unknown_rates = np.random.default_rng(groups), 4, [], []
    for _ in range(40):
        centers = random.normal(0, 1.2, (classes, 12))
        x, numbers = train = draw_features(groups, centers, random)
        fold = random.permutation(np.arange(groups) // classes % UNKNOWN_FOLDS)[numbers]
        similarity = np.zeros(len(x))
        for number in range(UNKNOWN_FOLDS):
            part = fold != number
            similarity[~part] = measure_similarity((x[part], numbers[part]), x[~part], classes)
        threshold = choose_unknown_threshold(similarity, numbers, MAX_KNOWN_REJECTED)
        assert threshold.guaranteed
        known, _ = draw_features(120, centers, random)
        unknown, _ = draw_features(120, random.normal(0, 1.2, (classes, 12)), random)
        for rates, features in ((known_rates, known), (unknown_rates, unknown)):
            rates.append((measure_similarity(train, features, classes) < threshold.below).mean())
    standard_error = np.std(known_rates) / len(known_rates) ** 0.5
    assert np.mean(known_rates) <= MAX_KNOWN_REJECTED + 2 * standard_error
    assert np.mean(unknown_rates) > 3 * np.mean(known_rates)


def fill_with_rejected(dataset: Dataset, pictures: int) -> None:
    """Add two classes, split 8:1:1, and two rejected images."""
    fill(dataset, pictures, EIGHT_TO_ONE, classes=2)
    away = [put_whole(dataset, Image.new("RGB", (32, 32), name), name) for name in ("red", "lime")]
    dataset.journal.apply("Reject", [Choice(key, "reject") for key in away])


def test_training_chooses_unknown_rule(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        fill_with_rejected(dataset, 10)
        result = train_run(dataset, load_preset("transfer", TINY | {"strength": "1"}))
        run = str(result["run"])
        folder = run_folder(dataset, run)
        rule = load_decision_rule(folder)
        threshold = rule.effects.unfamiliar
        assert threshold is not None
        # Out-of-fold samples of train, and val.
        assert (threshold.count, threshold.folds, threshold.guaranteed) == (18, UNKNOWN_FOLDS, True)
        assert rule.unfamiliar_below == threshold.below
        assert (threshold.rejected, result["unknown"]) == (2, threshold.describe())
        assert "of 2 rejected images" in threshold.describe()

        protected = str(next(dataset.samples.iter_in_splits()).label)
        reevaluate_run(dataset, run, "val", RuleRequest({protected: 0.5}))
        assert load_decision_rule(folder).effects.unfamiliar == threshold
        reevaluate_run(dataset, run, "val", RuleRequest({}, max_rejection_rate=0.4))
        by_hand = load_decision_rule(folder).effects.unfamiliar
        assert by_hand is not None
        assert (by_hand.target, by_hand.folds, by_hand.count) == (0.4, 0, 2)
        reevaluate_run(dataset, run, "val", RuleRequest({}, forget=True))
        assert load_decision_rule(folder).unfamiliar_below is None


def test_small_dataset_gets_no_unknown_rule(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        fill_with_rejected(dataset, 4)
        result = train_run(dataset, load_preset("transfer", TINY | {"strength": "1"}))
        assert load_decision_rule(run_folder(dataset, str(result["run"]))).unfamiliar_below is None
        assert result["unknown"] == NO_UNKNOWN_RULE
