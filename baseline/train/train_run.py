"""A training run: `runs/<id>/` with weights, settings, metrics, log and report.

A method (`baseline.train.methods`) fits a network to the examples, usually with the training loop
(`loop.py`). The network is saved and evaluated on every split, and the report is written.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path

from baseline.data.runs import (
    METRICS,
    TRAINED_ON,
    TRAINING_KIND,
    Say,
    find_equal_run,
    make_run_id,
    record_run_end,
    remove_checkpoint,
    run_folder,
    write_run_json,
)
from baseline.data.samples import compute_prior_shift, ensure_val, find_examples
from baseline.evaluation.decision_rule import NO_UNKNOWN_RULE, SCALE_FILE
from baseline.evaluation.evaluate import (
    TEST,
    evaluate_run,
    fit_decision_rule,
    leak_warning,
)
from baseline.evaluation.metrics import (
    RunMetrics,
    SplitMetrics,
    summarize_copy_search,
    write_metrics,
)
from baseline.evaluation.report.page import REPORT, write_report
from baseline.evaluation.summary import TrainedRun, reuse_warning
from baseline.extras import require_packages
from baseline.settings import Settings
from baseline.train.trained_net import save_model
from baseline.train.training import (
    RunLogger,
    TrainingData,
    compute_split_outputs,
    feature_scale,
    fit_method,
    with_distances,
)
from baseline.train.unknown import add_membership, add_unknown_rule
from baseline.use.crops import save_crops
from gleanset import Dataset
from gleanset.db.faces import list_crop_methods
from gleanset.db.runs import EvaluationCounts
from gleanset.files.atomic import write_atomic
from gleanset.html.words import count
from gleanset.records import SPLITS
from gleanset.work.progress import NO_PROGRESS, Progress

CHECKPOINT = "checkpoint"


def train_run(
    dataset: Dataset,
    settings: Settings,
    *,
    progress: Progress = NO_PROGRESS,
    say: Say = lambda line: None,
) -> TrainedRun:
    """Train, evaluate on val and once on test, and return the result.

    An interrupted run is resumed from its last checkpoint. A finished run with the same data and
    settings is returned instead of training again. `say` prints warnings. Raises what finding
    examples, training and the disk raise; the run is then `failed` in the catalogue, or
    `interrupted` after Ctrl-C.
    """
    require_packages(settings)

    with dataset.stage(TRAINING_KIND):
        examples = find_examples(dataset)
        unsplit_count = dataset.samples.count_unsplit()
        if unsplit_count:
            samples = count(unsplit_count, "labelled sample")
            say(
                f"not used: {samples} without a split (labeler split {dataset.option} adds them)"
            )

        facts = {**settings.to_json(), "data": examples.fingerprint()}
        finished_run = find_equal_run(dataset, TRAINING_KIND, facts, say)
        if finished_run is not None:
            # The process may have been killed after the end of the run was recorded, before its
            # checkpoint was removed.
            _complete(dataset, finished_run.id)
            # Since the training, more images may have been searched for duplicates.
            copies = summarize_copy_search(dataset, examples, TEST)
            fields = finished_run.result | {"copies": copies}
            return TrainedRun.from_run(dataset, finished_run.id, fields)

        warnings = [leak_warning(examples, split) for split in ("val", TEST)]
        for warning in filter(None, warnings):
            say(warning)

        examples, val_notice = ensure_val(examples, settings.seed)
        run_id = make_run_id(dataset, settings.preset)
        run = dataset.runs.start(run_id, TRAINING_KIND, facts)
        checkpoint = run_folder(dataset, run.id) / CHECKPOINT
        data = TrainingData(
            dataset,
            examples,
            settings,
            progress,
            checkpoint,
        )

        with record_run_end(dataset, run.id):
            result = _train_and_evaluate(data, run.id, val_notice, say)
        dataset.runs.finish(run.id, "done", result)
        _complete(dataset, run.id)
        return TrainedRun.from_run(dataset, run.id, result)


def _complete(dataset: Dataset, run_id: str) -> None:
    """Finish what a kill may have left: checkpoint, partial files and report."""
    folder = run_folder(dataset, run_id)
    remove_checkpoint(folder / CHECKPOINT)
    remove_checkpoint(folder)
    if (folder / METRICS).is_file() and not (folder / REPORT).is_file():
        write_report(dataset, run_id)


def _make_logger(data: TrainingData, folder: Path, say: Say) -> RunLogger:
    if not data.settings.tensorboard:
        return RunLogger(folder, data.progress, say)
    # Imported here, because it is an extra.
    from baseline.train.tensorboard_log import TensorBoardLogger

    return TensorBoardLogger(folder, data.progress, say)


def _train_and_evaluate(
    data: TrainingData,
    run_id: str,
    val_notice: str | None,
    say: Say,
) -> dict[str, object]:
    """Fit, save and evaluate a network; return the result for the catalogue."""
    start = time.monotonic()
    folder = run_folder(data.dataset, run_id)
    with _make_logger(data, folder, say) as logger:
        if val_notice is not None:
            logger.say(val_notice)
        training = fit_method(data, data.settings, logger)

    # Save what predictions need.
    left_out = add_membership(data, training)
    examples = data.examples
    keys = sorted(sample.key for sample in examples.splits["train"])
    write_atomic(folder / TRAINED_ON, json.dumps(keys).encode())
    save_crops(
        folder,
        list_crop_methods(data.dataset.db, iter(keys)),
    )
    save_model(folder, training.net, data.settings, data.classes)

    # Predict each split. The membership replaces the distances from the mean.
    outputs = {
        split: compute_split_outputs(training.net, data, split) for split in SPLITS
    }
    scale = None
    if training.net.membership is None:
        scale = feature_scale(training.net, outputs["train"])
    if scale is not None:
        write_run_json(folder, SCALE_FILE, scale)
        outputs = {
            split: with_distances(split_outputs, scale)
            for split, split_outputs in outputs.items()
        }

    # Val calibrates and chooses thresholds, then each split is evaluated.
    val = outputs["val"]
    shift = compute_prior_shift(examples, data.settings)
    calibration, rule = fit_decision_rule(val, examples, shift)
    rule = add_unknown_rule(
        data,
        training,
        val,
        scale,
        rule,
        left_out,
    )
    splits, earlier = evaluate_run(
        data.dataset,
        run_id,
        examples,
        outputs,
        rule,
    )

    evaluations = {
        split: figures for split, figures in splits.items() if split != "train"
    }
    for warning in _list_warnings(earlier, evaluations):
        say(warning)

    counts = {split: len(split_outputs) for split, split_outputs in outputs.items()}
    unreadable = len(examples.all_samples()) - sum(counts.values())
    copies = summarize_copy_search(data.dataset, examples, TEST)
    course = training.course
    metrics = RunMetrics(
        classes=list(data.classes),
        settings=data.settings.to_json(),
        data={
            **counts,
            "unreadable": unreadable,
            "fingerprint": examples.fingerprint(),
            "splits": data.dataset.samples.hash_splits(),
            "told": val_notice,
        },
        epochs=list(course.history),
        best_epoch=course.best_epoch,
        seconds=round(time.monotonic() - start, 3),
        device=course.device,
        precision=course.precision,
        parameters=training.net.parameters,
        training=training.facts,
        copies=copies,
        calibration=calibration,
        gap={
            split: splits["train"].accuracy - figures.accuracy
            for split, figures in evaluations.items()
        },
        **splits,
    )
    write_metrics(folder, metrics)

    # What the catalogue keeps of it.
    result: dict[str, object] = {
        "classes": len(data.classes),
        "data": counts,
    }
    # A logistic regression has no epochs.
    if course.history:
        result["epochs"] = len(course.history)
        result["best_epoch"] = course.best_epoch
    for split in ("val", TEST):
        result[split] = splits[split].summary() if split in splits else None
    unfamiliar = rule.effects.unfamiliar
    result |= {
        "calibration": calibration.describe(),
        "unknown": unfamiliar.describe() if unfamiliar else NO_UNKNOWN_RULE,
        "copies": copies,
    }
    problems = {
        "unreadable": unreadable,
        "unseen_labels": len(examples.unseen.intersection(keys)),
    }
    return result | {name: number for name, number in problems.items() if number}


def _list_warnings(
    earlier: EvaluationCounts | None, evaluations: Mapping[str, SplitMetrics]
) -> list[str]:
    warnings = [reuse_warning(earlier)]
    for split, figures in evaluations.items():
        if figures.size_warning:
            warnings.append(f"{split} has {figures.size_warning}")
    return [warning for warning in warnings if warning]
