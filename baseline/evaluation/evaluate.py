"""Evaluation of a run after its training, and again on the current samples."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from baseline.data.runs import (
    TRAINED_ON,
    find_finished_run,
    find_renamed_classes,
    read_run_json,
    run_folder,
)
from baseline.data.samples import Examples, find_examples
from baseline.evaluation.decision_rule import (
    MIN_ANSWER_CONFIDENCE,
    SCALE_FILE,
    UNKNOWN,
    DecisionRule,
    RuleRequest,
    SplitAnswers,
    ThresholdEffects,
    calibrate_with_rule,
    choose_rule,
    confidences_of,
    decide,
    load_decision_rule,
    load_feature_scale,
    save_decision_rule,
)
from baseline.evaluation.intervals import effective_groups, share_interval_or_none
from baseline.evaluation.metrics import (
    MAX_MISTAKES,
    AnswerMetrics,
    SplitMetrics,
    compute_class_scores,
    compute_classification_metrics,
    empty_split_error,
    list_mistakes,
    mean_log_loss,
    read_metrics,
    rename_classes,
    summarize_copy_search,
    write_metrics,
)
from baseline.evaluation.outputs import (
    Outputs,
    ScoreCalibration,
    calibration_error,
    fit_calibration,
    load_outputs,
    save_outputs,
    softmax,
)
from baseline.evaluation.summary import EvaluationResult
from baseline.train.trained_net import GalleryHead, load_model
from baseline.train.training import TrainingData, compute_split_outputs, with_distances
from curation.labelling_command import suggest_larger_test
from curation.split_groups import assign_split_groups
from gleanset import Dataset
from gleanset.arrays import Float64Array
from gleanset.db.runs import EvaluationCounts, SplitEvaluations
from gleanset.errors import InputUnusable
from gleanset.records import Sample
from gleanset.work.progress import Progress

TEST = "test"


def evaluate_run(
    dataset: Dataset,
    run_id: str,
    examples: Examples,
    outputs: Mapping[str, Outputs],
    rule: DecisionRule,
) -> tuple[dict[str, SplitMetrics], EvaluationCounts | None]:
    """Evaluate a new run on its splits; write `outputs.npz` and `answers.json`.

    The test evaluation is recorded; earlier ones are counted, None without a test split. Splits
    without images may be missing; outputs without distances are of a gallery. Raises NotWritable
    or DiskFull.
    """
    folder = run_folder(dataset, run_id)
    outputs = {
        split: split_outputs
        for split, split_outputs in outputs.items()
        if len(split_outputs)
    }
    save_outputs(folder, outputs)
    save_decision_rule(folder, rule)

    splits = {}
    for split, split_outputs in outputs.items():
        answers = SplitAnswers.measure(
            split_outputs, examples.classes, examples.groups, rule
        )
        splits[split] = compute_split_metrics(answers, rule)

    if TEST not in outputs:
        return splits, None
    evaluations = SplitEvaluations(dataset.db)
    return splits, evaluations.add(run_id, TEST, outputs[TEST].keys, "train")


def fit_decision_rule(
    val: Outputs | None, examples: Examples, shift: Float64Array
) -> tuple[ScoreCalibration, DecisionRule]:
    """Fit the calibration on val, if it has images, and return the rule that applies it.

    `shift` is from `compute_prior_shift`.
    """
    # Which share of `shift` is added to the scores; None if there is nothing to add.
    calibration = ScoreCalibration(share=0.0 if len(shift) else None)
    if val is not None and len(val):
        groups = [examples.groups[key] for key in val.keys]
        calibration = fit_calibration(val.logits, val.y, groups, shift)
    # Not strict: there are no offsets if no share of `shift` was fitted.
    offsets = dict(zip(examples.classes, calibration.offsets, strict=False))
    return calibration, DecisionRule(calibration.temperature, offsets=offsets)


def compute_answer_metrics(split: SplitAnswers, rule: DecisionRule) -> AnswerMetrics:
    """Return the metrics of what users get."""
    outputs = split.outputs
    classes = split.classes
    answers, confidences, _ = decide(
        outputs.logits,
        classes,
        rule,
        split.similarity,
        outputs.membership,
    )
    right = answers == outputs.y
    is_unknown = answers == UNKNOWN

    # Rows are true classes, columns predicted ones; the last column is "unknown".
    confusion = np.zeros((len(classes), len(classes) + 1), np.int64)
    np.add.at(confusion, (outputs.y, np.where(is_unknown, len(classes), answers)), 1)

    is_unsure = ~is_unknown & (
        confidences_of(answers, confidences) < MIN_ANSWER_CONFIDENCE
    )
    return AnswerMetrics(
        right=int(right.sum()),
        unknown=int(is_unknown.sum()),
        classes=compute_class_scores(outputs.y, answers, classes),
        interval=share_interval_or_none(right, split.groups),
        confusion=confusion.tolist(),
        mistakes=list_mistakes(
            confidences,
            answers,
            outputs.y,
            outputs.keys,
            classes,
        )[:MAX_MISTAKES],
        unsure=int(is_unsure.sum()),
        unsure_right=int((is_unsure & right).sum()),
    )


def compute_split_metrics(split: SplitAnswers, rule: DecisionRule) -> SplitMetrics:
    """Return the metrics of one split, with interval and calibration.

    They are of calibrated scores; `uncalibrated` is without calibration. Thresholds count for
    `answers` only.
    """
    outputs = split.outputs
    classes = split.classes
    logits = calibrate_with_rule(outputs.logits, classes, rule)
    figures = compute_classification_metrics(logits, outputs.y, outputs.keys, classes)
    right = logits.argmax(1) == outputs.y
    interval = share_interval_or_none(right, split.groups)
    before = calibration_error(softmax(outputs.logits), outputs.y)
    after = calibration_error(softmax(logits), outputs.y)

    return replace(
        figures,
        groups=len(set(split.groups)),
        effective_groups=effective_groups(split.groups),
        intervals={} if interval is None else {"accuracy": interval},
        ece=after.ece,
        bins=after.bins,
        uncalibrated=replace(
            before,
            log_loss=mean_log_loss(outputs.logits, outputs.y),
        ),
        answers=compute_answer_metrics(split, rule),
    )


def leak_warning(examples: Examples, split: str) -> str:
    """Return a warning if groups are in both train and `split`, or empty."""
    leaks = examples.count_leaked_samples(split)
    if not leaks or split == "train":
        return ""
    return (
        f"{leaks} of {len(examples.splits[split])} images of {split} are in groups of training "
        "images: its accuracy is too optimistic (labeler split keeps groups together)"
    )


def reevaluate_run(
    dataset: Dataset,
    run_id: str | None,
    split: str,
    request: RuleRequest,
    progress: Progress,
) -> EvaluationResult:
    """Evaluate a finished run again; update `outputs.npz` and, if requested, `answers.json`.

    Raises `InputUnusable` if there is no such run, no image in the split, a class that the run
    does not know, or if groups of these images were training data of the run.
    """
    run, folder = find_finished_run(dataset, run_id)
    splits = {split}
    # Thresholds are chosen on val; to forget them needs no images.
    if request.any and not request.forget:
        splits.add("val")
    examples, outputs = _predict_splits(
        dataset,
        run,
        folder,
        splits,
        progress,
    )
    all_outputs = load_outputs(folder) | outputs
    save_outputs(folder, all_outputs)

    # With new thresholds the stored outputs of test are evaluated again, whatever `split` is.
    earlier = None
    if TEST in all_outputs and (request.any or split == TEST):
        evaluations = SplitEvaluations(dataset.db)
        earlier = evaluations.add(
            run,
            TEST,
            all_outputs[TEST].keys,
            "evaluate",
        )

    rule = load_decision_rule(folder)
    answers = {
        name: SplitAnswers.measure(
            split_outputs, examples.classes, examples.groups, rule
        )
        for name, split_outputs in outputs.items()
    }
    new_names = find_renamed_classes(dataset, examples.classes)
    warning = leak_warning(examples, split)
    merged = set(examples.classes).difference(new_names, dataset.classes.list_names())
    if merged and not warning:
        warning = (
            f"predictions of {min(merged)} count as wrong, because it was merged or deleted "
            f"since the training; train again: {_train_command(dataset, run)}"
        )
    thresholds = ThresholdEffects()
    if request.any:
        request = _with_former_names(request, new_names)
        # Val is missing only if thresholds are forgotten, which needs no images.
        rule = choose_rule(
            answers.get("val", answers[split]),
            request,
            rule,
        )
        thresholds = rule.effects
        save_decision_rule(folder, rule)
        _update_metrics(dataset, folder, rule)

    figures = compute_split_metrics(answers[split], rule)
    return EvaluationResult(
        run=run,
        split=split,
        figures=rename_classes(figures, new_names),
        effects=rename_classes(thresholds, new_names),
        copies=summarize_copy_search(dataset, examples, split),
        earlier=earlier if split == TEST else None,
        warning=warning,
    )


def _with_former_names(
    request: RuleRequest, new_names: Mapping[str, str]
) -> RuleRequest:
    """Return a request for the names that the classes had when the run was trained."""
    former = {now: name for name, now in new_names.items()}
    recalls = {
        former.get(name, name): recall for name, recall in request.protected.items()
    }
    return request._replace(protected=recalls)


def _update_metrics(dataset: Dataset, folder: Path, rule: DecisionRule) -> None:
    """Measure what users get under a new rule, by the stored outputs."""
    metrics = read_metrics(folder)
    outputs = load_outputs(folder)
    splits: dict[str, Any] = {}
    for split, figures in metrics.splits.items():
        if split not in outputs:
            continue
        split_outputs = outputs[split]
        groups = assign_split_groups(dataset.db, split_outputs.keys)
        answers = SplitAnswers.measure(split_outputs, metrics.classes, groups, rule)
        splits[split] = replace(
            figures,
            answers=compute_answer_metrics(answers, rule),
        )

    write_metrics(folder, replace(metrics, **splits))


def _predict_splits(
    dataset: Dataset, run: str, folder: Path, splits: set[str], progress: Progress
) -> tuple[Examples, dict[str, Outputs]]:
    """Return the current samples with the class names of the run, and its outputs of `splits`."""
    net, settings, classes = load_model(folder)
    examples = find_examples(dataset)
    examples = _with_run_names(examples, find_renamed_classes(dataset, classes))
    if new := sorted(set(examples.classes) - set(classes)):
        raise InputUnusable(
            f"run {run} does not know some of the current classes: {', '.join(new)}",
            f"train again: {_train_command(dataset, run)}",
        )

    # All classes of the run in its order, also those without images now.
    examples = examples._replace(classes=classes)
    for split in splits:
        _check_not_trained_on(
            dataset,
            run,
            folder,
            examples,
            split,
        )

    if empty := [split for split in sorted(splits) if not examples.splits[split]]:
        commands = suggest_larger_test(dataset, unseen=bool(examples.unseen))
        raise empty_split_error(f"no images in {empty[0]}", commands)

    # The rule for "unknown" compares similarities, which need one of these.
    scale = load_feature_scale(folder)
    if not (scale or net.membership or isinstance(net.head, GalleryHead)):
        raise InputUnusable(
            f"the run has no statistics of its training data ({SCALE_FILE})",
            "train again: baseline train",
        )

    data = TrainingData(dataset, examples, settings, progress)
    outputs = {
        split: with_distances(compute_split_outputs(net, data, split), scale)
        for split in sorted(splits)
    }
    return examples, outputs


def _with_run_names(examples: Examples, new_names: Mapping[str, str]) -> Examples:
    """Return examples with the names that the classes had when the run was trained."""
    former = {now: name for name, now in new_names.items()}

    def rename(sample: Sample) -> Sample:
        return replace(
            sample,
            label=former.get(str(sample.label), sample.label),
        )

    splits = {
        split: tuple(map(rename, samples)) for split, samples in examples.splits.items()
    }
    names = tuple(former.get(name, name) for name in examples.classes)
    return examples._replace(splits=splits, classes=names)


def _check_not_trained_on(
    dataset: Dataset, run: str, folder: Path, examples: Examples, split: str
) -> None:
    """Refuse images whose groups the run was trained on, if the split was changed since."""
    trained_keys = read_run_json(folder, TRAINED_ON, set[str], "train again")
    if split == "train" or not trained_keys:
        return
    samples = examples.splits[split]
    keys = trained_keys.union(sample.key for sample in samples)
    # Groups of `keys`, and of all samples that are in the splits now.
    groups = assign_split_groups(dataset.db, keys)
    # Only groups that have left train: if one is still there, the split itself has it in two parts,
    # and `leak_warning` reports that.
    former_train_groups = {groups[key] for key in trained_keys}
    former_train_groups -= {groups[sample.key] for sample in examples.splits["train"]}
    leaks = [
        sample
        for sample in samples
        if sample.key in trained_keys or groups[sample.key] in former_train_groups
    ]
    if leaks:
        raise InputUnusable(
            f"run {run} was trained on {len(leaks)} of the {len(samples)} images now in {split}, "
            "or on others of their groups",
            f"train again on this split: {_train_command(dataset, run)}",
        )


def _train_command(dataset: Dataset, run_id: str) -> str:
    run = dataset.runs.get(run_id)
    preset = run.settings.get("preset") if run else None
    option = f"--preset {preset} " if preset else ""
    return f"baseline train {option}{dataset.option}"
