"""`baseline presort` on a dataset: features, proposals, and the rows that the labeler reads."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from baseline.features import FeatureSpec, features_of
from baseline.presort.classify import FeatureRows
from baseline.presort.propose import PresortResult, propose, teaching
from baseline.settings import Settings, Transfer
from gleanset import Dataset
from gleanset.db.proposals import PresortSamples, Proposals
from gleanset.errors import InputUnusable, UsageError
from gleanset.moments import moments_of
from gleanset.records import Sample
from gleanset.work.progress import Progress

STAGE = "presort"


def presort(
    dataset: Dataset, settings: Settings, progress: Progress | None = None
) -> dict[str, object]:
    """Propose classes for all samples of a dataset and keep them; return the figures.

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


def _next(made: PresortResult, most: int = 10) -> list[str]:
    """Return the first samples whose labels would teach the most."""
    asked = sorted((one.ask, one.sample) for one in made.standings if one.ask is not None)
    return [sample for _, sample in asked[:most]]


WIDTH = 128
SEEN = 5000
PAGE = 25_000


class PrincipalAxes(NamedTuple):
    """What features (N x D) are projected on: `mean` D, `axes` D x WIDTH."""

    mean: FeatureRows
    axes: FeatureRows

    def project(self, features: FeatureRows) -> FeatureRows:
        """N x WIDTH, each of length 1."""
        found = (features - self.mean) @ self.axes
        norms = np.linalg.norm(found, axis=1, keepdims=True)
        scaled: FeatureRows = (found / np.maximum(norms, 1e-9)).astype(np.float32)
        return scaled


def principal_axes(features: FeatureRows) -> PrincipalAxes:
    """Return the directions in which features (N x D) differ most."""
    mean = features.mean(0)
    centred = (features - mean).astype(np.float64)
    # Of the two tables of products the smaller one: both give the same directions.
    few = len(features) < features.shape[1]
    values, found = np.linalg.eigh(centred @ centred.T if few else centred.T @ centred)
    keep = [i for i in np.argsort(-values)[:WIDTH] if values[i] > values.max() * 1e-9]
    axes = centred.T @ found[:, keep] / np.sqrt(values[keep]) if few else found[:, keep]
    return PrincipalAxes(mean, axes.astype(np.float32))


def read_vectors(
    dataset: Dataset, samples: Sequence[Sample], spec: FeatureSpec, progress: Progress
) -> tuple[list[str], FeatureRows]:
    """Return (keys, vectors N x WIDTH) of what can be read. Raises what features raise."""
    backbone = spec.load()
    some = samples[:: max(1, -(-len(samples) // SEEN))]
    basis = principal_axes(features_of(dataset, some, spec, progress, backbone).plain)
    keys: list[str] = []
    parts: list[FeatureRows] = []
    for page in _pages(samples):
        try:
            found = features_of(dataset, page, spec, progress, backbone)
        except InputUnusable:
            # Nothing of this page can be read; that the first one could is known.
            continue
        keys += found.keys
        parts.append(basis.project(found.plain))
    return keys, np.concatenate(parts)


def _pages(samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
    for start in range(0, len(samples), PAGE):
        yield samples[start : start + PAGE]
