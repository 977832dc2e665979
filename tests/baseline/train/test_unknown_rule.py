"""A run says "unknown" by a rule that its own training chose, and promises what that costs."""

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

TINY = {"size": "32", "backbone": "efficientnet_lite0", "weights": "none", "views": "1"}


def world(groups: int, middles: Floats, random: np.random.Generator) -> tuple[Floats, Indices]:
    """Drawn features of pictures, those of a group alike, and their groups; classes in turn."""
    numbers = np.repeat(np.arange(groups), random.integers(1, 4, groups))
    shared = random.normal(0, 0.7, (groups, middles.shape[1]))
    own = random.normal(0, 0.7, (len(numbers), middles.shape[1]))
    return middles[numbers % len(middles)] + shared[numbers] + own, numbers


def familiar(learnt: tuple[Floats, Indices], seen: Floats, classes: int) -> Floats:
    """How familiar features are to a head that learnt others."""
    from sklearn.linear_model import LogisticRegression

    x, groups = learnt
    head = LogisticRegression(max_iter=200).fit(x, groups % classes)
    scale = fit_feature_scale(x.astype(np.float32))
    return compute_training_similarity(head.decision_function(seen), scale.distances(seen))


@pytest.mark.parametrize("groups", [20, 60])
def test_a_threshold_chosen_by_folds_costs_the_known_no_more_than_promised(groups: int) -> None:
    random, classes, lost, strange = np.random.default_rng(groups), 4, [], []
    for _ in range(40):
        middles = random.normal(0, 1.2, (classes, 12))
        x, numbers = world(groups, middles, random)
        fold = random.permutation(np.arange(groups) // classes % UNKNOWN_FOLDS)[numbers]
        held, names = [], []
        for number in range(UNKNOWN_FOLDS):
            away = fold == number
            held.append(familiar((x[~away], numbers[~away]), x[away], classes))
            names.append(numbers[away])
        chosen = choose_unknown_threshold(
            np.concatenate(held), np.concatenate(names), MAX_KNOWN_REJECTED
        )
        assert chosen.guaranteed
        others, _ = world(120, middles, random)
        strangers, _ = world(120, random.normal(0, 1.2, (classes, 12)), random)
        lost.append((familiar((x, numbers), others, classes) < chosen.below).mean())
        strange.append((familiar((x, numbers), strangers, classes) < chosen.below).mean())
    assert np.mean(lost) <= MAX_KNOWN_REJECTED + 2 * np.std(lost) / len(lost) ** 0.5
    assert np.mean(strange) > 3 * np.mean(lost)  # the promise is not kept by never saying unknown


def filled(dataset: Dataset, pictures: int) -> None:
    """Patterns of two classes, split 8:1:1, and two pictures that a person has rejected."""
    fill(dataset, pictures, EIGHT_TO_ONE, classes=2)
    away = [put_whole(dataset, Image.new("RGB", (32, 32), name), name) for name in ("red", "lime")]
    dataset.journal.apply("Reject", [Choice(key, "reject") for key in away])


def test_a_run_has_its_rule_and_keeps_it_until_a_person_chooses(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        filled(dataset, 10)
        result = train_run(dataset, load_preset("transfer", TINY | {"strength": "1"}))
        run = str(result["run"])
        folder = run_folder(dataset, run)
        rule = load_decision_rule(folder)
        chosen = rule.effects.unfamiliar
        assert chosen is not None
        # All of train was held out once, and val was never learnt from.
        assert (chosen.count, chosen.folds, chosen.guaranteed) == (18, UNKNOWN_FOLDS, True)
        assert rule.unfamiliar_below == chosen.below
        assert (chosen.rejected, result["unknown"]) == (2, chosen.describe())
        assert "of 2 rejected images" in chosen.describe()

        protected = str(next(dataset.samples.iter_in_splits()).label)
        reevaluate_run(dataset, run, "val", RuleRequest({protected: 0.5}))
        assert load_decision_rule(folder).effects.unfamiliar == chosen
        reevaluate_run(dataset, run, "val", RuleRequest({}, max_rejection_rate=0.4))
        by_hand = load_decision_rule(folder).effects.unfamiliar
        assert by_hand is not None
        assert (by_hand.target, by_hand.folds, by_hand.count) == (0.4, 0, 2)
        reevaluate_run(dataset, run, "val", RuleRequest({}, forget=True))
        assert load_decision_rule(folder).unfamiliar_below is None


def test_too_few_pictures_promise_nothing_and_it_is_said(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        filled(dataset, 4)
        result = train_run(dataset, load_preset("transfer", TINY | {"strength": "1"}))
        assert load_decision_rule(run_folder(dataset, str(result["run"]))).unfamiliar_below is None
        assert result["unknown"] == NO_UNKNOWN_RULE
