"""Evaluation of a run: splits, folds, balancing and test evaluations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluated_runs import fill, make_evaluated_run, simulate_outputs

from baseline.data.samples import compute_prior_shift, ensure_val, find_examples, make_folds
from baseline.evaluation.decision_rule import decide, load_decision_rule
from baseline.evaluation.evaluate import compute_split_metrics, evaluate_run, fit_decision_rule
from baseline.evaluation.outputs import load_outputs, softmax
from baseline.evaluation.run_metrics import read_metrics
from baseline.settings import load_preset
from baseline.train.trials import find_suspect_labels
from curation.split_groups import assign_split_groups
from gleanset import Dataset
from gleanset.db.journal import Choice

CLASSES = ("cat", "owl", "狐")


def test_evaluate_run_covers_every_split(dataset: Dataset) -> None:
    fill(dataset, CLASSES)
    folder, evaluation = make_evaluated_run(dataset, "one")
    result = read_metrics(folder)
    assert list(result.splits) == ["train", "val", "test"]
    assert result.train is not None
    assert result.test is not None
    assert result.gap["test"] == pytest.approx(result.train.accuracy - result.test.accuracy)
    assert result.train.groups == 12  # two images each
    assert result.test.commonest_class == pytest.approx(1 / 3)
    low, high = result.train.intervals["accuracy"]
    assert low <= result.train.accuracy <= high
    assert result.train.uncalibrated is not None
    assert load_decision_rule(folder).temperature == result.temperature
    assert {s: len(o) for s, o in load_outputs(folder).items()} == {
        "train": 24,
        "val": 3,
        "test": 3,
    }
    assert evaluation.earlier == (0, 0, ())


def test_earlier_test_evaluations_are_counted(dataset: Dataset) -> None:
    fill(dataset, CLASSES)
    make_evaluated_run(dataset, "one")
    _, evaluation = make_evaluated_run(dataset, "two")
    assert evaluation.earlier == (1, 0, ("one",))
    _, blind = make_evaluated_run(dataset, "three", only=("train", "val"))
    assert blind.earlier is None


def test_balancing_is_corrected_in_all_metrics(dataset: Dataset) -> None:
    fill(dataset, CLASSES, each=40)
    examples = find_examples(dataset)
    outputs = simulate_outputs(examples, skill=1.5)
    # Logits of a network trained with balanced classes, where owls are rare.
    shift = np.array([0.8, -1.6, 0.8])
    taught = {
        split: replace(result, logits=(result.logits - shift).astype(np.float32))
        for split, result in outputs.items()
    }
    for split, result in taught.items():
        rest = np.flatnonzero(result.y != 1)
        taught[split] = result.at(rest)
    taught["val"] = taught["train"]
    folder = dataset.root / "runs" / "one"
    dataset.runs.start("one", "baseline", {})
    calibration, rule = fit_decision_rule(taught["val"], examples, shift)
    evaluation = evaluate_run(dataset, "one", examples, taught, rule)
    rule_loaded = load_decision_rule(folder)
    assert calibration.share == pytest.approx(1, abs=0.25)
    assert rule_loaded.offsets == pytest.approx(
        {name: calibration.share * by for name, by in zip(CLASSES, shift, strict=True)}
    )
    result = evaluation.splits["test"]
    decided = decide(taught["test"].logits, CLASSES, rule_loaded)
    assert result.accuracy == float((decided.classes == taught["test"].y).mean())
    assert result.uncalibrated is not None
    before = softmax(taught["test"].logits)[:, 1].mean()
    assert decided.probabilities[:, 1].mean() < 0.3 * before
    assert result.log_loss < result.uncalibrated.log_loss
    loaded = load_outputs(folder)["test"]
    groups = [examples.groups[key] for key in loaded.keys]
    assert compute_split_metrics(loaded, CLASSES, groups, rule_loaded) == result


@pytest.mark.parametrize(("balance", "owls"), [("none", None), ("weights", 8)])
def test_prior_shift_for_each_balancing(dataset: Dataset, balance: str, owls: int | None) -> None:
    fill(dataset, CLASSES, each=20)
    thinned = [s for s in find_examples(dataset).splits["train"] if s.label == "owl"][8:]
    dataset.journal.apply("Reject", [Choice(s.key, "reject") for s in thinned])
    examples = find_examples(dataset)
    assert examples.class_counts["owl"] == 8
    common = [examples.class_counts[name] for name in ("cat", "狐")]
    settings = load_preset("transfer", {"balance": balance})
    shift = compute_prior_shift(examples, settings)
    if owls is None:
        assert len(shift) == 0
    else:
        assert np.exp(shift[1] - shift[0]) == pytest.approx(owls / common[0], rel=0.01)
    assert len(compute_prior_shift(examples, load_preset("triplet", {}))) == 0


def test_folds_partition_samples_by_group(
    dataset: Dataset,
) -> None:
    fill(dataset, CLASSES)
    examples = find_examples(dataset)
    everything = {s.key for part in examples.splits.values() for s in part}
    tested: list[str] = []
    for held_out in make_folds(examples, 4, seed=1):
        part = ensure_val(held_out, seed=1)[0]
        groups = {
            split: {examples.groups[s.key] for s in result} for split, result in part.splits.items()
        }
        assert not groups["train"] & groups["test"]
        assert not groups["train"] & groups["val"]
        assert not groups["val"] & groups["test"]
        assert {s.label for s in part.splits["train"]} == set(CLASSES)
        assert part.splits["val"]
        counts = [sum(s.label == name for s in part.splits["test"]) for name in CLASSES]
        assert max(counts) - min(counts) <= 2
        assert sum(map(len, part.splits.values())) == len(everything)
        tested += [s.key for s in part.splits["test"]]
    assert sorted(tested) == sorted(everything)


def test_evaluation_uses_current_groups(dataset: Dataset) -> None:
    # The stored groups are outdated: images of one post are one group.
    fill(dataset, CLASSES)
    keys = {s.key: (s.key, s.split) for s in dataset.samples.iter_by_key()}
    dataset.samples.set_splits(keys, "made elsewhere")
    examples = find_examples(dataset)
    groups = assign_split_groups(dataset.db)
    for part in make_folds(examples, 4, seed=1):
        train_groups, test_groups = (
            {groups[s.key] for s in part.splits[name]} for name in ("train", "test")
        )
        assert not train_groups & test_groups
    train = examples.splits["train"]
    assert [examples.groups[s.key] for s in train] == [groups[s.key] for s in train]
    folder, _ = make_evaluated_run(dataset, "one")
    result = read_metrics(folder).train
    assert result is not None
    assert result.groups == 12


def test_class_with_one_group_stays_in_train(dataset: Dataset) -> None:
    fill(dataset, CLASSES)
    result = find_examples(dataset)
    lone = {
        name: tuple(s for s in part if s.label != "owl") for name, part in result.splits.items()
    }
    owl = next(s for s in result.splits["train"] if s.label == "owl")
    examples = replace(result, splits={**lone, "train": (*lone["train"], owl)})
    for part in make_folds(examples, 3, seed=0):
        assert owl in part.splits["train"]


def test_planted_label_issues_are_found(dataset: Dataset) -> None:
    fill(dataset, CLASSES, each=20)
    # An accurate network, whose predictions do not follow the wrong labels.
    result = simulate_outputs(find_examples(dataset), skill=6.0)["train"]
    y, wrong = result.y.copy(), np.random.default_rng(0).permutation(len(result))[::9]
    y[wrong] = (y[wrong] + 1) % 3
    issues = find_suspect_labels(softmax(result.logits), y)
    assert {issue.row for issue in issues} >= set(wrong.tolist())
    assert len(issues) <= len(wrong) + 3
    assert {issue.row for issue in issues[: len(wrong)]} == set(wrong.tolist())
    assert all(issue.suggested == result.y[issue.row] for issue in issues if issue.row in wrong)
    assert all(0 < issue.margin <= issue.confidence <= 1 for issue in issues)
