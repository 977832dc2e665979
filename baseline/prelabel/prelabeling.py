"""Suggested classes by principal components of the features, block by block.

The weights of the feature blocks are those expected from the texture (`features/texture.py`).
"""

import math
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from baseline.features.backbone import Backbone, FeaturePart
from baseline.features.features import FeatureSpec, compute_features
from baseline.features.scaling import Scaling, limit_threads
from baseline.features.texture import get_prior_weights
from baseline.prelabel import MIN_ACCEPT_CONFIDENCE
from baseline.prelabel.propose import choose_label_next, propose
from baseline.settings import Settings, Transfer
from baseline.train.methods.logistic import parse_part_weights
from curation.labelling_command import CLUSTERS_COMMAND, has_window, suggest_labelling_command
from curation.similarity.class_learning import list_training_keys
from curation.similarity.spaces import find_dissimilar_proposals
from curation.similarity.vectors import (
    VECTORS_FACT,
    VECTORS_FOLDER,
    Vector,
    VectorStore,
    make_sample_vector_name,
)
from curation.split_groups import assign_split_groups
from gleanset import Dataset
from gleanset.db.journal import get_unseen_labels
from gleanset.db.proposals import PrelabelSamples, Proposals, iter_proposed_samples
from gleanset.errors import InputUnusable, UsageError
from gleanset.html.words import count
from gleanset.records import Region, Sample
from gleanset.work.progress import Progress

FeatureRows = npt.NDArray[np.float32]
NETWORK_COMPONENTS = 128
"""Components of a network's features; half as many are enough for colors."""
MAX_FITTED_SAMPLES = 5000
"""Samples that the principal axes are fitted on."""
PAGE_SIZE = 25_000


def weight_components(
    components: FeatureRows, parts: Sequence[FeaturePart], weights: Sequence[float]
) -> FeatureRows:
    """Multiply components (N x D) by their block weights and scale rows to length 1."""
    factors = np.repeat(weights, [part.width for part in parts]).astype(np.float32)
    rows = components * factors
    scaled: FeatureRows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return scaled


class PrincipalAxes(NamedTuple):
    """Principal axes (D x width) of standardized features."""

    scaling: Scaling
    axes: FeatureRows

    def project(self, features: FeatureRows) -> FeatureRows:
        """Return the components (N x width) of features (N x D)."""
        components: FeatureRows = (self.scaling.transform(features) @ self.axes).astype(np.float32)
        return components


def fit_principal_axes(features: FeatureRows, backbone: Backbone) -> PrincipalAxes:
    """Fit the principal axes of features (N x D) of a backbone, scaled to a total variance of 1."""
    scaling = Scaling.fit(features, backbone)
    scaled = scaling.transform(features).astype(np.float64)
    with limit_threads():
        # The smaller of the two Gram matrices: both give the same directions.
        is_wide = len(scaled) < scaled.shape[1]
        values, vectors = np.linalg.eigh(scaled @ scaled.T if is_wide else scaled.T @ scaled)
        width = sum(
            NETWORK_COMPONENTS if part.standardised else NETWORK_COMPONENTS // 2
            for part in backbone.parts
        )
        keep = [i for i in np.argsort(-values)[:width] if values[i] > values.max() * 1e-9]
        axes = scaled.T @ vectors[:, keep] / np.sqrt(values[keep]) if is_wide else vectors[:, keep]
    axes /= np.sqrt(max(float(np.square(scaled @ axes).sum()) / len(scaled), 1e-12))
    return PrincipalAxes(scaling, axes.astype(np.float32))


class SampleComponents(NamedTuple):
    """Components (N x D) of the readable samples `keys`, in feature blocks `parts`."""

    keys: list[str]
    components: FeatureRows
    parts: tuple[FeaturePart, ...]


def compute_components(
    dataset: Dataset, samples: Sequence[Sample], spec: FeatureSpec, progress: Progress
) -> SampleComponents:
    """Return the components of the readable samples.

    Raises what features raise, if none of the samples that the axes are fitted on is readable.
    """
    backbone = spec.load()
    fitted_samples = samples[:: max(1, -(-len(samples) // MAX_FITTED_SAMPLES))]
    features = compute_features(dataset, fitted_samples, spec, progress, backbone).plain
    ends = np.cumsum([member.width for member in backbone.members])[:-1]
    blocks = zip(np.split(features, ends, axis=1), backbone.members, strict=True)
    axes = [fit_principal_axes(block, member) for block, member in blocks]
    parts = tuple(
        part._replace(layers=(basis.axes.shape[1],))
        for part, basis in zip(backbone.parts, axes, strict=True)
    )
    keys: list[str] = []
    pages: list[FeatureRows] = [np.zeros((0, sum(part.width for part in parts)), np.float32)]
    for start in range(0, len(samples), PAGE_SIZE):
        with suppress(InputUnusable):  # nothing of this page is readable
            page = samples[start : start + PAGE_SIZE]
            page_features = compute_features(dataset, page, spec, progress, backbone)
            pairs = zip(np.split(page_features.plain, ends, axis=1), axes, strict=True)
            pages.append(np.concatenate([basis.project(block) for block, basis in pairs], axis=1))
            keys += page_features.keys
    return SampleComponents(keys, np.concatenate(pages), parts)


STAGE = "prelabel"


def prelabel(
    dataset: Dataset, settings: Settings, progress: Progress | None = None
) -> dict[str, object]:
    """Suggest classes for all samples of a dataset, store them and return the metrics.

    `settings` are those of a transfer preset: its backbone, weights, size and seed are used.
    Raises `UsageError` for other settings, `InputUnusable` if there are no samples, and what
    features raise.
    """
    if not isinstance(settings, Transfer):
        raise UsageError(
            f"prelabel needs the settings of preset transfer, not {settings.preset}",
            "choose a backbone: -o backbone=resnet50 -o weights=hub",
        )
    dataset.db.check_writable()
    with dataset.stage(STAGE):
        return _run_prelabel(dataset, settings, progress or Progress())


def _run_prelabel(dataset: Dataset, settings: Transfer, progress: Progress) -> dict[str, object]:
    started = time.monotonic()
    samples = list(PrelabelSamples(dataset.db).iterate())
    keys = {sample.key for sample in samples}
    crops = [crop for crop in dataset.samples.iter_by_key() if crop.key in keys]
    if not crops:
        raise InputUnusable("no samples to sort", dataset.status_advice)
    spec = FeatureSpec.from_settings(settings, views=0)
    computed = compute_components(dataset, crops, spec, progress)
    computed_at = time.monotonic()
    weights = parse_part_weights(settings.part_weights, computed.parts)
    if weights is None:
        weights = get_prior_weights(computed.parts, dataset, crops, progress)
    regions = {sample.key: Region(sample.box, sample.angle) for sample in crops}
    row_by_key = {key: row for row, key in enumerate(computed.keys)}
    # A sample that was cropped again meanwhile is left out, like an unreadable one.
    current = [s for s in samples if s.key in row_by_key and regions[s.key] == s.region]
    rows = np.array([row_by_key[sample.key] for sample in current], np.int64)
    vectors = weight_components(computed.components[rows], computed.parts, weights.weights)
    names = [make_sample_vector_name(sample.key, sample.region) for sample in current]
    space = save_vectors(dataset, names, vectors)
    groups = assign_split_groups(dataset.db, list_training_keys(current))
    result = propose(current, vectors, groups, get_unseen_labels(dataset.db))
    labels = (
        {sample.label for sample in current if sample.label} if "classes" in result.facts else ()
    )
    facts = result.facts | {
        "unreadable": len(samples) - len(current),
        "backbone": settings.backbone,
        VECTORS_FACT: space,
        **weights.to_json(computed.parts),
    }
    number = Proposals(dataset.db).replace(result.prelabelled, facts | {"known": sorted(labels)})
    for folder in (dataset.cache / VECTORS_FOLDER).glob("*"):
        if folder.name != space:  # vectors of earlier prelabelings
            shutil.rmtree(folder, ignore_errors=True)
    pending = {sample.key for sample in current if sample.status == "queue"}
    return {
        "prelabel": number,
        **facts,
        "label_next": choose_label_next(result.prelabelled, pending),
        "seconds": {
            "features": round(computed_at - started, 2),
            "sorting": round(time.monotonic() - computed_at, 2),
        },
    }


KEY_LETTERS = 8
"""Letters of a sample's id that are printed."""
LOW_CONFIDENCE = 0.5


def summarize_prelabel(dataset: Dataset, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the lines that `baseline prelabel` prints."""
    pending = dataset.samples.count_by("status", "kept").get(("queue", "kept"), 0)
    suggested = [sample for sample in iter_proposed_samples(dataset.db) if sample.waits]
    confidences = [sample.proposals[0].confidence for sample in suggested]
    confident = {
        sample.sample: sample.proposals[0]
        for sample in suggested
        if sample.proposals[0].confidence >= MIN_ACCEPT_CONFIDENCE
    }
    # What `labeler accept predictions` leaves in the queue, too.
    dissimilar = find_dissimilar_proposals(dataset, {key: p.label for key, p in confident.items()})
    acceptable = [p.confidence for key, p in confident.items() if key not in dissimilar]
    if "classes" in result:
        lines = _summarize_suggestions(result, confidences, acceptable, len(dissimilar), pending)
    else:
        lines = {
            "suggestions": "none: label samples of at least two classes",
            "clusters": f"{result['clusters']:,} of similar samples, to label together: "
            "labeler label NAME --cluster ID",
        }
    unreadable = result.get("unreadable", 0)
    lines["samples"] = (
        f"{result['samples']:,} ({result['labelled']:,} labelled, {pending:,} pending"
        f"{f', {unreadable:,} unreadable' if unreadable else ''})"
    )
    if keys := result.get("label_next"):
        lines["label next"] = " ".join(key[:KEY_LETTERS] for key in keys)
    commands = _next_commands(dataset, bool(acceptable), pending, "classes" in result)
    return lines | {"next": commands}


def _summarize_held_out(result: Mapping[str, Any]) -> dict[str, str]:
    held_out = result["held_out"]
    if not held_out:
        return {}
    samples, others = count(result["labelled"], "labelled sample"), ""
    if held_out < result["labelled"]:
        samples = f"{held_out:,} of {samples}"
        others = "; others are copies, not reviewed, or their class is in one group only"
    figure = "out-of-fold accuracy"
    if together := result["given_together"]:
        # Such labels may be wrong together, so the figure is not an accuracy.
        figure = "out-of-fold agreement"
        others += f"; {together:,} labelled by cluster, page or weak label, not one by one"
    return {figure: f"{result['accuracy']:.1%} ({samples}{others})"}


def _summarize_suggestions(
    result: Mapping[str, Any],
    confidences: Sequence[float],
    acceptable: Sequence[float],
    dissimilar: int,
    pending: int,
) -> dict[str, str]:
    lines = _summarize_held_out(result)
    if not pending:
        return lines | {"suggestions": "none: no pending samples"}
    others = result["of_other_classes"]
    classes = count(result["classes"], "known class", "known classes")
    rejected = " and rejected images" if result["rejected"] else ""
    expected_errors = count(round(_expected_errors(confidences)), "error")
    lines["suggestions"] = (
        f"{len(confidences):,}/{pending:,} samples, about {expected_errors}"
        f"{'' if others else f' among {classes}{rejected}'}"
    )
    if acceptable or dissimilar:
        errors = f", about {_expected_errors(acceptable):.1f} errors" if acceptable else ""
        unlike = f"; left out: {dissimilar:,} unlike the labelled images of the class"
        lines["confident"] = (
            f"{len(acceptable):,} at {MIN_ACCEPT_CONFIDENCE:.0%} or more{errors}"
            f"{unlike if dissimilar else ''}"
        )
    if uncertain := sum(c < LOW_CONFIDENCE for c in confidences):
        lines["uncertain"] = f"{uncertain:,} below {LOW_CONFIDENCE:.0%}"
    share = result["of_no_class_at_most"]
    if others:
        lines["other classes"] = (
            f"about {count(others, 'sample')} of classes without labels, included in these errors"
        )
    elif share is None:
        lines["other classes"] = "images of other classes are additional errors; reject some"
    else:
        lines["other classes"] = (
            f"at most {count(max_wrong_count(share, confidences), 'error')} with images of other "
            "classes, if they are as frequent as among decided samples"
        )
    return lines


def _expected_errors(confidences: Sequence[float]) -> float:
    return sum(1 - confidence for confidence in confidences)


def max_wrong_count(share: float, confidences: Sequence[float]) -> int:
    """Return the largest number of wrong suggestions if this share is of no class."""
    errors = _expected_errors(confidences)
    return math.ceil(errors + share * (len(confidences) - errors))


def _next_commands(
    dataset: Dataset, has_acceptable: bool, pending: int, has_classes: bool
) -> list[str]:
    commands = [suggest_labelling_command(dataset)] if pending else []
    if pending and has_window() and not has_classes:
        commands.append(f"{CLUSTERS_COMMAND} {dataset.option}")
    if has_acceptable:
        commands.append(
            f"labeler accept predictions --above {MIN_ACCEPT_CONFIDENCE:g} {dataset.option}"
        )
    return [command for command in commands if command] or [f"gleanset status {dataset.option}"]


def save_vectors(dataset: Dataset, names: Sequence[bytes], rows: Vector) -> str:
    """Write unit vectors (N x D) to a new folder; return its name."""
    name = secrets.token_hex(8)
    store = VectorStore(dataset.cache / VECTORS_FOLDER / name)
    for sample, row in zip(names, rows, strict=True):
        store.add(sample, row)
    store.flush()
    return name
