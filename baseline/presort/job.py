"""`baseline presort` on a dataset: features, proposals, and the rows that the labeler reads."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from baseline.features import FeatureSpec
from baseline.methods.part_weights import PartWeights, given_weights
from baseline.presort.likeness import Components, components_of, weights_by_labels
from baseline.presort.propose import PresortResult, propose, teaching
from baseline.settings import Settings, Transfer
from baseline.texture import expected_weights
from gleanset import Dataset
from gleanset.db.proposals import PresortSample, PresortSamples, Proposals
from gleanset.errors import InputUnusable, UsageError
from gleanset.likeness.space import FACT, forget_spaces, sample_name, write_space
from gleanset.moments import moments_of
from gleanset.records import Region, Sample
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
        progress = progress or Progress()
        components = components_of(dataset, pictures, spec, progress)
        keys = components.keys
        chosen = [samples[key] for key in keys]
        moments = moments_of(dataset.db, teaching(chosen))
        weights = _weights(dataset, pictures, components, chosen, moments, settings, progress)
        vectors = components.weighed(weights.weights)
        seen = time.monotonic()
        made = propose(chosen, vectors, moments, settings.seed)
        space = write_space(dataset, _names(pictures, keys), vectors)
        facts = made.facts | {
            "unreadable": len(pictures) - len(keys),
            "backbone": settings.backbone,
            FACT: space,
            **weights.to_json(components.parts),
        }
        number = Proposals(dataset.db).replace(made.standings, None, facts)
        forget_spaces(dataset, but=space)
    times = {"features": round(seen - started, 2), "sorting": round(time.monotonic() - seen, 2)}
    return {"presort": number, **facts, "label_next": _next(made), "seconds": times}


def _weights(
    dataset: Dataset,
    pictures: Sequence[Sample],
    components: Components,
    chosen: Sequence[PresortSample],
    moments: Mapping[str, str],
    settings: Transfer,
    progress: Progress,
) -> PartWeights:
    """Return what each part of the features counts: as the settings say, or as the data does."""
    given = given_weights(settings.part_weights, components.parts)
    if given is not None:
        return given
    expected = expected_weights(components.parts, dataset, pictures, progress)
    labels = [one.label for one in chosen]
    groups = [moments.get(one.key, one.key) for one in chosen]
    return weights_by_labels(components, labels, groups, settings.seed, expected)


def _names(pictures: Sequence[Sample], keys: Sequence[str]) -> list[bytes]:
    by_key = {sample.key: sample for sample in pictures}
    return [sample_name(key, Region(by_key[key].box, by_key[key].angle)) for key in keys]


def _next(made: PresortResult, most: int = 10) -> list[str]:
    """Return the first samples whose labels would teach the most."""
    asked = sorted((one.ask, one.sample) for one in made.standings if one.ask is not None)
    return [sample for _, sample in asked[:most]]
