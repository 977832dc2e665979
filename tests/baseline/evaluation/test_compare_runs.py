"""Comparison of runs: shared samples, paired tests and the command."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluated_runs import fill, make_evaluated_run, simulate_outputs
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tools_for_tests import Ran, run_here

from baseline.data.runs import SETTINGS, WEIGHTS
from baseline.data.samples import find_examples
from baseline.evaluation.compare import compare
from baseline.evaluation.decision_rule import (
    DecisionRule,
    SplitAnswers,
    load_decision_rule,
    save_decision_rule,
)
from baseline.evaluation.evaluate import compute_answer_metrics
from baseline.evaluation.intervals import randomization_test
from baseline.evaluation.outputs import Outputs, load_outputs, save_outputs
from curation.split_groups import assign_split_groups
from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.errors import InputUnusable
from labeler.classes import ClassEditor

CLASSES = ("cat", "owl", "狐")


@given(st.integers(0, 60), st.integers(0, 60))
def test_singleton_groups_give_mcnemar_test(wins: int, losses: int) -> None:
    expected = (
        stats.binomtest(wins, wins + losses, 0.5).pvalue if wins + losses else 1.0
    )
    assert randomization_test([1] * wins + [-1] * losses) == pytest.approx(expected)


def test_compare_uses_shared_samples(dataset: Dataset, tmp_path: Path) -> None:
    fill(dataset, CLASSES, each=12)
    make_evaluated_run(dataset, "good", skill=4.0)
    folder, _ = make_evaluated_run(dataset, "poor", skill=0.0, seed=3)
    result = load_outputs(folder)
    save_outputs(folder, result | {"train": result["train"].at(np.arange(20))})
    results = compare(dataset, ["good", "poor", "good"], "train")
    assert (results.count, results.left_out) == (20, 10)
    good, poor = results.runs
    assert (good.run, good.against) == ("good", None)
    right = result["train"].logits.argmax(1) == result["train"].y
    assert poor.accuracy == pytest.approx(right[:20].mean())
    assert poor.against.difference == pytest.approx(poor.accuracy - good.accuracy)
    assert poor.against.clear
    assert good.parameters is None


def test_compare_applies_decision_rule(dataset: Dataset) -> None:
    fill(dataset, CLASSES, each=12)
    folder, _ = make_evaluated_run(dataset, "careful")
    make_evaluated_run(dataset, "plain")
    rule = load_decision_rule(folder).but(unknown_below=0.7)
    save_decision_rule(folder, rule)
    careful, plain = compare(dataset, ["careful", "plain"], "train").runs
    outputs = load_outputs(folder)["train"]
    groups = assign_split_groups(dataset.db, outputs.keys)
    classes = find_examples(dataset).classes
    names = [groups[key] for key in outputs.keys]
    expected = compute_answer_metrics(
        SplitAnswers(outputs, classes, np.array(names)), rule
    )
    assert careful.accuracy == pytest.approx(expected.right / len(outputs))
    assert careful.interval == expected.interval
    assert careful.accuracy < careful.accuracy_before_unknown == plain.accuracy
    assert plain.against.difference == pytest.approx(plain.accuracy - careful.accuracy)


def test_unsure_answers_are_counted() -> None:
    # Right and sure, right and unsure (45 %), wrong and unsure (45 %), unknown below 40 %.
    probabilities = [
        [0.9, 0.05, 0.05],
        [0.45, 0.3, 0.25],
        [0.3, 0.45, 0.25],
        [0.35, 0.33, 0.32],
    ]
    outputs = Outputs(
        np.log(np.array(probabilities, np.float32)),
        np.zeros(4, np.int64),
        ("a", "b", "c", "d"),
    )
    split = SplitAnswers(outputs, ("x", "y", "z"), np.array(["a", "b", "c", "d"]))
    answers = compute_answer_metrics(split, DecisionRule(unknown_below=0.4))
    assert (answers.right, answers.unknown) == (2, 1)
    assert (answers.unsure, answers.unsure_right) == (2, 1)
    # Confidences fall with the membership.
    far = replace(outputs, membership=np.full(4, 0.5))
    answers = compute_answer_metrics(split._replace(outputs=far), DecisionRule())
    assert (answers.unsure, answers.unsure_right) == (4, 3)
    (mistake,) = answers.mistakes
    assert (mistake.key, mistake.confidence) == ("c", pytest.approx(0.225))


def test_impossible_classes_give_no_warning() -> None:
    # Probabilities of other classes are zero; warnings are errors in tests.
    logits = np.array([[2000, 0], [0, 2000]], np.float32)
    outputs = Outputs(logits, np.array([0, 0]), ("a", "b"))
    answers = SplitAnswers(outputs, ("cat", "owl"), np.arange(2))
    metrics = compute_answer_metrics(answers, DecisionRule())
    (mistake,) = metrics.mistakes
    assert (mistake.key, mistake.confidence) == ("b", 1.0)


def test_compare_leaves_out_changed_labels(dataset: Dataset) -> None:
    fill(dataset, CLASSES)
    make_evaluated_run(dataset, "before")
    changed = find_examples(dataset).splits["test"][0]
    dataset.journal.apply(
        "Mend",
        [Choice(changed.key, "label", "owl" if changed.label != "owl" else "cat")],
    )
    make_evaluated_run(dataset, "after")
    result = compare(dataset, ["before", "after"], "test")
    assert (result.count, result.left_out) == (2, 1)


def test_class_that_was_renamed_between_runs_is_compared(dataset: Dataset) -> None:
    fill(dataset, CLASSES)
    make_evaluated_run(dataset, "before")
    ClassEditor(dataset).rename("owl", "aardvark")
    make_evaluated_run(dataset, "after")
    results = compare(dataset, ["before", "after"], "train")
    assert (results.count, results.left_out, results.classes) == (24, 0, 3)
    assert results.untested == ()
    assert results.runs[0].accuracy > 0.5


def test_incomparable_runs_raise_error(dataset: Dataset) -> None:
    fill(dataset, CLASSES)
    make_evaluated_run(dataset, "one", only=("train", "val"))
    folder, _ = make_evaluated_run(dataset, "two")
    with pytest.raises(InputUnusable, match="no finished run three"):
        compare(dataset, ["one", "three"], "val")
    with pytest.raises(InputUnusable, match="one was not evaluated on test"):
        compare(dataset, ["one", "two"], "test")
    outputs = simulate_outputs(find_examples(dataset))["train"]
    save_outputs(folder, {"val": outputs})
    with pytest.raises(InputUnusable, match="no images of val with the same labels"):
        compare(dataset, ["one", "two"], "val")


def test_compare_command(dataset: Dataset) -> None:
    def compare_runs(*words: str) -> Ran:
        return run_here("baseline.cli", "compare", *words, "-d", dataset.root)

    assert compare_runs().code == 3
    fill(dataset, CLASSES)
    for name, seed in (("one", 0), ("two", 5)):
        folder, _ = make_evaluated_run(dataset, name, seed=seed)
        for file in (SETTINGS, WEIGHTS):
            (folder / file).touch()
    done = compare_runs().checked()
    assert [line.split()[0] for line in done.stdout.splitlines()[:3]] == [
        "run",
        "one",
        "two",
    ]
    assert "by test makes its accuracy too optimistic" in done.stderr
    on_val = compare_runs("two", "one", "--split", "val", "--json")
    assert [row["run"] for row in on_val.json["runs"]] == ["two", "one"]
    assert "by test makes" not in on_val.stderr
    assert "val has only 3 groups" in on_val.stderr
