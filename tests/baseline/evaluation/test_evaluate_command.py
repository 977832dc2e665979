"""`baseline evaluate` and `label-issues`: splits, folds, balancing and test evaluations."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluated_runs import fill, make_evaluated_run, simulate_outputs
from sklearn.metrics import f1_score
from tools_for_tests import run_here

from baseline.data.runs import TRAINED_ON
from baseline.data.samples import (
    compute_prior_shift,
    ensure_val,
    find_examples,
    make_folds,
)
from baseline.evaluation.decision_rule import (
    UNKNOWN,
    DecisionRule,
    SplitAnswers,
    calibrate_with_rule,
    decide,
    load_decision_rule,
    save_decision_rule,
)
from baseline.evaluation.evaluate import (
    compute_split_metrics,
    evaluate_run,
    fit_decision_rule,
)
from baseline.evaluation.metrics import mean_log_loss, read_metrics
from baseline.evaluation.outputs import Outputs, load_outputs, softmax
from baseline.settings import load_preset
from baseline.train.train_run import train_run
from baseline.train.trials import find_suspect_labels
from curation.labelling_command import suggest_review
from curation.split_groups import assign_split_groups
from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.runs import LabelIssues
from labeler.classes import ClassEditor

CLASSES = ("cat", "owl", "狐")
TINY = {
    "size": "32",
    "blocks": "8,16",
    "dense": "16",
    "epochs": "6",
    "learning_rate": "0.01",
    "precision": "fp32",
}
Baseline = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dataset with a run."""
    root = tmp_path_factory.mktemp("trained") / "dataset"
    with Dataset.create(root) as dataset:
        fill(dataset, CLASSES)
        train_run(dataset, load_preset("simple", TINY))
    return root


def run_folder(dataset: Dataset) -> Path:
    [folder] = dataset.runs_folder.iterdir()
    return folder


@pytest.fixture
def trained(template: Path, tmp_path: Path) -> Iterator[Dataset]:
    """Return a copy of the template."""
    shutil.copytree(template, tmp_path / "trained")
    with Dataset.open(tmp_path / "trained") as dataset:
        yield dataset


@pytest.fixture
def baseline(trained: Dataset) -> Baseline:
    """Return a function that runs a command with --json: exit code, result, stderr."""

    def run(*words: str) -> tuple[int, dict[str, Any], str]:
        done = run_here("baseline.cli", *words, "--json", "-d", trained.root)
        return done.code, done.json if done.stdout else {}, done.stderr

    return run


SAME = ("count", "log_loss", "ece", "bins")


def test_evaluate_is_repeatable(trained: Dataset, baseline: Baseline) -> None:
    folder = run_folder(trained)
    before = json.loads((folder / "metrics.json").read_text())
    code, result, err = baseline("evaluate")
    assert code == 0
    assert all(result["test"][name] == before["test"][name] for name in SAME)
    assert result["test"]["accuracy_before_unknown"] == before["test"]["accuracy"]
    assert result["looked_before"] == {"times": 0, "runs": [], "otherwise": 0}
    assert "was evaluated" not in err
    page = Path(str(result["report"])).read_text("utf-8")
    assert page.count("evaluated 2 times, by this run only") == 1
    code, result, err = baseline("evaluate", folder.name, "--split", "val")
    assert (code, "looked_before" in result) == (0, False)
    assert err.startswith("val has only 3 groups")
    assert "was evaluated" not in err
    assert all(result["val"][name] == before["val"][name] for name in SAME)


def test_evaluate_and_compare_agree_on_log_loss(
    trained: Dataset, baseline: Baseline
) -> None:
    folder = run_folder(trained)
    save_decision_rule(folder, DecisionRule(temperature=3.0))
    result = baseline("evaluate")[1]["test"]
    (compared,) = baseline("compare", folder.name)[1]["runs"]
    assert result["log_loss"] == pytest.approx(compared["log_loss"])
    assert result["ece"] == pytest.approx(compared["ece"])
    assert result["uncalibrated"]["log_loss"] != pytest.approx(result["log_loss"])


def test_protect_thresholds_are_stored(trained: Dataset, baseline: Baseline) -> None:
    folder = run_folder(trained)
    temperature = load_decision_rule(folder).temperature
    code, result, err = baseline("evaluate", "--protect", "狐=99.9%")
    assert code == 0
    assert "to guarantee 99.9%, val needs 2,995 groups" in err
    assert "looked_before" not in result  # thresholds are chosen on val only
    rule = load_decision_rule(folder)
    assert (rule.temperature, list(rule.thresholds)) == (temperature, ["狐"])
    code, _, _ = baseline("evaluate", "--protect", "cat=1")
    assert code == 0
    second_rule = load_decision_rule(folder)
    assert set(second_rule.thresholds) == {"狐", "cat"}
    assert len(second_rule.effects.protected) == 2
    baseline("evaluate", "--forget")
    assert load_decision_rule(folder) == type(rule)(temperature)


def test_max_rejection_rate_is_stored(trained: Dataset, baseline: Baseline) -> None:
    folder = run_folder(trained)
    code, result, err = baseline("evaluate", "--max-rejection-rate", "5%")
    results = result["unfamiliar"]
    assert (code, results["count"], results["groups"], results["guaranteed"]) == (
        0,
        3,
        3,
        False,
    )
    assert "to guarantee 5%, val needs 19 groups" in err
    below = load_decision_rule(folder).unfamiliar_below
    assert below == results["below"]
    assert "Unknown: similarity &lt; " in Path(str(result["report"])).read_text("utf-8")
    # Another threshold leaves this one in force.
    baseline("evaluate", "--protect", "cat=90%")
    assert load_decision_rule(folder).unfamiliar_below == below
    baseline("evaluate", "--forget")
    assert load_decision_rule(folder).unfamiliar_below is None
    (folder / "feature_scale.json").unlink()
    code, _, err = baseline("evaluate", "--max-rejection-rate", "5%")
    assert (code, "has no statistics of its training data" in err) == (3, True)


def test_evaluate_applies_decision_rule(trained: Dataset, baseline: Baseline) -> None:
    folder = run_folder(trained)
    outputs = load_outputs(folder)["test"]
    plain = load_decision_rule(folder)
    confidences = softmax(calibrate_with_rule(outputs.logits, CLASSES, plain)).max(1)
    rule = plain.but(unknown_below=float(np.median(confidences)))
    save_decision_rule(folder, rule)
    predicted = decide(outputs.logits, CLASSES, rule).classes
    right = int((predicted == outputs.y).sum())
    unknown = int((predicted == UNKNOWN).sum())
    assert 0 < unknown < len(outputs)
    _, result, _ = baseline("evaluate", folder.name)
    figures = result["test"]
    assert (
        figures["accuracy"] == right / len(outputs) < figures["accuracy_before_unknown"]
    )
    assert figures["unknown"] == unknown / len(outputs)
    matrix = np.array(figures["confusion"])
    assert (matrix.trace(), matrix[:, -1].sum(), matrix.sum()) == (
        right,
        unknown,
        len(outputs),
    )
    assert len(figures["mistakes"]) == len(outputs) - right - unknown
    answered = f1_score(
        outputs.y, predicted, labels=range(len(CLASSES)), average="macro"
    )
    assert figures["macro_f1"] == pytest.approx(answered)
    output = run_here(
        "baseline.cli", "evaluate", folder.name, "-d", trained.root
    ).stdout
    assert f"test accuracy: {right / len(outputs):.1%} ({right}/" in output
    assert f"({unknown}/{len(outputs)})" in output
    # Metrics follow a later change of the rule.
    baseline("evaluate", "--forget")
    metrics = read_metrics(folder).splits["test"]
    assert (metrics.answer_metrics.unknown, metrics.answer_accuracy) == (
        0,
        metrics.accuracy,
    )


INVALID_OPTIONS = [
    (["--max-rejection-rate", "much"], 2, "not a share"),
    (["--forget", "--max-rejection-rate", "5%"], 2, "--forget excludes"),
    (["--protect", "photo"], 2, "not CLASS=SHARE"),
    (["--protect", "cat=much"], 2, "not a share"),
    (["--protect", "cat=101%"], 2, "not a share"),
    (["--protect", "cat=5%0"], 2, "not a share"),
    (["--forget", "--protect", "cat=90%"], 2, "--forget excludes"),
    (["nobody"], 3, "no finished run nobody"),
    (["--protect", "dog=90%"], 2, "does not know class 'dog'"),
]


def test_invalid_options_change_nothing(trained: Dataset, baseline: Baseline) -> None:
    before = load_decision_rule(run_folder(trained))
    for words, code, message in INVALID_OPTIONS:
        ended, _, err = baseline("evaluate", *words)
        assert (ended, message in err) == (code, True), err
    assert load_decision_rule(run_folder(trained)) == before


def test_empty_val_and_new_class_raise_error(
    trained: Dataset, baseline: Baseline
) -> None:
    examples = find_examples(trained)
    for sample in examples.splits["val"]:
        trained.journal.apply("Away", [Choice(sample.key, "reject")])
    code, _, err = baseline("evaluate", "--max-rejection-rate", "5%")
    assert (code, "no images in val" in err) == (3, True)
    sample = examples.splits["train"][0]
    trained.journal.apply("New", [Choice(sample.key, "label", "wolf")])
    code, _, err = baseline("evaluate")
    assert (code, "does not know some of the current classes: wolf" in err) == (3, True)
    assert "train again: baseline train --preset simple -d" in err


def test_merged_class_is_named(trained: Dataset, baseline: Baseline) -> None:
    editor = ClassEditor(trained)
    editor.rename("狐", "fox")
    code, _, err = baseline("evaluate")
    assert (code, "count as wrong" in err) == (0, False)
    editor.merge("owl", "cat")
    code, _, err = baseline("evaluate")
    assert code == 0
    assert "predictions of owl count as wrong, because it was merged or deleted" in err
    assert "train again: baseline train --preset simple -d" in err


def test_training_images_are_not_evaluated(
    trained: Dataset, baseline: Baseline
) -> None:
    keys = {s.key: s for part in find_examples(trained).splits.values() for s in part}
    turned = {"train": "test", "val": "val", "test": "train"}
    trained.samples.set_splits(
        {key: (key, turned[str(s.split)]) for key, s in keys.items()}
    )
    code, _, err = baseline("evaluate")
    assert (code, "was trained on 24 of the 24" in err) == (3, True)
    assert "baseline train --preset simple -d" in err, "as the run was trained"


def test_damaged_list_of_training_images_raises_error(
    trained: Dataset, baseline: Baseline
) -> None:
    (run_folder(trained) / TRAINED_ON).write_text("[{")
    code, _, err = baseline("evaluate")
    assert (code, "trained_on.json cannot be read" in err) == (3, True)
    assert "hint: train again" in err


def test_groups_of_training_images_are_not_evaluated(
    trained: Dataset, baseline: Baseline
) -> None:
    # One image of each post was trained on, the other is new and in test.
    splits = find_examples(trained).splits
    by_post: dict[str, list[str]] = {}
    for sample in splits["train"]:
        by_post.setdefault(str(sample.split_group), []).append(sample.key)
    pairs = [keys for keys in by_post.values() if len(keys) == 2]
    trained_on = run_folder(trained) / "trained_on.json"
    trained_on.write_text(json.dumps([keys[0] for keys in pairs]))
    moved = {s.key: (s.key, "train") for name in ("val", "test") for s in splits[name]}
    moved |= {keys[1]: (keys[1], "test") for keys in pairs}
    trained.samples.set_splits(moved)
    for first, _ in pairs:
        trained.journal.apply("Away", [Choice(first, "reject")])
    code, _, err = baseline("evaluate")
    assert (code, f"was trained on {len(pairs)} of the {len(pairs)}" in err) == (
        3,
        True,
    )
    assert "or on others of their groups" in err


def test_split_groups_across_splits_gives_warning(
    trained: Dataset, baseline: Baseline
) -> None:
    # A warning, not an error: training again would not help.
    moved = {s.key: (s.key, s.split) for s in trained.samples.iter_by_key()}
    posts: dict[str, list[str]] = {}
    for key, group in assign_split_groups(trained.db).items():
        posts.setdefault(group, []).append(key)
    torn = next(
        keys
        for keys in posts.values()
        if len(keys) == 2 and moved[keys[0]][1] == "train"
    )
    moved[torn[1]] = (torn[1], "test")
    trained.samples.set_splits(moved)
    trained_on = run_folder(trained) / "trained_on.json"
    trained_on.write_text(
        json.dumps([key for key, (_, split) in moved.items() if split == "train"])
    )
    code, _, err = baseline("evaluate")
    assert code == 0
    assert "1 of 4 images of test are in groups of training images" in err


def test_label_issue_ends_with_correction(trained: Dataset, baseline: Baseline) -> None:
    sample = next(s for s in find_examples(trained).splits["train"] if s.label == "cat")
    trained.journal.apply("Slip", [Choice(sample.key, "label", "owl", "hint")])
    image = trained.images.get(sample.image)
    ran = run_here(
        "baseline.cli", "label-issues", "--folds", "3", "-d", trained.root
    ).checked()
    message = " ".join(ran.stdout.split())
    assert re.search(r"label issues: \d+ of 30 labels", message)
    assert f"{sample.key}: owl, probably cat (" in message
    assert f"), {image.origins[0].key}" in message
    commands = suggest_review(trained, "label-issues")
    assert all(command.endswith(trained.option) for command in commands)
    assert message.endswith(f"next: {commands[0]}")
    result = LabelIssues(trained.db).get_many([sample.key])
    assert (result[sample.key].label, result[sample.key].suggested) == ("owl", "cat")
    assert "probably" in (run_folder(trained) / "report.html").read_text("utf-8")
    trained.journal.apply("Mend", [Choice(sample.key, "label", "cat")])
    assert sample.key not in LabelIssues(trained.db).get_many([sample.key])


def test_class_without_test_images_has_no_metrics(trained: Dataset) -> None:
    # For example a class that was only added to a gallery.
    classes = {split.label for split in trained.samples.iter_in_splits()}
    missing = sorted(map(str, classes))[0]
    splits = {
        sample.key: (
            str(sample.split_group),
            None
            if sample.label == missing and sample.split == "test"
            else sample.split,
        )
        for sample in trained.samples.iter_in_splits()
    }
    trained.samples.set_splits(splits)
    done = run_here("baseline.cli", "evaluate", "-d", trained.root).checked()
    assert f"{missing}: no images" in done.stdout
    assert done.stdout.count("precision") == len(classes) - 1
    coverage = f"images of {len(classes) - 1} of {len(classes)} classes"
    printed = " ".join(done.stdout.split())
    accuracy = (
        r"test accuracy: [\d.]+% \(\d+/\d+\), {}, 95% CI [\d.]+-[\d.]+%, 2 groups"
    )
    assert re.match(accuracy.format(coverage), printed)
    assert "; too few images to say how accurate the model is; " in printed
    assert f"not tested: {missing}" in printed
    assert done.stdout.count("no near-duplicates") <= 1
    compared = " ".join(
        run_here("baseline.cli", "compare", "-d", trained.root).stdout.split()
    )
    assert f"compared on: 2 images of test, 2 groups, {coverage}" in compared
    assert f"not tested: {missing}" in compared
    root = str(trained.root)
    assert all(len(line) <= 80 or root in line for line in done.stdout.splitlines())


def test_evaluate_run_covers_every_split(dataset: Dataset) -> None:
    fill(dataset, CLASSES)
    folder, earlier = make_evaluated_run(dataset, "one")
    result = read_metrics(folder)
    assert list(result.splits) == ["train", "val", "test"]
    assert result.train.groups == 12  # two images each
    assert result.test.commonest_class == pytest.approx(1 / 3)
    low, high = result.train.intervals["accuracy"]
    assert low <= result.train.accuracy <= high
    assert result.train.uncalibrated is not None
    outputs = load_outputs(folder)
    rule = load_decision_rule(folder)
    # The metrics are of scores that were calibrated by the stored rule.
    scores = calibrate_with_rule(outputs["train"].logits, CLASSES, rule)
    assert mean_log_loss(scores, outputs["train"].y) == result.train.log_loss
    counts = {split: len(part) for split, part in outputs.items()}
    assert (counts, earlier) == ({"train": 24, "val": 3, "test": 3}, (0, 0, ()))


def test_earlier_test_evaluations_are_counted(dataset: Dataset) -> None:
    fill(dataset, CLASSES)
    make_evaluated_run(dataset, "one")
    assert make_evaluated_run(dataset, "two")[1] == (1, 0, ("one",))
    assert make_evaluated_run(dataset, "three", only=("train", "val"))[1] is None


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
    splits, _ = evaluate_run(dataset, "one", examples, taught, rule)
    rule_loaded = load_decision_rule(folder)
    assert calibration.share == pytest.approx(1, abs=0.25)
    assert rule_loaded.offsets == pytest.approx(
        {name: calibration.share * by for name, by in zip(CLASSES, shift, strict=True)}
    )
    result = splits["test"]
    decided = decide(taught["test"].logits, CLASSES, rule_loaded)
    assert result.accuracy == float((decided.classes == taught["test"].y).mean())
    before = softmax(taught["test"].logits)[:, 1].mean()
    assert decided.confidences[:, 1].mean() < 0.3 * before
    assert result.log_loss < result.uncalibrated.log_loss
    loaded = load_outputs(folder)["test"]
    groups = np.array([examples.groups[key] for key in loaded.keys])
    assert (
        compute_split_metrics(SplitAnswers(loaded, CLASSES, groups), rule_loaded)
        == result
    )


@pytest.mark.parametrize(("balance", "owls"), [("none", None), ("weights", 8)])
def test_prior_shift_for_each_balancing(
    dataset: Dataset, balance: str, owls: int | None
) -> None:
    fill(dataset, CLASSES, each=20)
    thinned = [s for s in find_examples(dataset).splits["train"] if s.label == "owl"][
        8:
    ]
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


def test_folds_partition_samples_by_group(dataset: Dataset) -> None:
    fill(dataset, CLASSES)
    examples = find_examples(dataset)
    everything = {s.key for part in examples.splits.values() for s in part}
    tested: list[str] = []
    for held_out in make_folds(examples, 4, seed=1):
        part = ensure_val(held_out, seed=1)[0]
        groups = {
            split: {examples.groups[s.key] for s in result}
            for split, result in part.splits.items()
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
    dataset.samples.set_splits(keys)
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
    assert read_metrics(folder).train.groups == 12


def test_class_with_one_group_stays_in_train(dataset: Dataset) -> None:
    fill(dataset, CLASSES)
    result = find_examples(dataset)
    lone = {
        name: tuple(s for s in part if s.label != "owl")
        for name, part in result.splits.items()
    }
    owl = next(s for s in result.splits["train"] if s.label == "owl")
    examples = result._replace(splits={**lone, "train": (*lone["train"], owl)})
    for part in make_folds(examples, 3, seed=0):
        assert owl in part.splits["train"]


def test_planted_label_issues_are_found(dataset: Dataset) -> None:
    fill(dataset, CLASSES, each=20)
    # An accurate network, whose predictions do not follow the wrong labels.
    result = simulate_outputs(find_examples(dataset), skill=6.0)["train"]
    y = result.y.copy()
    wrong = np.random.default_rng(0).permutation(len(result))[::9]
    y[wrong] = (y[wrong] + 1) % 3
    planted = replace(result, y=y)
    issues = find_suspect_labels(softmax(result.logits), planted, CLASSES, "run")
    true = {result.keys[row]: CLASSES[result.y[row]] for row in wrong}
    assert len(true) <= len(issues) <= len(true) + 3
    assert {issue.sample: issue.suggested for issue in issues[: len(true)]} == true
    assert all(0 < issue.margin <= issue.confidence <= 1 for issue in issues)


def test_no_contradicted_label_is_hidden() -> None:
    """On an easy set half of the wrong labels are below the mean confidence of their class."""
    right = [[0.97, 0.02, 0.01], [0.02, 0.97, 0.01], [0.01, 0.02, 0.97]]
    wrong = [[0.05, 0.93, 0.02], [0.07, 0.91, 0.02], [0.02, 0.96, 0.02]]
    probabilities = np.array(right * 10 + wrong)
    y = np.array([0, 1, 2] * 10 + [0, 0, 0])
    keys = tuple(f"{number:02}" for number in range(len(y)))
    outputs = Outputs(np.log(probabilities).astype(np.float32), y, keys)
    issues = find_suspect_labels(probabilities, outputs, CLASSES, "run")
    assert [issue.sample for issue in issues] == ["32", "30", "31"]
    assert {issue.suggested for issue in issues} == {CLASSES[1]}
    # Calibration that favours the label does not hide a prediction that counts as an error.
    offsets = np.array([0.9, 0.05, 0.05]) * probabilities
    calibrated = offsets / offsets.sum(1, keepdims=True)
    issues = find_suspect_labels(calibrated, outputs, CLASSES, "run")
    assert {"30", "31", "32"} <= {issue.sample for issue in issues}
