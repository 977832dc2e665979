"""All figures of a run, from what its network said about each split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from baseline.data.runs import run_folder
from baseline.data.samples import Examples
from baseline.judge.answers import (
    UNKNOWN,
    DecisionRule,
    decide,
    rule_scores,
    save_decision_rule,
)
from baseline.judge.calibration import (
    CalibrationError,
    ScoreCalibration,
    calibration_error,
    classwise_error,
    fit_calibration,
)
from baseline.judge.familiarity import outputs_familiarity
from baseline.judge.intervals import effective_moments, group_numbers, several_interval
from baseline.judge.metrics import (
    AnswerFigures,
    SampleContext,
    SplitFigures,
    class_scores,
    classification_metrics,
    mean_log_loss,
    sample_context,
    subgroup_metrics,
)
from baseline.judge.outputs import Floats, Outputs, save_outputs, softmax
from baseline.judge.retrieval import RetrievalMetrics, retrieval_metrics, unit_embeddings
from gleanset import Dataset
from gleanset.db.runs import EvaluationCounts, SplitEvaluations
from gleanset.html.words import count

TEST = "test"


@dataclass(frozen=True, slots=True)
class JudgedRun:
    """The figures of each split, and some for all of them, as `RunFigures` has them.

    `looks` are those at test before this one; None where there is no test split.
    """

    splits: Mapping[str, SplitFigures]
    gap: Mapping[str, float]
    retrieval: RetrievalMetrics | None
    looks: EvaluationCounts | None


def judge_run(
    dataset: Dataset,
    run_id: str,
    examples: Examples,
    outputs: Mapping[str, Outputs],
    rule: DecisionRule,
    scratch: Path | None = None,
) -> JudgedRun:
    """Judge a new run on its splits by its rule, and keep what later questions need in its folder.

    Written are `outputs.npz` and `answers.json`; the look at test is recorded. Splits without
    pictures may be missing; outputs without distances are of a gallery. Raises what the disk
    raises.
    """
    samples = [sample for part in examples.splits.values() for sample in part]
    context = sample_context(dataset, samples, examples.moments)
    folder = run_folder(dataset, run_id)
    outputs = {split: part.unique() for split, part in outputs.items() if len(part)}
    save_outputs(folder, outputs, scratch=scratch)
    save_decision_rule(folder, rule, scratch=scratch)
    splits = {}
    for split, part in outputs.items():
        gallery = part.distances is None
        familiarity = outputs_familiarity(part, examples.classes, rule, gallery=gallery)
        splits[split] = split_metrics(part, examples.classes, context, rule, familiarity)
    right = {split: figures.accuracy for split, figures in splits.items()}
    learnt = right.pop("train", None)
    gap = {} if learnt is None else {split: learnt - share for split, share in right.items()}
    looks = None
    if TEST in outputs:
        looks = SplitEvaluations(dataset.db).add(run_id, TEST, outputs[TEST].keys, "train")
    return JudgedRun(splits, gap, embedding_metrics(outputs, context), looks)


def fitted_rule(
    val: Outputs | None, examples: Examples, shift: Floats | None = None
) -> tuple[ScoreCalibration, DecisionRule]:
    """Fit the calibration on val, none without pictures there; and the rule that applies it.

    `shift` is what balancing the classes may have done to the scores (`prior_shift`).
    """
    fitted = ScoreCalibration(share=0.0 if shift is not None and len(shift) else None)
    if val is not None and len(val):
        val = val.unique()
        groups = [examples.moments[key] for key in val.keys]
        fitted = fit_calibration(val.logits, val.y, groups, shift)
    offsets = dict(zip(examples.classes, fitted.offsets, strict=False))
    return fitted, DecisionRule(fitted.temperature, offsets=offsets)


def answer_figures(
    outputs: Outputs,
    classes: Sequence[str],
    rule: DecisionRule,
    familiarity: Floats | None,
    groups: Sequence[str],
) -> AnswerFigures:
    """Return what users get under a rule, by the `familiarity` of N images and their groups."""
    answers = decide(outputs.logits, classes, rule, familiarity).classes
    right = answers == outputs.y
    return AnswerFigures(
        int(right.sum()),
        int((answers == UNKNOWN).sum()),
        class_scores(outputs.y, answers, classes),
        several_interval(right, groups),
    )


def split_metrics(
    outputs: Outputs,
    classes: Sequence[str],
    context: SampleContext,
    rule: DecisionRule,
    familiarity: Floats | None = None,
) -> SplitFigures:
    """Return the figures of one split, their interval, calibration, and those of its parts.

    All is by calibrated scores; `uncalibrated` holds log loss and calibration error of the scores
    as the network gives them. Thresholds count for `answers` alone, that of familiarity where the
    `familiarity` of the images (N) is known.
    """
    groups, plain = context.groups(outputs.keys), rule.without_thresholds()
    answered = replace(outputs, logits=rule_scores(outputs.logits, classes, plain))
    figures = classification_metrics(answered.logits, answered.y, answered.keys, classes)
    probabilities = softmax(answered.logits)
    before = calibration_error(softmax(outputs.logits), outputs.y)
    after = calibration_error(probabilities, outputs.y)
    interval = several_interval(answered.right, groups)
    return replace(
        figures,
        moments=len(set(groups)),
        effective_moments=effective_moments(groups),
        intervals={} if interval is None else {"accuracy": interval},
        ece=after.ece,
        bins=after.bins,
        uncalibrated=CalibrationError(
            before.ece, before.bins, mean_log_loss(outputs.logits, outputs.y)
        ),
        classwise=classwise_error(probabilities, outputs.y, groups, classes),
        kinds=subgroup_metrics(answered, context.kinds, context.moments),
        labels=subgroup_metrics(answered, context.givers, context.moments),
        answers=answer_figures(outputs, classes, rule, familiarity, groups),
    )


def embedding_metrics(
    outputs: Mapping[str, Outputs], context: SampleContext
) -> RetrievalMetrics | None:
    """Return how test (or val) finds its classes in train, or in itself where there is no train."""
    held = {split: part for split, part in outputs.items() if part.embeddings is not None}
    split = next((split for split in (TEST, "val", "train") if split in held), None)
    if split is None:
        return None
    against = "train" if "train" in held else split
    queries, gallery = held[split], held[against]
    # Numbers of moments that mean the same in both.
    numbers = group_numbers(context.groups((*queries.keys, *gallery.keys)))
    figures = retrieval_metrics(
        unit_embeddings(queries, numbers[: len(queries)]),
        unit_embeddings(gallery, numbers[len(queries) :]),
    )
    return figures and replace(figures, split=split, against=against)


def reuse_warning(looks: EvaluationCounts | None) -> str:
    """Say how often test was looked at before by other runs, or for doubts; empty when never."""
    if looks is None or not looks.times:
        return ""
    runs = ", ".join(looks.runs[:5]) + (" and others" if len(looks.runs) > 5 else "")
    return (
        f"these test pictures were looked at {count(looks.times, 'time')} before, by {runs}: "
        "whoever chooses by them makes their figures too good"
    )


def straddle_warning(examples: Examples, split: str) -> str:
    """Return a warning where pictures of `split` are of moments that train has, too."""
    number = examples.straddling(split)
    if not number or split == "train":
        return ""
    return (
        f"{number} of the {len(examples.splits[split])} pictures of {split} are of a scene, a post "
        "or a look that train has, too: figures there are too good (labeler split keeps moments "
        "whole)"
    )
