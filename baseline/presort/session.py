"""`baseline presort` on a dataset: features, proposals, and the rows that the labeler reads."""

from __future__ import annotations

import time

from baseline.features import FeatureSpec
from baseline.presort.material import read_vectors
from baseline.presort.propose import Proposed, propose, teaching
from baseline.settings import Settings, Transfer
from gleanset import Dataset
from gleanset.db.proposals import PresortSamples, Proposals
from gleanset.errors import InputUnusable, UsageError
from gleanset.moments import moments_of
from gleanset.work.progress import Progress

STAGE = "presort"


def presort(
    dataset: Dataset, settings: Settings, progress: Progress | None = None
) -> dict[str, object]:
    """Say of every sample what it may be and what it is like; the figures of it.

    `settings` are those of a transfer preset: its backbone, weights, size and seed are used.
    Raises `InputUnusable` where there is no sample, and what features raise.
    """
    if not isinstance(settings, Transfer):
        raise UsageError(
            f"a presort learns on cached features, as transfer does, not as {settings.preset}",
            "leave --preset away, or choose a backbone: -o backbone=resnet50 -o weights=hub",
        )
    with dataset.stage(STAGE):
        started = time.monotonic()
        samples = {one.key: one for one in PresortSamples(dataset.db).each()}
        pictures = [one for one in dataset.samples.by_key() if one.key in samples]
        if not pictures:
            raise InputUnusable(
                "there is no sample to sort", f"find some: facecrop run -d {dataset.root}"
            )
        spec = FeatureSpec.of(settings, views=0)
        keys, vectors = read_vectors(dataset, pictures, spec, progress or Progress())
        seen = time.monotonic()
        chosen = [samples[key] for key in keys]
        moments = moments_of(dataset.db, teaching(chosen))
        made = propose(chosen, vectors, moments, settings.seed)
        facts = made.facts | {
            "unreadable": len(pictures) - len(keys),
            "backbone": settings.backbone,
        }
        number = Proposals(dataset.db).replace(made.standings, None, facts)
    times = {"features": round(seen - started, 2), "sorting": round(time.monotonic() - seen, 2)}
    return {"presort": number, **facts, "label_next": _next(made), "seconds": times}


def _next(made: Proposed, most: int = 10) -> list[str]:
    """The first samples whose labels would teach the most."""
    asked = sorted((one.ask, one.sample) for one in made.standings if one.ask is not None)
    return [sample for _, sample in asked[:most]]
