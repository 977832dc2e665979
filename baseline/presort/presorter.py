"""Presorts a dataset: vectors by which samples are compared, suggested classes, and an order."""

from __future__ import annotations

import time

import numpy as np

from baseline.features.features import FeatureSpec
from baseline.features.texture import expected_weights
from baseline.presort.likeness import components_of, weighed
from baseline.presort.propose import label_next, propose
from baseline.settings import Settings, Transfer
from baseline.train.methods.part_weights import weights_by_setting
from curation.likeness.recommend import teaching
from curation.likeness.vectors import FACT, forget_spaces, sample_name, write_space
from curation.moments import moments_of
from gleanset import Dataset
from gleanset.db.journal import unseen_labels
from gleanset.db.proposals import PresortSamples, Proposals
from gleanset.errors import InputUnusable, UsageError
from gleanset.records import Region
from gleanset.work.progress import Progress

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
    dataset.db.refuse_if_read_only()
    with dataset.stage(STAGE):
        return _presorted(dataset, settings, progress or Progress())


def _presorted(dataset: Dataset, settings: Transfer, progress: Progress) -> dict[str, object]:
    started = time.monotonic()
    known = list(PresortSamples(dataset.db).each())
    in_use = {sample.key for sample in known}
    crops = [crop for crop in dataset.samples.by_key() if crop.key in in_use]
    if not crops:
        raise InputUnusable(
            "there is no sample to sort",
            f"see what comes next: gleanset status {dataset.option}",
        )
    spec = FeatureSpec.of(settings, views=0)
    measured = components_of(dataset, crops, spec, progress)
    seen = time.monotonic()
    weights = weights_by_setting(settings.part_weights, measured.parts)
    if weights is None:
        weights = expected_weights(measured.parts, dataset, crops, progress)
    regions = {sample.key: Region(sample.box, sample.angle) for sample in crops}
    row_of = {key: row for row, key in enumerate(measured.keys)}
    # A sample that was cut again meanwhile is left out, like an unreadable one.
    chosen = [
        sample for sample in known if sample.key in row_of and regions[sample.key] == sample.region
    ]
    rows = np.array([row_of[sample.key] for sample in chosen], np.int64)
    vectors = weighed(measured.components[rows], measured.parts, weights.weights)
    names = [sample_name(sample.key, sample.region) for sample in chosen]
    space = write_space(dataset, names, vectors)
    moments = moments_of(dataset.db, teaching(chosen))
    made = propose(chosen, vectors, moments, unseen_labels(dataset.db))
    labels = {sample.label for sample in chosen if sample.label} if "classes" in made.facts else ()
    facts = made.facts | {
        "unreadable": len(known) - len(chosen),
        "backbone": settings.backbone,
        FACT: space,
        **weights.to_json(measured.parts),
    }
    number = Proposals(dataset.db).replace(made.presorted, facts | {"known": sorted(labels)})
    forget_spaces(dataset, but=space)
    waiting = {sample.key for sample in chosen if sample.status == "queue"}
    return {
        "presort": number,
        **facts,
        "label_next": label_next(made.presorted, waiting),
        "seconds": {
            "features": round(seen - started, 2),
            "sorting": round(time.monotonic() - seen, 2),
        },
    }
