"""When a run says "unknown": chosen at the end of its training from what it has.

A threshold of familiarity that costs at most `KNOWN_LOST` of the known, by what was not learnt:
val, and where that is small train, each part seen by a network that learnt the other folds.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any

import msgspec
import numpy as np

from baseline.data.grouped_split import held_out_folds
from baseline.judge.answers import ChosenThresholds, DecisionRule
from baseline.judge.familiarity import FeatureScale, outputs_familiarity
from baseline.judge.outputs import Outputs, joined_outputs
from baseline.judge.thresholds import choose_familiarity
from baseline.settings import Settings
from baseline.train.callbacks import TrainingResult
from baseline.train.cross_validation import Fold, cross_validate
from baseline.train.inference import split_outputs, with_distances
from baseline.train.methods.training_data import TrainingData
from baseline.train.trained_net import TrainedNet
from gleanset.errors import InputUnusable, UsageError

KNOWN_LOST = 0.1
"""The share of known pictures that may be called unknown, so that strangers are."""
FOLDS = 5
ENOUGH = 100
"""Moments of val by which a threshold is chosen as well as by folds."""
MOST_FOLDED = 2000
"""Pictures of train up to which learning folds takes seconds."""
MOST_STRANGERS = 500


def with_unknown_rule(
    data: TrainingData,
    trained: TrainingResult[TrainedNet],
    val: Outputs,
    scale: FeatureScale | None,
    rule: DecisionRule,
) -> DecisionRule:
    """Return the rule with its threshold of familiarity; unchanged where no promise can be made.

    `val` are the outputs of the trained network, with their distances by `scale`; None is that of a
    gallery. Raises what the disk raises.
    """
    moments, gallery = data.examples.moments, scale is None

    def familiarity(outputs: Outputs) -> dict[str, float]:
        values = outputs_familiarity(outputs, data.classes, rule, gallery=gallery)
        return {} if values is None else dict(zip(outputs.keys, values.tolist(), strict=True))

    held, judged = dict[str, float](), familiarity(val)
    few = len({moments[key] for key in judged}) < ENOUGH
    if few and data.frozen_backbone and len(data.examples.splits["train"]) <= MOST_FOLDED:
        with suppress(InputUnusable, UsageError):  # too few pictures for folds: val alone decides
            held = familiarity(_held_out(data, _as_chosen(data.settings, trained.facts)))
    if not (judged := judged | held):
        return rule
    groups = [moments[key] for key in judged]
    chosen = choose_familiarity(np.array(list(judged.values())), groups, KNOWN_LOST)
    if not chosen.promised:
        return rule
    rejected = _rejected(data, trained.net)
    strangers = familiarity(with_distances(rejected, scale)) if rejected else {}
    chosen = msgspec.structs.replace(
        chosen,
        folds=FOLDS if held else 0,
        strangers=len(strangers),
        strangers_unknown=sum(value < chosen.below for value in strangers.values()),
    )
    return rule.but(unfamiliar_below=chosen.below, chosen=ChosenThresholds(unfamiliar=chosen))


def _as_chosen(settings: Settings, facts: Mapping[str, Any]) -> Settings:
    """Return settings that name what a training chose by itself, so that folds need not."""
    chosen = {name: value for name, value in facts.items() if name == "strength"}
    if weights := list(facts.get("parts", {}).values())[1:]:
        chosen["part_weights"] = ",".join(f"{weight:g}" for weight in weights)
    return msgspec.structs.replace(settings, **chosen)


def _held_out(data: TrainingData, settings: Settings) -> Outputs:
    """Return out-of-fold predictions for train. Raises `InputUnusable` for too few moments."""
    train, val = (data.examples.splits[split] for split in ("train", "val"))
    only = replace(data.examples, splits={"train": train, "val": (), "test": ()})
    folds = [
        Fold(replace(part, splits=part.splits | {"val": val}))
        for part in held_out_folds(only, FOLDS, data.settings.seed)
    ]
    results = cross_validate(data.dataset, settings, folds, data.progress, "folds for unknown")
    return joined_outputs([result.outputs for result in results])


def _rejected(data: TrainingData, net: TrainedNet) -> Outputs | None:
    """Return the outputs of images that a person has rejected; None where none can be read."""
    rejected = (one for one in data.dataset.samples.by_key() if one.status == "rejected")
    # They go by the name of some class, for pictures are read with one.
    named = (replace(one, label=data.classes[0]) for one in rejected if one.kept)
    examples = replace(data.examples, splits={"train": tuple(islice(named, MOST_STRANGERS))})
    material = TrainingData(data.dataset, examples, data.settings, data.progress)
    try:
        return split_outputs(net, material, "train")
    except InputUnusable:
        return None
