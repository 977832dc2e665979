"""What is printed of a training: figures that add up, and say what they were measured on."""

from dataclasses import replace

import numpy as np

from baseline.evaluation.metrics import (
    AnswerMetrics,
    SplitMetrics,
    compute_class_scores,
    compute_classification_metrics,
)
from baseline.evaluation.summary import LabelIssuesResult, TrainedRun
from baseline.train.trials import CrossValidationResult, FoldScore
from gleanset.records import Interval

NAMES = [f"class {number}" for number in range(30)]


def evaluate(answers: dict[int, int], groups: int = 30) -> SplitMetrics:
    """Return metrics of one image per class; `answers` are the wrong ones, -1 for unknown."""
    y = np.arange(30)
    predicted = np.array([answers.get(number, number) for number in range(30)])
    # Before the rule for unknown, class 0 is predicted for what becomes unknown.
    logits = np.eye(30, dtype=np.float32)[np.maximum(predicted, 0)]
    metrics = compute_classification_metrics(logits, y, list(map(str, y)), NAMES)
    confusion = np.zeros((30, 31), np.int64)
    np.add.at(confusion, (y, predicted), 1)
    right = int((predicted == y).sum())
    users = AnswerMetrics(
        right,
        int((predicted < 0).sum()),
        compute_class_scores(y, predicted, NAMES),
        Interval(0.7, 0.9912),
        confusion.tolist(),
        (),
    )
    return replace(metrics, groups=groups, answers=users)


def summarize(metrics: SplitMetrics) -> dict[str, str]:
    fields = {"count": metrics.count}
    result = TrainedRun(
        run="r",
        classes=30,
        data={"train": 90},
        val=None,
        test=fields,
        copies=None,
        metrics=metrics,
    )
    return result.summary()


def test_errors_add_up_with_unknown_predictions() -> None:
    lines = summarize(evaluate({3: 4, 5: 6, 7: -1, 8: -1, 0: -1}))
    assert lines["test accuracy"].startswith(
        "83.3% (25/30), 95% CI 70.0-99.1%, 30 groups; "
    )
    assert lines["predicted unknown"].startswith("10.0% (3/30)")
    assert (
        lines["most confused"]
        == "no pair more than once (5 errors: 2 wrong classes, 3 unknown)"
    )
    assert "most confused" not in summarize(evaluate({}))


def test_accuracy_names_how_many_classes_were_tested() -> None:
    metrics = evaluate({})
    scores = tuple(replace(s, support=1 - n % 2) for n, s in enumerate(metrics.classes))
    lines = summarize(replace(metrics, classes=scores))
    assert "(30/30), images of 15 of 30 classes, 95% CI" in lines["test accuracy"]
    names = ", ".join(NAMES[n] for n in (1, 3, 5, 7, 9))
    assert lines["not tested"] == f"{names}, and 10 more"
    assert "not tested" not in summarize(metrics)


def test_accuracy_of_one_group_means_nothing() -> None:
    note = "too few images to say how accurate the model is"
    assert note in summarize(evaluate({}, groups=1))["test accuracy"]
    assert note not in summarize(evaluate({}, groups=5))["test accuracy"]


def test_folds_name_untested_classes_and_many_accuracies() -> None:
    folds = [
        FoldScore(count=2, groups=2, accuracy=0.5 + n / 40, seconds=1.0)
        for n in range(12)
    ]
    result = CrossValidationResult(
        run="r",
        folds=folds,
        evaluated=24,
        groups=24,
        effective_groups=24.0,
        not_evaluated=3,
        test=0,
        accuracy=0.75,
        lower_bound=0.4,
        upper_bound=0.9,
        spread=0.1,
        log_loss=1.0,
        macro_f1=0.5,
        label_issues=0,
        classes=3,
        untested=["mei"],
        report="report.html",
    )
    lines = result.summary()
    assert lines["out-of-fold accuracy"] == (
        "75.0% (24 images), images of 2 of 3 classes, 95% CI 40.0-90.0%, 24 groups"
    )
    assert (lines["not tested"], lines["left out"]) == ("mei", "3 not held out")
    assert lines["folds"] == "50.0% to 77.5% (standard deviation 10.0%)"
    assert "label issues" not in lines


def test_label_issues_name_the_number_of_classes_that_were_held_out() -> None:
    result = LabelIssuesResult(
        run="r",
        folds=5,
        labelled=12,
        evaluated=8,
        agree=1.0,
        tested=2,
        classes=3,
        label_issues=0,
        confident=0,
        report="report.html",
        samples=[],
    )
    agreement = "100.0% of labels, 5 folds, images of 2 of 3 classes"
    assert result.summary()["out-of-fold agreement"] == agreement
