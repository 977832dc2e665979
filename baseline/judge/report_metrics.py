"""All figures of a run, from what its network said about each split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from baseline.data.samples import Examples
from baseline.judge.calibration import (
    ScoreCalibration,
    calibration_error,
    classwise_error,
    fit_calibration,
)
from baseline.judge.decision_rule import (
    DecisionRule,
    risk_coverage_curve,
    rule_scores,
    save_decision_rule,
    without_thresholds,
)
from baseline.judge.intervals import effective_moments, group_numbers, intervals
from baseline.judge.metrics import (
    SampleContext,
    classification_metrics,
    mean_log_loss,
    sample_context,
    subgroup_metrics,
)
from baseline.judge.outputs import Floats, Outputs, save_outputs, softmax
from baseline.judge.retrieval import (
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

    `shift` is what balancing the classes may have done to the scores (`prior_shift`). Written
    are `outputs.npz` and `answers.json`; the look at test is recorded. Splits without
    pictures may be missing. Raises what the disk raises.
    """
    samples = [sample for part in examples.splits.values() for sample in part]
    context = sample_context(dataset, samples, examples.moments)
    outputs = {split: found.unique() for split, found in outputs.items() if len(found)}
    fitted = calibration_on(outputs.get("val"), context, shift)
    offsets = dict(zip(examples.classes, fitted.offsets, strict=False))
    rule = DecisionRule(fitted.temperature, offsets=offsets)
    save_outputs(folder, outputs, scratch=scratch)
    save_decision_rule(folder, rule, scratch=scratch)
    metrics = {"temperature": fitted.temperature, "calibration": fitted.to_json()}
    metrics |= all_metrics(outputs, examples.classes, context, rule)
    looks = (
        SplitEvaluations(dataset.db).add(run_id, TEST, outputs[TEST].keys, "train")
        if (TEST in outputs)
        else None
    )
    return RunMetrics(metrics, looks, fitted)


def calibration_on(
    val: Outputs | None, context: SampleContext, shift: Floats | None
) -> ScoreCalibration:
    """Fit the calibration on val; none without pictures there."""
    if val is None:
        return ScoreCalibration(share=0.0 if shift is not None and len(shift) else None)
    return fit_calibration(val.logits, val.y, context.groups(val.keys), shift)


def all_metrics(
    outputs: Mapping[str, Outputs],
    classes: Sequence[str],
    context: SampleContext,
    rule: DecisionRule,
) -> Metrics:
    """Return the metrics of every split, the overfitting gap, and those of embeddings, if any."""
    metrics = {
        split: split_metrics(found, classes, context, rule) for split, found in outputs.items()
    }
    return {**metrics, "gap": _gap(metrics), "retrieval": embedding_metrics(outputs, context)}


def split_metrics(
    outputs: Outputs, classes: Sequence[str], context: SampleContext, rule: DecisionRule
) -> Metrics:
    """Return the metrics of one split, their intervals, calibration, and those of its parts.

    All is of the answers that are given, by calibrated scores; `uncalibrated` holds log loss and
    calibration error of the scores as the network gives them. Thresholds play no part.
    """
    groups, plain = context.groups(outputs.keys), without_thresholds(rule)
    given = replace(outputs, logits=rule_scores(outputs.logits, classes, plain))
    figures = classification_metrics(given.logits, given.y, given.keys, classes)
    probabilities = softmax(given.logits)
    before = calibration_error(softmax(outputs.logits), outputs.y)
    ranges = intervals(given.logits, given.y, groups)
    return {
        **figures.to_json(),
        "moments": len(set(groups)),
        "effective_moments": effective_moments(groups),
        "intervals": {name: list(found) for name, found in ranges.items()},
        **calibration_error(probabilities, outputs.y).to_json(),
        "uncalibrated": {
            "log_loss": mean_log_loss(outputs.logits, outputs.y),
            **before.to_json(),
        },
        "classwise": classwise_error(probabilities, outputs.y, groups, classes).to_json(),
        "kinds": [
            part.to_json() for part in subgroup_metrics(given, context.kinds, context.moments)
        ],
        "labels": [
            part.to_json() for part in subgroup_metrics(given, context.givers, context.moments)
        ],
        "risk": risk_coverage_curve(outputs, classes, plain),
    }


def _gap(metrics: Mapping[str, Metrics]) -> dict[str, float]:
    """By how much the accuracy on train is above that on the other splits."""
    right = {split: float(str(figures["accuracy"])) for split, figures in metrics.items()}
    if "train" not in right:
        return {}
    return {s: right["train"] - share for s, share in right.items() if s != "train"}


def embedding_metrics(outputs: Mapping[str, Outputs], context: SampleContext) -> Metrics | None:
    """Return how test (or val) finds its classes in train, or in itself where there is no train."""
    held = {s: found for s, found in outputs.items() if found.embeddings is not None}
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
    """Return both with numbers of moments that mean the same."""
    numbers = group_numbers(context.groups((*queries.keys, *gallery.keys)))
    return (
        unit_embeddings(queries, numbers[: len(queries)]),
        unit_embeddings(gallery, numbers[len(queries) :]),
    )


def reuse_warning(looks: EvaluationCounts) -> str:
    """Say how often test was looked at before by other runs, or for doubts; empty when never."""
    if not looks.times:
        return ""
    runs = ", ".join(looks.runs[:5]) + (" and others" if len(looks.runs) > 5 else "")
    return (
        f"these test pictures were looked at {count(looks.times, 'time')} before, by {runs}: "
        "whoever chooses by them makes their figures too good"
    )
