"""What a presort compares samples by: principal components of each part of the features, weighed.

The weights are those that the texture of the pictures lets expect (`features/texture.py`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from baseline.features.backbone import Backbone, FeaturePart
from baseline.features.features import FeatureSpec, features_of
from baseline.features.scaling import Scaling, one_thread
from baseline.features.texture import expected_weights
from baseline.presort import MIN_ACCEPT_CONFIDENCE
from baseline.presort.propose import choose_label_next, propose
from baseline.settings import Settings, Transfer
from baseline.train.methods.logistic import parse_part_weights
from curation.labelling_command import STACKS_COMMAND, has_window, labelling_command
from curation.moments import assign_moments
from curation.similarity.class_learning import list_training_keys
from curation.similarity.vectors import (
    VECTORS_FACT,
    remove_old_vectors,
    sample_vector_name,
    save_vectors,
)
from gleanset import Dataset
from gleanset.db.journal import get_unseen_labels
from gleanset.db.proposals import PresortSamples, Proposals, iter_proposed_samples
from gleanset.errors import InputUnusable, UsageError
from gleanset.html.words import count
from gleanset.records import Region, Sample
from gleanset.work.progress import Progress

FeatureRows = npt.NDArray[np.float32]
WIDTH = 128
"""Components of a network's features; of colours half as many tell as much."""
SEEN = 5000
"""Samples by which the axes are found, at most."""
PAGE = 25_000


def weight_components(
    components: FeatureRows, parts: Sequence[FeaturePart], weights: Sequence[float]
) -> FeatureRows:
    """Return components (N x D) with each part times its weight, each row of length 1."""
    each = np.repeat(weights, [part.width for part in parts])
    found = components * each.astype(np.float32)
    scaled: FeatureRows = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)
    return scaled


class PrincipalAxes(NamedTuple):
    """What standardised features (N x D) are projected on: `axes` D x width."""

    scaling: Scaling
    axes: FeatureRows

    def project(self, features: FeatureRows) -> FeatureRows:
        """Return the components, N x width."""
        found: FeatureRows = (self.scaling.applied(features) @ self.axes).astype(np.float32)
        return found


def fit_principal_axes(features: FeatureRows, backbone: Backbone) -> PrincipalAxes:
    """Return the directions in which what `backbone` made (N x D) differs most, once scaled."""
    scaling = Scaling.of(features, backbone)
    scaled = scaling.applied(features).astype(np.float64)
    with one_thread():
        # Of the two tables of products the smaller one: both give the same directions.
        few = len(scaled) < scaled.shape[1]
        values, found = np.linalg.eigh(scaled @ scaled.T if few else scaled.T @ scaled)
        most = sum(WIDTH if part.standardised else WIDTH // 2 for part in backbone.parts)
        keep = [i for i in np.argsort(-values)[:most] if values[i] > values.max() * 1e-9]
        axes = scaled.T @ found[:, keep] / np.sqrt(values[keep]) if few else found[:, keep]
    # So long that what is projected on them has a variance of 1 in all.
    axes /= np.sqrt(max(float(np.square(scaled @ axes).sum()) / len(scaled), 1e-12))
    return PrincipalAxes(scaling, axes.astype(np.float32))


class SampleComponents(NamedTuple):
    """Components (N x D) of the samples `keys` that can be read; `parts` are those of a row."""

    keys: list[str]
    components: FeatureRows
    parts: tuple[FeaturePart, ...]


def compute_components(
    dataset: Dataset, samples: Sequence[Sample], spec: FeatureSpec, progress: Progress
) -> SampleComponents:
    """Return the components of samples; those of unreadable ones are left out.

    Raises what features raise, where none of those that decide the axes can be read.
    """
    backbone = spec.load()
    some = samples[:: max(1, -(-len(samples) // SEEN))]
    seen = features_of(dataset, some, spec, progress, backbone).plain
    ends = np.cumsum([member.width for member in backbone.members]).tolist()
    columns = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    axes = [
        fit_principal_axes(seen[:, own], member)
        for own, member in zip(columns, backbone.members, strict=True)
    ]
    parts = tuple(
        part._replace(layers=(basis.axes.shape[1],))
        for part, basis in zip(backbone.parts, axes, strict=True)
    )
    keys: list[str] = []
    pages: list[FeatureRows] = [np.zeros((0, sum(part.width for part in parts)), np.float32)]
    for start in range(0, len(samples), PAGE):
        with suppress(InputUnusable):  # nothing of this page can be read, but of others
            page = samples[start : start + PAGE]
            found = features_of(dataset, page, spec, progress, backbone)
            made = [
                basis.project(found.plain[:, own]) for own, basis in zip(columns, axes, strict=True)
            ]
            keys += found.keys
            pages.append(np.concatenate(made, axis=1))
    return SampleComponents(keys, np.concatenate(pages), parts)


STAGE = "presort"


def presort(
    dataset: Dataset, settings: Settings, progress: Progress | None = None
) -> dict[str, object]:
    """Suggest classes for all samples of a dataset and keep them; return the figures.

    `settings` are those of a transfer preset: its backbone, weights, size and seed are used.
    Raises `UsageError` for other settings, `InputUnusable` where there is no sample, and what
    features raise.
    """
    if not isinstance(settings, Transfer):
        raise UsageError(
            f"a presort learns on cached features, as transfer does, not as {settings.preset}",
            "leave --preset away, or choose a backbone: -o backbone=resnet50 -o weights=hub",
        )
    dataset.db.check_writable()
    with dataset.stage(STAGE):
        return _presorted(dataset, settings, progress or Progress())


def _presorted(dataset: Dataset, settings: Transfer, progress: Progress) -> dict[str, object]:
    started = time.monotonic()
    known = list(PresortSamples(dataset.db).iterate())
    in_use = {sample.key for sample in known}
    crops = [crop for crop in dataset.samples.iter_by_key() if crop.key in in_use]
    if not crops:
        raise InputUnusable(
            "there is no sample to sort",
            f"see what comes next: gleanset status {dataset.option}",
        )
    spec = FeatureSpec.of(settings, views=0)
    measured = compute_components(dataset, crops, spec, progress)
    seen = time.monotonic()
    weights = parse_part_weights(settings.part_weights, measured.parts)
    if weights is None:
        weights = expected_weights(measured.parts, dataset, crops, progress)
    regions = {sample.key: Region(sample.box, sample.angle) for sample in crops}
    row_of = {key: row for row, key in enumerate(measured.keys)}
    # A sample that was cut again meanwhile is left out, like an unreadable one.
    chosen = [
        sample for sample in known if sample.key in row_of and regions[sample.key] == sample.region
    ]
    rows = np.array([row_of[sample.key] for sample in chosen], np.int64)
    vectors = weight_components(measured.components[rows], measured.parts, weights.weights)
    names = [sample_vector_name(sample.key, sample.region) for sample in chosen]
    space = save_vectors(dataset, names, vectors)
    moments = assign_moments(dataset.db, list_training_keys(chosen))
    made = propose(chosen, vectors, moments, get_unseen_labels(dataset.db))
    labels = {sample.label for sample in chosen if sample.label} if "classes" in made.facts else ()
    facts = made.facts | {
        "unreadable": len(known) - len(chosen),
        "backbone": settings.backbone,
        VECTORS_FACT: space,
        **weights.to_json(measured.parts),
    }
    number = Proposals(dataset.db).replace(made.presorted, facts | {"known": sorted(labels)})
    remove_old_vectors(dataset, but=space)
    waiting = {sample.key for sample in chosen if sample.status == "queue"}
    return {
        "presort": number,
        **facts,
        "label_next": choose_label_next(made.presorted, waiting),
        "seconds": {
            "features": round(seen - started, 2),
            "sorting": round(time.monotonic() - seen, 2),
        },
    }


SHOWN = 8
"""Letters of a sample's id that are shown."""
DOUBTFUL = 0.5
"""Below it a proposal is wrong more likely than right."""


def summarize_presort(dataset: Dataset, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `figures` of a presort as lines for a person."""
    waiting = dataset.samples.count_by("status", "kept").get(("queue", "kept"), 0)
    sure = [one.proposals[0].confidence for one in iter_proposed_samples(dataset.db) if one.waits]
    lines = {"looked at": _looked_at(figures, waiting)}
    if "classes" in figures:
        lines |= _proposed(figures, sure, waiting)
    else:
        lines["proposals"] = (
            f"none: that takes two classes with labels; {count(figures['clusters'], 'stack')} of "
            "look-alikes were put together, to be named at once: labeler label NAME --stack ID"
        )
    if asked := figures.get("label_next"):
        lines["label next"] = " ".join(key[:SHOWN] for key in asked)
    return lines | {"next": _next(dataset, sure, waiting, "classes" in figures)}


def _looked_at(figures: Mapping[str, Any], waiting: int) -> str:
    words = (
        f"{count(figures['samples'], 'sample')}, {figures['labelled']:,} of them with a label; "
        f"{waiting:,} {'waits' if waiting == 1 else 'wait'} for one"
    )
    unread = figures.get("unreadable", 0)
    return words + (f"; {count(unread, 'picture')} could not be read" if unread else "")


def _proposed(figures: Mapping[str, Any], sure: Sequence[float], waiting: int) -> dict[str, str]:
    lines = {}
    if figures["held_out"]:
        lines["tried"] = (
            f"{100 * figures['accuracy']:.1f} % right on {count(figures['held_out'], 'sample')} "
            "with a label, none of them learnt by who answered"
        )
    if not waiting:
        return lines | {"proposals": "none: nothing waits for a label"}
    lines["proposals"] = (
        f"for {len(sure):,} of {waiting:,}, about {_wrong(sure):.0f} of them wrong if "
        f"{_all_known(figures)}"
    )
    if taken := [one for one in sure if one >= MIN_ACCEPT_CONFIDENCE]:
        lines["sure"] = (
            f"{len(taken):,} at {100 * MIN_ACCEPT_CONFIDENCE:.0f} % or more, "
            f"about {_wrong(taken):.1f} of them wrong, if so"
        )
    if doubtful := sum(one < DOUBTFUL for one in sure):
        lines["likely wrong"] = f"{doubtful:,} below {100 * DOUBTFUL:.0f} %"
    return lines | {"unknown": _unknown(figures["of_no_class_at_most"], sure)}


def _wrong(sure: Sequence[float]) -> float:
    return sum(1 - one for one in sure)


def _all_known(figures: Mapping[str, Any]) -> str:
    classes = figures["classes"]
    words = "all are of this class" if classes == 1 else f"all are of these {classes:,} classes"
    return f"{words} or like what was rejected" if figures["rejected"] else words


def _unknown(share: float | None, sure: Sequence[float]) -> str:
    if share is None:
        return "how many are of no class, for nothing was rejected so far; they are wrong besides"
    return (
        f"how many are of no class; at most {max_wrong_count(share, sure):,} are wrong with them, "
        "if they are as frequent as in what was decided"
    )


def max_wrong_count(share: float, sure: Sequence[float]) -> int:
    """Return how many of the proposals are wrong at most where this share is of no class."""
    return math.ceil(_wrong(sure) + share * (len(sure) - _wrong(sure)))


def _next(dataset: Dataset, sure: Sequence[float], waiting: int, learnt: bool) -> list[str]:
    found = [labelling_command(dataset)] if waiting else []
    if waiting and has_window() and not learnt:
        found.append(f"{STACKS_COMMAND} {dataset.option}")
    if any(one >= MIN_ACCEPT_CONFIDENCE for one in sure):
        found.append(f"labeler accept proposals --above {MIN_ACCEPT_CONFIDENCE:g} {dataset.option}")
    return [line for line in found if line] or [f"gleanset status {dataset.option}"]
