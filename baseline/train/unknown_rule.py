"""When a run says "unknown": chosen at the end of its training from what it has.

A threshold of familiarity that costs at most `KNOWN_LOST` of the known, by what was not learnt:
val, and where that is small train, each part seen by a network that learnt the other folds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any

import msgspec
import numpy as np

from baseline.data.grouped_split import held_out_folds
from baseline.judge.answers import ChosenThresholds, DecisionRule
from baseline.judge.outputs import Outputs
from baseline.judge.thresholds import choose_familiarity
from baseline.settings import Settings
from baseline.train.callbacks import TrainingResult
from baseline.train.inference import outputs_familiarity, scale_of, split_outputs
from baseline.train.methods.registry import fit_method
from baseline.train.methods.training_data import TrainingData
from baseline.train.trained_net import GalleryHead, TrainedNet
from gleanset.errors import InputUnusable, UsageError

KNOWN_LOST = 0.1
"""The share of known pictures that may be called unknown, so that strangers are."""
FOLDS = 5
ENOUGH = 100
"""Moments of val by which a threshold is chosen as well as by folds."""
MOST_FOLDED = 2000
"""Pictures of train up to which learning folds takes seconds."""
MOST_STRANGERS = 500
Familiarity = Callable[[Outputs], dict[str, float]]  # by the key of each picture


def with_unknown_rule(
    data: TrainingData,
    trained: TrainingResult[TrainedNet],
    outputs: Mapping[str, Outputs],
    rule: DecisionRule,
) -> DecisionRule:
    """Return the rule with its threshold of familiarity; as it is where no promise can be made.

    `outputs` are those of the trained network on train and val. Raises what the disk raises.
    """
    net, moments = trained.net, data.examples.moments
    familiarity = _familiarity_to(net, outputs["train"], data, rule)
    held, judged = dict[str, float](), familiarity(outputs["val"])
    few = len({moments[key] for key in judged}) < ENOUGH
    if few and data.frozen_backbone and len(data.examples.splits["train"]) <= MOST_FOLDED:
        with suppress(InputUnusable, UsageError):  # too few pictures for folds: val alone decides
            held = _held_out(data, _as_chosen(data.settings, trained.facts), rule)
    if not (judged := judged | held):
        return rule
    groups = [moments[key] for key in judged]
    chosen = choose_familiarity(np.array(list(judged.values())), groups, KNOWN_LOST)
    if not chosen.promised:
        return rule
    strangers = np.array(list(_rejected(data, net, familiarity).values()))
    chosen = msgspec.structs.replace(
        chosen,
        folds=FOLDS if held else 0,
        strangers=len(strangers),
        strangers_unknown=int((strangers < chosen.below).sum()),
    )
    return rule.but(unfamiliar_below=chosen.below, chosen=ChosenThresholds(unfamiliar=chosen))


def _familiarity_to(
    net: TrainedNet, train: Outputs, data: TrainingData, rule: DecisionRule
) -> Familiarity:
    scale = None if isinstance(net.head, GalleryHead) else scale_of(train)

    def of(outputs: Outputs) -> dict[str, float]:
        values = outputs_familiarity(outputs, data.classes, rule, scale)
        return dict(zip(outputs.keys, values.tolist(), strict=True))

    return of


def _as_chosen(settings: Settings, facts: Mapping[str, Any]) -> Settings:
    """Return settings that name what a training chose by itself, so that folds need not."""
    chosen = {name: value for name, value in facts.items() if name == "strength"}
    if weights := list(facts.get("parts", {}).values())[1:]:
        chosen["part_weights"] = ",".join(f"{weight:g}" for weight in weights)
    return msgspec.structs.replace(settings, **chosen)


def _held_out(data: TrainingData, settings: Settings, rule: DecisionRule) -> dict[str, float]:
    """Return how familiar each picture of train is to a network that learnt the other folds.

    Raises `InputUnusable` where there are too few moments.
    """
    train, val = (data.examples.splits[split] for split in ("train", "val"))
    only = replace(data.examples, splits={"train": train, "val": (), "test": ()})
    folds, held = held_out_folds(only, FOLDS, data.settings.seed), dict[str, float]()
    for fold in data.progress.over(folds, "folds for unknown", FOLDS, " trainings"):
        part = replace(fold, splits=fold.splits | {"val": val})
        material = TrainingData(data.dataset, part, settings)
        net = fit_method(material, settings).net
        familiarity = _familiarity_to(net, split_outputs(net, material, "train"), material, rule)
        held |= familiarity(split_outputs(net, material, "test"))
    return held


def _rejected(data: TrainingData, net: TrainedNet, familiarity: Familiarity) -> dict[str, float]:
    """Return how familiar pictures are that a person has rejected."""
    rejected = (one for one in data.dataset.samples.by_key() if one.status == "rejected")
    # They go by the name of some class, for pictures are read with one.
    named = (replace(one, label=data.classes[0]) for one in rejected if one.kept)
    examples = replace(data.examples, splits={"train": tuple(islice(named, MOST_STRANGERS))})
    material = TrainingData(data.dataset, examples, data.settings, data.progress)
    try:
        return familiarity(split_outputs(net, material, "train"))
    except InputUnusable:  # none can be read
        return {}
