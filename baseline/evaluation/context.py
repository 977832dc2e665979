"""What the catalogue knows of samples that matters to their judgement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from baseline.evaluation.slices import BULK, PERSON, kind_of
from gleanset import Dataset
from gleanset.db.hints import label_provenances
from gleanset.moments import moments_of
from gleanset.records import Sample

_BY_HAND = ("person", "by hand", "web report")
"""Provenances of decisions that were made looking at the one sample."""


@dataclass(frozen=True, slots=True)
class Context:
    """By sample key: its moment, the kind of its source, and who gave the label."""

    moments: dict[str, str]
    kinds: dict[str, str]
    givers: dict[str, str]

    def groups(self, keys: Iterable[str]) -> list[str]:
        """The moment of each key."""
        return [self.moments[key] for key in keys]


def context_of(dataset: Dataset, samples: Iterable[Sample]) -> Context:
    """Look these samples up."""
    samples = list(samples)
    given = label_provenances(dataset.db)
    images = {sample.image: "" for sample in samples}
    for sha256 in images:
        image = dataset.images.get(sha256)
        images[sha256] = kind_of(image.origins if image else ())
    return Context(
        moments=moments_of(dataset.db, [sample.key for sample in samples]),
        kinds={sample.key: images[sample.image] for sample in samples},
        givers={s.key: PERSON if given.get(s.key) in _BY_HAND else BULK for s in samples},
    )
