"""The rule for "unknown" of a new run, and what it finds.

Its threshold is chosen by the similarities of held-out images to the training data
(`evaluation/unknown_rule.py`): images of val, and of folds, which are those of the membership
(`membership.py`) or trainings with the settings of the run.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from PIL import Image

from baseline.data.samples import Examples, make_folds
from baseline.evaluation.decision_rule import (
    MIN_ANSWER_CONFIDENCE,
    UNKNOWN,
    DecisionRule,
    FeatureScale,
    ThresholdEffects,
    compute_output_similarity,
    confidences_of,
    decide_outputs,
)
from baseline.evaluation.intervals import share_interval_or_none
from baseline.evaluation.outputs import Outputs, concatenate_outputs
from baseline.evaluation.unknown_rule import choose_class_thresholds
from baseline.features.backbone import ImageShape
from baseline.features.scaling import Scaling
from baseline.settings import Settings, Transfer
from baseline.train.cross_validation import cross_validate
from baseline.train.membership import FOLDS as MEMBERSHIP_FOLDS
from baseline.train.membership import (
    MIN_CLASSES,
    LeftOutImages,
    TrainFeatures,
    fit_membership,
)
from baseline.train.trained_net import TrainedNet
from baseline.train.training import (
    TrainingData,
    TrainingResult,
    compute_split_outputs,
    with_distances,
)
from gleanset.arrays import Float64Array, Pixels, limit_threads
from gleanset.errors import InputUnusable, UsageError

MAX_KNOWN_REJECTED = 0.08
"""Largest share of known images that may be predicted "unknown"."""
UNKNOWN_FOLDS = 5
MIN_VAL_GROUPS = 100
"""Groups of val from which folds do not improve the threshold."""
MIN_CLASS_GROUPS = 12
"""Groups of a class needed to hold `MAX_KNOWN_REJECTED` for it."""
MAX_IMAGES_TO_FOLD = 2000
"""Training images up to which training the folds takes seconds."""
MAX_REJECTED_SAMPLES = 500
MIN_MEASURED_CLASSES = 6
"""With fewer, leaving one out changes a model too much for more than a rough estimate
(docs/results.md)."""


BACKGROUND = Path(__file__).with_name("drawn_people.jpg")
"""64 invented people: tools/drawn_faces/portraits.py --people 100 --each 1 --seed 977 --sheet FILE.
"""
SHEET_SIDE = 8
"""Images in a row and in a column of that file."""


def read_background(shape: ImageShape) -> Pixels:
    """Return 64 images of people of no class (64 x C x size x size)."""
    mode = "RGB" if shape.channels == 3 else "L"
    side = SHEET_SIDE * shape.size
    sheet = Image.open(BACKGROUND).convert(mode).resize((side, side))

    # Axes: row, y, column, x, channel; then row, column, channel, y, x.
    tile_axes = (SHEET_SIDE, shape.size)
    tiles = np.asarray(sheet).reshape(
        *tile_axes,
        *tile_axes,
        shape.channels,
    )
    images = tiles.transpose(0, 2, 4, 1, 3)
    return images.reshape(-1, shape.channels, shape.size, shape.size)


def add_membership(
    data: TrainingData, training: TrainingResult
) -> LeftOutImages | None:
    """Fit the membership of a head on frozen features; return what its folds left out.

    None for other networks, and for too little data.
    """
    net = training.net
    if not isinstance(data.settings, Transfer) or len(data.classes) < MIN_CLASSES:
        return None

    features = data.train_features(net.backbone)
    train = TrainFeatures(
        x=features.vectors,
        y=data.examples.classes_of("train", features.keys),
        groups=data.groups_of(features.keys),
        keys=features.keys,
    )
    # Feature blocks have the weights that the training chose.
    weights = list(training.facts.get("parts", {}).values()) or None
    background = net.features(read_background(net.shape))
    # One thread: several wait for each other on such small matrices.
    with limit_threads():
        fit = fit_membership(
            train,
            background,
            net.backbone.identity_columns,
            partial(Scaling.fit, backbone=net.backbone, weights=weights),
            data.settings.seed,
        )

    if fit is None:
        return None
    net.membership, left_out = fit
    return left_out


def add_unknown_rule(
    data: TrainingData,
    training: TrainingResult,
    val: Outputs,
    scale: FeatureScale | None,
    rule: DecisionRule,
    left_out: LeftOutImages | None,
) -> DecisionRule:
    """Return the rule with a threshold for "unknown", or unchanged if none can be guaranteed.

    `val` are outputs of the trained network with distances by `scale`, which is None for a
    gallery, `left_out` from `add_membership`. Raises what the disk raises.
    """
    evidence = _collect_held_out(
        data,
        training.facts,
        val,
        rule,
        left_out,
    )
    if not evidence.similarity:
        return rule

    labels = {sample.key: str(sample.label) for sample in data.examples.all_samples()}
    threshold = choose_class_thresholds(
        np.array(list(evidence.similarity.values())),
        groups=[data.examples.groups[key] for key in evidence.similarity],
        max_share=MAX_KNOWN_REJECTED,
        labels=[labels[key] for key in evidence.similarity],
        classes=data.classes,
    )
    if not threshold.guaranteed:
        return rule

    # Measure how many images of none of the classes the threshold finds.
    rule = rule.with_unknown_threshold(threshold)
    figures = _measure_rejected(data, training.net, scale, rule)
    if left_out is not None:
        figures |= measure_outsiders(left_out, rule.similarity_limits(data.classes))
    threshold = msgspec.structs.replace(threshold, folds=evidence.folds, **figures)
    return rule.but(effects=ThresholdEffects(unfamiliar=threshold))


class _HeldOut(NamedTuple):
    """Similarities of held-out images of known classes by key, and the number of folds."""

    similarity: dict[str, float]
    folds: int = 0


def _collect_held_out(
    data: TrainingData,
    facts: Mapping[str, Any],
    val: Outputs,
    rule: DecisionRule,
    left_out: LeftOutImages | None,
) -> _HeldOut:
    def measure(outputs: Outputs) -> dict[str, float]:
        """Return the similarity of each sample, by key."""
        values = compute_output_similarity(outputs, data.classes, rule)
        return dict(zip(outputs.keys, values.tolist(), strict=True))

    # Images of val, and those that folds of the membership left out.
    similarity = measure(val)
    if left_out is not None:
        known_scores = zip(left_out.known_keys, left_out.known.tolist(), strict=True)
        return _HeldOut(similarity | dict(known_scores), MEMBERSHIP_FOLDS)

    # Without a membership, images of folds that are trained for it, if that is quick and helps.
    is_quick = (
        data.frozen_backbone
        and len(data.examples.splits["train"]) <= MAX_IMAGES_TO_FOLD
    )
    if is_quick and _has_few_groups(data.examples):
        settings = _fix_choices(data.settings, facts)
        # With too few images for folds, val alone decides.
        with suppress(InputUnusable, UsageError):
            outputs = _predict_folds(data, settings)
            return _HeldOut(similarity | measure(outputs), UNKNOWN_FOLDS)
    return _HeldOut(similarity)


def _has_few_groups(examples: Examples) -> bool:
    """Return whether folds of train improve thresholds for "unknown" that are chosen on val."""
    groups: dict[str, set[str]] = {name: set() for name in examples.classes}
    for sample in examples.splits["val"]:
        groups[str(sample.label)].add(examples.groups[sample.key])
    counts = [len(names) for names in groups.values()]
    return sum(counts) < MIN_VAL_GROUPS or min(counts) < MIN_CLASS_GROUPS


def measure_outsiders(left_out: LeftOutImages, limits: Float64Array) -> dict[str, Any]:
    """Return how images of classes that were left out are answered: fields of `UnknownThreshold`.

    With fewer than `MIN_MEASURED_CLASSES` of them there are counts of images, but no interval.
    `limits` (C) are the similarities below which images of the known classes are unknown.
    """
    is_unknown = left_out.outsiders < limits[left_out.nearest_classes]
    # A confidence is at most the membership.
    may_be_confident = ~is_unknown & (left_out.outsiders >= MIN_ANSWER_CONFIDENCE)
    figures: dict[str, Any] = {
        "left_out": len(is_unknown),
        "left_out_unknown": int(is_unknown.sum()),
        "left_out_sure": int(may_be_confident.sum()),
    }

    classes = len(np.unique(left_out.outsider_classes))
    if classes >= MIN_MEASURED_CLASSES:
        figures["left_out_classes"] = classes
        # Images of one class are found or missed together.
        figures["left_out_interval"] = share_interval_or_none(
            is_unknown, left_out.outsider_classes
        )
    return figures


def _fix_choices(settings: Settings, facts: Mapping[str, Any]) -> Settings:
    """Return settings with what the training chose, so that folds need not choose again."""
    choices = {name: value for name, value in facts.items() if name == "strength"}
    # The first block always has weight 1, so the setting does not name it.
    weights = list(facts.get("parts", {}).values())[1:]
    if weights:
        choices["part_weights"] = ",".join(f"{weight:g}" for weight in weights)
    return msgspec.structs.replace(settings, **choices)


def _predict_folds(data: TrainingData, settings: Settings) -> Outputs:
    """Return out-of-fold outputs of train; every fold has the val of the run."""
    splits = data.examples.splits
    only_train = {"train": splits["train"], "val": (), "test": ()}
    examples = data.examples._replace(splits=only_train)
    folds = [
        fold._replace(splits=fold.splits | {"val": splits["val"]})
        for fold in make_folds(examples, UNKNOWN_FOLDS, data.settings.seed)
    ]
    results = cross_validate(
        data.dataset,
        settings,
        folds,
        data.progress,
        name="folds for unknown",
    )
    return concatenate_outputs([result.outputs for result in results])


def _measure_rejected(
    data: TrainingData,
    net: TrainedNet,
    scale: FeatureScale | None,
    rule: DecisionRule,
) -> dict[str, Any]:
    """Count how images that a person rejected are answered; empty without any.

    The keys are fields of `UnknownThreshold`.
    """
    outputs = _predict_rejected(data, net)
    if outputs is None:
        return {}

    outputs = with_distances(outputs, scale)
    decisions = decide_outputs(outputs, data.classes, rule)
    confidences = confidences_of(decisions.classes, decisions.confidences)
    is_unknown = decisions.classes == UNKNOWN
    is_confident = ~is_unknown & (confidences >= MIN_ANSWER_CONFIDENCE)
    return {
        "rejected": len(outputs),
        "rejected_unknown": int(is_unknown.sum()),
        "rejected_sure": int(is_confident.sum()),
    }


def _predict_rejected(data: TrainingData, net: TrainedNet) -> Outputs | None:
    rejections = (
        sample
        for sample in data.dataset.samples.iter_by_key()
        if sample.status == "rejected" and sample.kept
    )
    # Rejected samples have no label, but reading a split needs one: any class will do.
    train = tuple(
        replace(sample, label=data.classes[0])
        for sample in islice(rejections, MAX_REJECTED_SAMPLES)
    )
    examples = data.examples._replace(splits={"train": train})
    rejected_data = TrainingData(
        data.dataset,
        examples,
        data.settings,
        data.progress,
    )
    try:
        return compute_split_outputs(net, rejected_data, "train")
    except InputUnusable:  # none, or none is readable
        return None
