"""Cross-validation: train for each fold and predict its held-out samples.

Predictions are cached in the dataset by settings and data, so that an interrupted command resumes
with the next fold.
"""

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image

from baseline.data.runs import read_run_json, remove_checkpoint, write_run_json
from baseline.data.samples import Examples, ensure_val, make_folds
from baseline.evaluation.decision_rule import (
    MIN_ANSWER_CONFIDENCE,
    UNKNOWN,
    DecisionRule,
    FeatureScale,
    ThresholdEffects,
    compute_output_similarity,
    confidences_of,
    decide,
)
from baseline.evaluation.intervals import share_interval_or_none
from baseline.evaluation.outputs import (
    Floats,
    Outputs,
    concatenate_outputs,
    load_outputs,
    save_outputs,
)
from baseline.evaluation.unknown_rule import choose_class_thresholds
from baseline.features.backbone import ImageShape
from baseline.features.scaling import Scaling, limit_threads
from baseline.settings import Settings, Transfer, Triplet
from baseline.train.membership import FOLDS as MEMBERSHIP_FOLDS
from baseline.train.membership import (
    MIN_CLASSES,
    LeftOutImages,
    TrainFeatures,
    fit_membership,
)
from baseline.train.methods.transfer import load_pretrained_backbone
from baseline.train.trained_net import TrainedNet
from baseline.train.training import (
    TrainingCallback,
    TrainingData,
    TrainingResult,
    feature_scale,
    fit_method,
    split_outputs,
    with_distances,
)
from gleanset import Dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.records import Sample
from gleanset.work.progress import NO_PROGRESS, Progress

FORMAT = 2
"""To be increased when the same training gives other predictions."""
FOLDER = "trainings"
RESULT = "result.json"
HELD_OUT = "held out"


class FoldResult(NamedTuple):
    """Out-of-fold predictions of one training."""

    outputs: Outputs
    seconds: float = 0.0

    @property
    def accuracy(self) -> float | None:
        """Accuracy on the held-out samples, None if there are none."""
        return float(self.outputs.right.mean()) if len(self.outputs) else None


class _CachedResult(msgspec.Struct):
    seconds: float


def folds_with_val(parts: Iterable[Examples], seed: int) -> list[Examples]:
    """Return the folds, each with a val split off its train."""
    return [ensure_val(part, seed)[0] for part in parts]


def cross_validate(
    dataset: Dataset,
    settings: Settings,
    folds: Sequence[Examples],
    progress: Progress = NO_PROGRESS,
    name: str = "folds",
) -> Iterator[FoldResult]:
    """Train on train of each fold and yield its predictions of test, in order.

    Cached predictions are used. Raises what training raises: `UsageError` if it diverges.
    """
    missing = [fold for fold in folds if not is_cached(dataset, settings, fold)]
    if len(missing) > 1:
        _compute_features(dataset, settings, missing, progress)
    results = (_fold_result(dataset, settings, fold) for fold in folds)
    yield from progress.over(results, name, len(folds), " trainings")


def is_cached(dataset: Dataset, settings: Settings, fold: Examples) -> bool:
    """Return whether the predictions of a fold are cached."""
    return (_training_folder(dataset, settings, fold) / RESULT).is_file()


def training_key(settings: Settings, fold: Examples) -> str:
    """Return a hash of settings, samples, labels, splits and groups."""
    groups = [
        (split, sample.key, fold.groups[sample.key])
        for split, samples in fold.splits.items()
        for sample in samples
    ]
    text = repr((FORMAT, settings.to_json(), fold.fingerprint(), groups))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _training_folder(dataset: Dataset, settings: Settings, fold: Examples) -> Path:
    return dataset.cache / FOLDER / training_key(settings, fold)


def _fold_result(dataset: Dataset, settings: Settings, fold: Examples) -> FoldResult:
    if not fold.splits["test"]:
        scores = np.zeros((0, len(fold.classes)), np.float32)
        return FoldResult(Outputs(scores, np.zeros(0, np.int64), ()))
    folder = _training_folder(dataset, settings, fold)
    cached = read_run_json(
        folder, RESULT, _CachedResult, f"remove {folder} and run again"
    )
    if (
        cached is not None
        and (outputs := load_outputs(folder).get(HELD_OUT)) is not None
    ):
        return FoldResult(outputs, cached.seconds)
    start = time.monotonic()
    data = TrainingData(dataset, fold, settings, NO_PROGRESS, folder)
    result = FoldResult(_train(data), round(time.monotonic() - start, 2))
    save_outputs(folder, {HELD_OUT: result.outputs})
    # Last, because a training is done once it has its result.
    write_run_json(folder, RESULT, _CachedResult(result.seconds))
    remove_checkpoint(folder)
    return result


def _train(data: TrainingData) -> Outputs:
    fitted = fit_method(data, data.settings)
    outputs = split_outputs(fitted.net, data, "test")
    if not np.isfinite(outputs.logits).all():
        raise UsageError(
            "training diverged: scores are not finite", "use a lower learning rate"
        )
    if data.frozen_backbone:
        train = split_outputs(fitted.net, data, "train")
        outputs = with_distances(outputs, feature_scale(fitted.net, train))
    return outputs


def _compute_features(
    dataset: Dataset, settings: Settings, folds: Sequence[Examples], progress: Progress
) -> None:
    """Extract the features of all samples in one pass, if the method uses features."""
    splits = [split for fold in folds for split in fold.splits.items()]
    in_train = {
        sample.key: sample
        for name, part in splits
        if name == "train"
        for sample in part
    }
    samples = {sample.key: sample for _, part in splits for sample in part}
    rest = [sample for key, sample in sorted(samples.items()) if key not in in_train]
    train = tuple(sample for _, sample in sorted(in_train.items()))
    parts: dict[str, tuple[Sample, ...]] = {
        "train": train,
        "val": tuple(rest),
        "test": (),
    }
    examples = replace(folds[0], splits=parts)
    data = TrainingData(dataset, examples, settings, progress)
    if isinstance(settings, Transfer | Triplet):
        with suppress(UsageError, InputUnusable):  # the training itself reports it
            backbone = load_pretrained_backbone(settings, TrainingCallback())[0]
            data.train_features(backbone)
            data.features("val", backbone)


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


def read_background(shape: ImageShape) -> npt.NDArray[np.uint8]:
    """Return 64 images of people of no class (64 x C x size x size)."""
    mode = "RGB" if shape.channels == 3 else "L"
    side = 8 * shape.size
    sheet = np.asarray(Image.open(BACKGROUND).convert(mode).resize((side, side)))
    tiles = sheet.reshape(8, shape.size, 8, shape.size, shape.channels).transpose(
        0, 2, 4, 1, 3
    )
    return tiles.reshape(64, shape.channels, shape.size, shape.size)


def add_membership(
    data: TrainingData, trained: TrainingResult[TrainedNet]
) -> LeftOutImages | None:
    """Fit the membership of a head on frozen features; return what its folds left out.

    None for other networks, and for too little data.
    """
    net = trained.net
    if not isinstance(data.settings, Transfer) or len(data.classes) < MIN_CLASSES:
        return None
    features = data.train_features(net.backbone)
    y = data.examples.classes_of("train", features.keys)
    train = TrainFeatures(
        features.vectors, y, data.groups_of(features.keys), features.keys
    )
    weights = list(trained.facts.get("parts", {}).values()) or None
    background = net.features(read_background(net.shape))
    columns, seed = net.backbone.identity_columns, data.settings.seed
    with limit_threads():
        fit_scaling = partial(Scaling.fit, backbone=net.backbone, weights=weights)
        fitted = fit_membership(train, background, columns, fit_scaling, seed)
    if fitted is None:
        return None
    net.membership, left_out = fitted
    return left_out


def add_unknown_rule(
    data: TrainingData,
    trained: TrainingResult[TrainedNet],
    val: Outputs,
    scale: FeatureScale | None,
    rule: DecisionRule,
    left_out: LeftOutImages | None,
) -> DecisionRule:
    """Return the rule with a threshold for "unknown", or unchanged if none can be guaranteed.

    `val` are outputs of the trained network with distances by `scale`, which is None for a
    gallery, `left_out` from `add_membership`. Raises what the disk raises.
    """
    groups = data.examples.groups

    def compute_similarity(outputs: Outputs) -> dict[str, float]:
        values = compute_output_similarity(outputs, data.classes, rule)
        return dict(zip(outputs.keys, values.tolist(), strict=True))

    folds = 0
    scores = compute_similarity(val)
    if left_out is not None:
        folds = MEMBERSHIP_FOLDS
        scores |= dict(zip(left_out.known_keys, left_out.known.tolist(), strict=True))
    elif (
        _has_few_groups(data.examples)
        and data.frozen_backbone
        and len(data.examples.splits["train"]) <= MAX_IMAGES_TO_FOLD
    ):
        with suppress(
            InputUnusable, UsageError
        ):  # too few images for folds: val alone decides
            settings = _fix_choices(data.settings, trained.facts)
            scores |= compute_similarity(_predict_folds(data, settings))
            folds = UNKNOWN_FOLDS
    if not scores:
        return rule
    label_of = {
        s.key: str(s.label) for part in data.examples.splits.values() for s in part
    }
    threshold = choose_class_thresholds(
        np.array(list(scores.values())),
        [groups[key] for key in scores],
        MAX_KNOWN_REJECTED,
        [label_of[key] for key in scores],
        data.classes,
    )
    if not threshold.guaranteed:
        return rule
    rule = rule.but(
        unfamiliar_below=threshold.below, unfamiliar_by_class=threshold.limits
    )
    limits = rule.similarity_limits(data.classes)
    figures = {} if left_out is None else measure_outsiders(left_out, limits)
    rejected = _predict_rejected(data, trained.net)
    if rejected is not None:
        outputs = with_distances(rejected, scale)
        similarity = compute_output_similarity(outputs, data.classes, rule)
        predicted, probabilities, _ = decide(
            outputs.logits, data.classes, rule, similarity
        )
        confidences = confidences_of(predicted, probabilities, outputs.membership)
        is_confident = (predicted != UNKNOWN) & (confidences >= MIN_ANSWER_CONFIDENCE)
        figures |= {
            "rejected": len(outputs),
            "rejected_unknown": int((predicted == UNKNOWN).sum()),
            "rejected_sure": int(is_confident.sum()),
        }
    threshold = msgspec.structs.replace(threshold, folds=folds, **figures)
    return rule.but(effects=ThresholdEffects(unfamiliar=threshold))


def _has_few_groups(examples: Examples) -> bool:
    """Return whether folds of train improve thresholds for "unknown" that are chosen on val."""
    groups: dict[str, set[str]] = {name: set() for name in examples.classes}
    for sample in examples.splits["val"]:
        groups[str(sample.label)].add(examples.groups[sample.key])
    smallest = min(map(len, groups.values()))
    return (
        sum(map(len, groups.values())) < MIN_VAL_GROUPS or smallest < MIN_CLASS_GROUPS
    )


def measure_outsiders(left_out: LeftOutImages, limits: Floats) -> dict[str, Any]:
    """Return what `UnknownThreshold` says of left-out classes; only images for a few classes.

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
    if classes < MIN_MEASURED_CLASSES:
        return figures
    # Images of one class are found or missed together.
    interval = share_interval_or_none(is_unknown, left_out.outsider_classes)
    return figures | {"left_out_classes": classes, "left_out_interval": interval}


def _fix_choices(settings: Settings, facts: Mapping[str, Any]) -> Settings:
    """Return settings with what the training chose, so that folds need not choose again."""
    choices = {name: value for name, value in facts.items() if name == "strength"}
    if weights := list(facts.get("parts", {}).values())[1:]:
        choices["part_weights"] = ",".join(f"{weight:g}" for weight in weights)
    return msgspec.structs.replace(settings, **choices)


def _predict_folds(data: TrainingData, settings: Settings) -> Outputs:
    train, val = (data.examples.splits[split] for split in ("train", "val"))
    only = replace(data.examples, splits={"train": train, "val": (), "test": ()})
    folds = [
        replace(part, splits=part.splits | {"val": val})
        for part in make_folds(only, UNKNOWN_FOLDS, data.settings.seed)
    ]
    results = cross_validate(
        data.dataset, settings, folds, data.progress, "folds for unknown"
    )
    return concatenate_outputs([result.outputs for result in results])


def _predict_rejected(data: TrainingData, net: TrainedNet) -> Outputs | None:
    samples = (
        s
        for s in data.dataset.samples.iter_by_key()
        if s.status == "rejected" and s.kept
    )
    # Reading samples needs some label.
    labelled = (replace(sample, label=data.classes[0]) for sample in samples)
    train = tuple(islice(labelled, MAX_REJECTED_SAMPLES))
    examples = replace(data.examples, splits={"train": train})
    rejected_data = TrainingData(data.dataset, examples, data.settings, data.progress)
    try:
        return split_outputs(net, rejected_data, "train")
    except InputUnusable:
        return None
