"""Judging a finished run on the samples as they are now, and choosing how it answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from baseline.data.copy_search import copy_search
from baseline.data.runs import TRAINED_ON, finished_run
from baseline.data.samples import Examples, find_examples
from baseline.judge.decision_rule import (
    DecisionRule,
    RecallThreshold,
    RejectOption,
    fit_recall_thresholds,
    load_decision_rule,
    recall_threshold,
    reject_option_at,
    reject_option_for,
    save_decision_rule,
    without_thresholds,
)
from baseline.judge.familiarity import (
    FamiliarityThreshold,
    choose_familiarity,
    load_feature_scale,
)
from baseline.judge.intervals import group_numbers
from baseline.judge.metrics import SampleContext, sample_context
from baseline.judge.outputs import Floats, Indices, Outputs, load_outputs, save_outputs
from baseline.judge.report_metrics import TEST, Metrics, split_metrics
from baseline.train.inference import outputs_familiarity, split_outputs
from baseline.train.methods.training_data import TrainingData
from baseline.train.networks import GalleryHead
from baseline.train.storage import load_model
from curation.moments import moments_of
from gleanset import Dataset
from gleanset.db.runs import EvaluationCounts, SplitEvaluations
from gleanset.errors import InputUnusable
from gleanset.work.progress import Progress


@dataclass(frozen=True, slots=True)
class RuleRequest:
    """How a run shall answer.

    `spare` is the share (0..1) of each class's pictures to spare; at most one of
    `unknown_below` (a probability) and `unknown_error` (a share of wrong answers) is set.
    `unknown_rate` is the share of known pictures that may be called unknown by their familiarity.
    `forget` drops what was chosen before.
    """

    recall: Mapping[str, float]
    unknown_below: float | None = None
    unknown_error: float | None = None
    unknown_rate: float | None = None
    forget: bool = False

    @property
    def any(self) -> bool:
        """Whether anything is asked for."""
        wished = (self.unknown_below, self.unknown_error, self.unknown_rate)
        return bool(self.recall) or self.forget or any(one is not None for one in wished)


NO_REQUEST = RuleRequest({})


@dataclass(frozen=True, slots=True)
class Reevaluation:
    """The figures of `split` as it is now; `looks` at it before, where that is test.

    `warning` says where the split itself has moments on both sides, `copies` is its `copy_search`.
    """

    run: str
    split: str
    figures: Metrics
    looks: EvaluationCounts | None
    recall_thresholds: tuple[RecallThreshold, ...] = ()
    reject_option: RejectOption | None = None
    warning: str = ""
    familiarity: FamiliarityThreshold | None = None
    copies: Mapping[str, int] | None = None


class ChosenRule(NamedTuple):
    """The rule that was chosen, and what each of its thresholds does on val."""

    rule: DecisionRule
    recall_thresholds: tuple[RecallThreshold, ...] = ()
    reject_option: RejectOption | None = None
    familiarity: FamiliarityThreshold | None = None


def reevaluate(
    dataset: Dataset,
    run_id: str | None,
    split: str,
    request: RuleRequest = NO_REQUEST,
    progress: Progress | None = None,
) -> Reevaluation:
    """Judge a finished run; its `outputs.npz` and, where wished for, `answers.json` are renewed.

    Raises `InputUnusable` when there is no such run, no picture in the split, a class that the
    run does not know, or when it has learnt from the moments of some of these pictures.
    """
    run, folder = finished_run(dataset, run_id)
    wanted = {split, "val"} if request.any and not request.forget else {split}
    examples, told, gallery = _answers_now(dataset, run, folder, wanted, progress)
    looks = (
        SplitEvaluations(dataset.db).add(run, split, told[split].keys, "evaluate")
        if (split == TEST)
        else None
    )
    save_outputs(folder, load_outputs(folder) | told)
    rule = load_decision_rule(folder)
    samples = [one for part in wanted for one in examples.splits[part]]
    context = sample_context(dataset, samples, examples.moments)
    chosen = ChosenRule(rule)
    if request.any:
        val, scale = told.get("val"), load_feature_scale(folder)
        familiarity = (
            outputs_familiarity(val, examples.classes, rule, scale)
            if val is not None and (gallery or scale is not None)
            else None
        )
        chosen = choose_rule(val, examples.classes, request, rule, context, familiarity)
        save_decision_rule(folder, chosen.rule)
    return Reevaluation(
        run,
        split,
        split_metrics(told[split], examples.classes, context, chosen.rule),
        looks,
        chosen.recall_thresholds,
        chosen.reject_option,
        straddle_warning(examples, split),
        chosen.familiarity,
        copy_search(dataset, examples, split),
    )


def choose_rule(
    val: Outputs | None,
    classes: tuple[str, ...],
    request: RuleRequest,
    before: DecisionRule,
    context: SampleContext,
    familiarity: Floats | None = None,
) -> ChosenRule:
    """Choose the thresholds that fulfil the request; those of before stay unless asked for anew.

    All are solved and told together, for each changes what the others do. `context`
    knows the moments of val, `familiarity` (N) is that of its pictures; None for a run of before.
    """
    if request.forget:
        return ChosenRule(without_thresholds(before))
    if val is None or not len(val):
        raise InputUnusable(
            "val is empty, so no threshold can be chosen",
            "give it a share: labeler split --ratio 8:1:1, then train again",
        )
    groups = group_numbers(context.groups(val.keys))
    wanted = _spared_before(val, classes, before) | dict(request.recall)
    rule = fit_recall_thresholds(val, classes, wanted, before)
    familiar = _familiar(familiarity, request, before, groups)
    if familiar is not None:
        rule = msgspec.structs.replace(rule, unfamiliar_below=familiar.below)
    knowing = _knowing(val, classes, request, rule, groups, familiarity)
    if knowing is not None:
        rule = msgspec.structs.replace(rule, unknown_below=knowing.below)
    told = tuple(
        recall_threshold(val, classes, name, share, rule, groups, familiarity)
        for name, share in wanted.items()
    )
    chosen = {
        "spared": [one.to_json() for one in told],
        "unknown": knowing and knowing.to_json(),
        "unfamiliar": familiar and familiar.to_json(),
    }
    return ChosenRule(msgspec.structs.replace(rule, chosen=chosen), told, knowing, familiar)


def _spared_before(val: Outputs, classes: Sequence[str], before: DecisionRule) -> dict[str, float]:
    """Return what was wished for earlier, of the classes that val still has."""
    there = {classes[number] for number in val.y}
    held = before.chosen.get("spared") or ()
    return {one["name"]: one["wanted"] for one in held if one["name"] in there}


def _knowing(
    val: Outputs,
    classes: tuple[str, ...],
    request: RuleRequest,
    rule: DecisionRule,
    groups: Indices,
    familiarity: Floats | None,
) -> RejectOption | None:
    """When to say "unknown": as wished for now, or else as before."""
    below, wanted = request.unknown_below, request.unknown_error
    if below is None and wanted is None:
        below = rule.unknown_below
        wanted = (rule.chosen.get("unknown") or {}).get("wanted")
    if wanted is not None:
        return reject_option_for(val, classes, wanted, rule, groups, familiarity)
    if below is None:
        return None
    return reject_option_at(val, classes, below, rule, groups, familiarity=familiarity)


def _familiar(
    familiarity: Floats | None, request: RuleRequest, before: DecisionRule, groups: Indices
) -> FamiliarityThreshold | None:
    """When a picture is like nothing that was learnt: as wished for now, or else as before."""
    wanted = request.unknown_rate
    if wanted is None:
        wanted = (before.chosen.get("unfamiliar") or {}).get("wanted")
    if wanted is None:
        return None
    if familiarity is None:
        raise InputUnusable(
            "the run does not keep what its features are like, so nothing can be unfamiliar to it",
            "train again: baseline train",
        )
    return choose_familiarity(familiarity, groups, wanted)


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
        raise InputUnusable(
            f"there is no picture in {empty[0]}",
            f"give it a share: labeler split --ratio 8:1:1 {dataset.option}",
        )
    data = TrainingData(dataset, examples, settings, progress or Progress())
    told = {s: split_outputs(net, data, s).unique() for s in sorted(splits)}
    return examples, told, isinstance(net.head, GalleryHead)


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


def _training(dataset: Dataset, run: str) -> str:
    """Return the command that trains with the preset of a run."""
    found = dataset.runs.get(run)
    preset = found.settings.get("preset") if found else None
    return f"baseline train {f'--preset {preset} ' if preset else ''}{dataset.option}"
