"""All figures of a run, from what its network said about each split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from baseline.data import Examples
from baseline.evaluation.calibration import (
    ScoreCalibration,
    calibration_error,
    classwise_error,
    fit_calibration,
)
from baseline.evaluation.decision_rule import (
    DecisionRule,
    risk_coverage_curve,
    rule_scores,
    save_decision_rule,
    without_thresholds,
)
from baseline.evaluation.intervals import group_numbers, intervals
from baseline.evaluation.metrics import (
    SampleContext,
    classification_metrics,
    sample_context,
    subgroup_metrics,
)
from baseline.evaluation.outputs import Floats, Outputs, save_outputs, softmax
from baseline.evaluation.retrieval import (
    Embeddings,
    open_set_metrics,
    retrieval_metrics,
    unit_embeddings,
    verification_metrics,
)
from gleanset import Dataset
from gleanset.db.runs import EvaluationCounts, SplitEvaluations
from gleanset.html.words import count

TEST = "test"
Metrics = dict[str, object]


@dataclass(frozen=True, slots=True)
class RunMetrics:
    """`metrics` are what `metrics.json` gains: a key for each split, and some for all of them.

    `looks` are those at test before this one; None where there is no test split.
    """

    metrics: Metrics
    looks: EvaluationCounts | None
    calibration: ScoreCalibration


def evaluate_run(
    dataset: Dataset,
    run_id: str,
    folder: Path,
    examples: Examples,
    outputs: Mapping[str, Outputs],
    *,
    shift: Floats | None = None,
    scratch: Path | None = None,
) -> RunMetrics:
    """Judge a new run on its splits, and keep what later questions need in its `folder`.

    `shift` is what balancing the classes may have done to the scores (`baseline.data`). Written
    are `outputs.npz` and `answers.json`; the look at test is recorded. Splits without
    pictures may be missing. Raises what the disk raises.
    """
    samples = [sample for part in examples.splits.values() for sample in part]
    context = sample_context(dataset, samples, examples.moments)
    outputs = {split: told.unique() for split, told in outputs.items() if len(told)}
    fitted = calibration_on(outputs.get("val"), context, shift)
    offsets = dict(zip(examples.classes, fitted.offsets, strict=False))
    answers = DecisionRule(fitted.temperature, offsets=offsets)
    save_outputs(folder, outputs, scratch=scratch)
    save_decision_rule(folder, answers, scratch=scratch)
    metrics = {"temperature": fitted.temperature, "calibration": fitted.to_json()}
    metrics |= all_metrics(outputs, examples.classes, context, answers)
    looks = (
        SplitEvaluations(dataset.db).add(run_id, TEST, outputs[TEST].keys, "train")
        if (TEST in outputs)
        else None
    )
    return RunMetrics(metrics, looks, fitted)


def calibration_on(
    val: Outputs | None, context: SampleContext, shift: Floats | None
) -> ScoreCalibration:
    """The calibration that val gives; none without one."""
    if val is None:
        return ScoreCalibration(share=0.0 if shift is not None and len(shift) else None)
    return fit_calibration(val.logits, val.y, context.groups(val.keys), shift)


def all_metrics(
    outputs: Mapping[str, Outputs],
    classes: Sequence[str],
    context: SampleContext,
    answers: DecisionRule,
) -> Metrics:
    """The figures of every split, the overfitting gap, and retrieval where there are embeddings."""
    told = {
        split: split_metrics(found, classes, context, answers) for split, found in outputs.items()
    }
    return {**told, "gap": _gap(told), "retrieval": embedding_metrics(outputs, context)}


def split_metrics(
    told: Outputs, classes: Sequence[str], context: SampleContext, answers: DecisionRule
) -> Metrics:
    """One split: figures, intervals, calibration before and after, parts of the data.

    Accuracy and all that counts answers is of the answers that are given, by calibrated scores.
    Log loss and calibration error are of the scores as the network gives them; `calibrated` holds
    both anew, and `classwise`, the calibration of each class. Thresholds play no part.
    """
    groups, plain = context.groups(told.keys), without_thresholds(answers)
    given = replace(told, logits=rule_scores(told.logits, classes, plain))
    raw = classification_metrics(told.logits, told.y, told.keys, classes)
    figures = classification_metrics(given.logits, given.y, given.keys, classes)
    probabilities = softmax(given.logits)
    after = calibration_error(probabilities, told.y)
    ranges = intervals(given.logits, given.y, groups)
    if ranges:
        ranges["log_loss"] = intervals(told.logits, told.y, groups)["log_loss"]
    return {
        **figures.to_json(),
        "log_loss": raw.log_loss,
        "moments": len(set(groups)),
        "intervals": {name: list(found) for name, found in ranges.items()},
        **calibration_error(softmax(told.logits), told.y).to_json(),
        "calibrated": {"log_loss": figures.log_loss, **after.to_json()},
        "classwise": classwise_error(probabilities, told.y, groups, classes).to_json(),
        "kinds": [
            part.to_json() for part in subgroup_metrics(given, context.kinds, context.moments)
        ],
        "labels": [
            part.to_json() for part in subgroup_metrics(given, context.givers, context.moments)
        ],
        "risk": risk_coverage_curve(told, classes, plain),
    }


def _gap(told: Mapping[str, Metrics]) -> dict[str, float]:
    """By how much the accuracy on train is above that on the other splits."""
    right = {split: float(str(figures["accuracy"])) for split, figures in told.items()}
    if "train" not in right:
        return {}
    return {s: right["train"] - share for s, share in right.items() if s != "train"}


def embedding_metrics(outputs: Mapping[str, Outputs], context: SampleContext) -> Metrics | None:
    """Test (or val) against the gallery of train, or against itself where there is no train."""
    held = {s: told for s, told in outputs.items() if told.embeddings is not None}
    split = next((s for s in (TEST, "val", "train") if s in held), None)
    if split is None:
        return None
    against = "train" if "train" in held else split
    queries, gallery = _vectors(held[split], held[against], context)
    found = retrieval_metrics(queries, gallery)
    if found is None:
        return None
    pairs, opened = verification_metrics(queries, gallery), open_set_metrics(queries, gallery)
    return {
        "split": split,
        "against": against,
        **found.to_json(),
        "verification": pairs and pairs.to_json(),
        "open_set": opened and opened.to_json(),
    }


def _vectors(
    queries: Outputs, gallery: Outputs, context: SampleContext
) -> tuple[Embeddings, Embeddings]:
    """Both with numbers of moments that mean the same."""
    numbers = group_numbers(context.groups((*queries.keys, *gallery.keys)))
    return (
        unit_embeddings(queries, numbers[: len(queries)]),
        unit_embeddings(gallery, numbers[len(queries) :]),
    )


def reuse_warning(looks: EvaluationCounts) -> str:
    """How often test was looked at before by other runs, or for doubts; empty when never."""
    if not looks.times:
        return ""
    runs = ", ".join(looks.runs[:5]) + (" and others" if len(looks.runs) > 5 else "")
    return (
        f"these test pictures were looked at {count(looks.times, 'time')} before, by {runs}: "
        "whoever chooses by them makes their figures too good"
    )
