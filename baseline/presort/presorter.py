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
from curation.likeness.space import FACT, forget_spaces, sample_name, write_space
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
    in_use = {one.key for one in known}
    images = [one for one in dataset.samples.by_key() if one.key in in_use]
    if not images:
        raise InputUnusable(
            "there is no sample to sort",
            f"see what comes next: gleanset status {dataset.option}",
        )
    spec = FeatureSpec.of(settings, views=0)
    found = components_of(dataset, images, spec, progress)
    seen = time.monotonic()
    weights = weights_by_setting(settings.part_weights, found.parts)
    if weights is None:
        weights = expected_weights(found.parts, dataset, images, progress)
    regions = {one.key: Region(one.box, one.angle) for one in images}
    row_of = {key: row for row, key in enumerate(found.keys)}
    # A sample that was cut again meanwhile is left out, as one that cannot be read.
    chosen = [one for one in known if one.key in row_of and regions[one.key] == one.region]
    rows = np.array([row_of[one.key] for one in chosen], np.int64)
    vectors = weighed(found.components[rows], found.parts, weights.weights)
    names = [sample_name(one.key, one.region) for one in chosen]
    space = write_space(dataset, names, vectors)
    moments = moments_of(dataset.db, teaching(chosen))
    made = propose(chosen, vectors, moments, unseen_labels(dataset.db))
    labels = {sample.label for sample in chosen if sample.label} if "classes" in made.facts else ()
    facts = made.facts | {
        "unreadable": len(known) - len(chosen),
        "backbone": settings.backbone,
        FACT: space,
        **weights.to_json(found.parts),
    }
    number = Proposals(dataset.db).replace(made.presorted, facts | {"known": sorted(labels)})
    forget_spaces(dataset, but=space)
    waiting = {one.key for one in chosen if one.status == "queue"}
    return {
        "presort": number,
        **facts,
        "label_next": label_next(made.presorted, waiting),
        "seconds": {
            "features": round(seen - started, 2),
            "sorting": round(time.monotonic() - seen, 2),
        },
    }
