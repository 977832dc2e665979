"""Judging a finished run on the samples as they are now, and choosing how it answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from baseline.data.copy_search import copy_search
from baseline.data.runs import TRAINED_ON, finished_run
from baseline.data.samples import Examples, find_examples
from baseline.judge.answers import (
    ChosenThresholds,
    DecisionRule,
    load_decision_rule,
    save_decision_rule,
)
from baseline.judge.familiarity import load_feature_scale, outputs_familiarity
from baseline.judge.intervals import group_numbers
from baseline.judge.judging import TEST, answer_figures, split_metrics, straddle_warning
from baseline.judge.metrics import SplitFigures, empty_split, sample_context
from baseline.judge.outputs import Outputs, load_outputs, save_outputs
from baseline.judge.run_figures import read_metrics, write_metrics
from baseline.judge.thresholds import RuleRequest, SplitAnswers, choose_rule
from baseline.train.inference import split_outputs, with_distances
from baseline.train.methods.training_data import TrainingData
from baseline.train.storage import load_model
from baseline.train.trained_net import GalleryHead
from curation.moments import moments_of
from gleanset import Dataset
from gleanset.db.runs import EvaluationCounts, SplitEvaluations
from gleanset.errors import InputUnusable
from gleanset.records import SPLITS
from gleanset.work.progress import Progress


@dataclass(frozen=True, slots=True)
class Reevaluation:
    """The figures of `split` as it is now; `looks` at it before, where that is test.

    `chosen` are the thresholds that were asked for now, `copies` is the split's `copy_search`, and
    `warning` says where the split itself has moments on both sides.
    """

    run: str
    split: str
    figures: SplitFigures
    chosen: ChosenThresholds
    copies: Mapping[str, int]
    looks: EvaluationCounts | None
    warning: str


def reevaluate(
    dataset: Dataset,
    run_id: str | None,
    split: str,
    request: RuleRequest | None = None,
    progress: Progress | None = None,
) -> Reevaluation:
    """Judge a finished run; its `outputs.npz` and, where wished for, `answers.json` are renewed.

    Raises `InputUnusable` when there is no such run, no picture in the split, a class that the
    run does not know, or when it has learnt from the moments of some of these pictures.
    """
    run, folder = finished_run(dataset, run_id)
    wanted = {split, "val"} if request and request.any and not request.forget else {split}
    examples, outputs, gallery = _answers_now(dataset, run, folder, wanted, progress)
    looks = None
    if split == TEST:
        looks = SplitEvaluations(dataset.db).add(run, split, outputs[split].keys, "evaluate")
    scale = load_feature_scale(folder)
    outputs = {name: with_distances(part, scale) for name, part in outputs.items()}
    save_outputs(folder, load_outputs(folder) | outputs)
    rule = load_decision_rule(folder)
    samples = [sample for part in wanted for sample in examples.splits[part]]
    context = sample_context(dataset, samples, examples.moments)
    chosen = ChosenThresholds()
    classes = examples.classes
    if request and request.any:
        val = outputs.get("val", outputs[split])
        moments = group_numbers(context.groups(val.keys))
        familiarity = outputs_familiarity(val, classes, rule, gallery=gallery)
        answers = SplitAnswers(val, classes, moments, familiarity)
        rule = choose_rule(answers, request, rule)
        chosen = rule.chosen
        save_decision_rule(folder, rule)
        _update_answers(dataset, folder, rule, gallery)
    judged = outputs[split]
    familiarity = outputs_familiarity(judged, classes, rule, gallery=gallery)
    return Reevaluation(
        run,
        split,
        split_metrics(judged, classes, context, rule, familiarity),
        chosen,
        copy_search(dataset, examples, split),
        looks,
        straddle_warning(examples, split),
    )


def _update_answers(dataset: Dataset, folder: Path, rule: DecisionRule, gallery: bool) -> None:
    """Write the figures of the answers under a new rule, by which the report and the card go."""
    metrics, outputs = read_metrics(folder), load_outputs(folder)
    splits = metrics.splits
    for split, figures in metrics.splits.items():
        if (part := outputs.get(split)) is not None:
            moments = moments_of(dataset.db, part.keys)
            groups = [moments[key] for key in part.keys]
            familiarity = outputs_familiarity(part, metrics.classes, rule, gallery=gallery)
            answers = answer_figures(part, metrics.classes, rule, familiarity, groups)
            splits[split] = replace(figures, answers=answers)
    train, val, test = (splits.get(split) for split in SPLITS)
    write_metrics(folder, replace(metrics, train=train, val=val, test=test))


def _answers_now(
    dataset: Dataset, run: str, folder: Path, splits: set[str], progress: Progress | None
) -> tuple[Examples, dict[str, Outputs], bool]:
    """Return the samples, what the run says of some splits, and whether it has a gallery."""
    net, settings, classes = load_model(folder)
    examples = find_examples(dataset)
    if new := sorted(set(examples.classes) - set(classes)):
        raise InputUnusable(
            f"the classes have changed since run {run} was trained: it does not know "
            f"{', '.join(new)}",
            f"train again: {_training(dataset, run)}",
        )
    examples = replace(examples, classes=classes)
    for split in splits:
        _check_unseen(dataset, run, folder, examples, split)
    if empty := [split for split in sorted(splits) if not examples.splits[split]]:
        raise empty_split(f"there is no picture in {empty[0]}", f" {dataset.option}")
    data = TrainingData(dataset, examples, settings, progress or Progress())
    outputs = {s: split_outputs(net, data, s).unique() for s in sorted(splits)}
    return examples, outputs, isinstance(net.head, GalleryHead)


def _check_unseen(dataset: Dataset, run: str, folder: Path, examples: Examples, split: str) -> None:
    """A split made anew may hold moments that an older run has learnt from.

    A copy or the next frame tells as much as the picture itself. Moments that are in train and in
    `split` at once are the fault of the split, and not of the run: `straddle` tells of them.
    """
    file = folder / TRAINED_ON
    if split == "train" or not file.is_file():
        return
    learnt = set(json.loads(file.read_text()))
    samples = examples.splits[split]
    moments = moments_of(dataset.db, learnt.union(sample.key for sample in samples))
    elsewhere = {moments[key] for key in learnt}
    elsewhere -= {moments[sample.key] for sample in examples.splits["train"]}
    seen = [s for s in samples if s.key in learnt or moments[s.key] in elsewhere]
    if seen:
        raise InputUnusable(
            f"run {run} has learnt from {len(seen)} of the {len(samples)} pictures that are in "
            f"{split} now, or from others of their moments: its figures there would mean nothing",
            f"train again on this split: {_training(dataset, run)}",
        )


def _training(dataset: Dataset, run: str) -> str:
    """Return the command that trains with the preset of a run."""
    known = dataset.runs.get(run)
    preset = known.settings.get("preset") if known else None
    return f"baseline train {f'--preset {preset} ' if preset else ''}{dataset.option}"
