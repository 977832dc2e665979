"""Features of samples by a frozen backbone, made once and kept in `cache/features/`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from baseline.augmentation import LIMITS, Kind
from baseline.backbone import Backbone
from baseline.backbones import load_backbone
from baseline.batching import gathered
from baseline.compute import choose_compute, reproducible
from baseline.data import no_readable_picture, pixel_sources
from baseline.extraction import Extractor
from baseline.pixels import (
    VIEW_SEED,
    Pixels,
    ReadPixels,
    ReadViews,
    ViewRequest,
    readers_for,
)
from baseline.settings import Fit, Precision, Transfer, Triplet
from gleanset import Dataset
from gleanset.likeness.store import Vector, VectorStore, vector_name
from gleanset.records import Sample
from gleanset.work.pool import run_over
from gleanset.work.progress import Progress

FORMAT = 4
"""Raised when the same picture and weights come to give other features."""
Names = dict[str, list[bytes]]


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """How features are made. `views` are augmented ones besides the plain one.

    `seed` matters to a backbone without weights only.
    """

    backbone: str
    weights: str
    size: int
    channels: int = 3
    augment: Kind = "none"
    views: int = 0
    precision: Precision = "auto"
    seed: int = 0
    fit: Fit = "stretch"

    @classmethod
    def of(cls, settings: Transfer | Triplet, *, views: int | None = None) -> FeatureSpec:
        """Return the one of these settings, with their number of views unless another is given."""
        return cls(
            settings.backbone,
            settings.weights,
            settings.size,
            settings.channels,
            settings.augment,
            settings.views if views is None else views,
            settings.precision,
            settings.seed,
            settings.fit,
        )

    @property
    def all_views(self) -> range:
        """Return the numbers of the views: the plain one alone without a kind of change."""
        return range(1 if self.augment == "none" else 1 + self.views)

    def load(self) -> Backbone:
        """Load the backbone, in the same state whenever it is loaded."""
        with reproducible(self.seed):
            return load_backbone(self.backbone, self.weights)[0]


@dataclass(frozen=True, slots=True)
class Features:
    """What a backbone sees: `vectors` is float32, N x views x D, view 0 the plain picture.

    `keys` are the N samples that could be read, in the order asked for, repeated where they
    were asked for twice.
    """

    keys: tuple[str, ...]
    vectors: npt.NDArray[np.float32]

    @property
    def plain(self) -> npt.NDArray[np.float32]:
        """Return the features of the pictures as they are: N x D."""
        plain: npt.NDArray[np.float32] = self.vectors[:, 0]
        return plain


def features_of(
    dataset: Dataset,
    samples: Sequence[Sample],
    spec: FeatureSpec,
    progress: Progress | None = None,
    backbone: Backbone | None = None,
    split: str = "",
) -> Features:
    """Return the features of `samples`; only those that are not in the cache are computed.

    Unreadable samples are left out. Stopped at any moment, it goes on there the next time.
    `backbone` is that of `spec`, where it is loaded already; `split` is named in the error where
    the samples are one. Raises `InputUnusable` when nothing can be read, and what loading a
    backbone raises.
    """
    loaded = backbone or spec.load()
    members = [_Member.of(dataset, spec, member) for member in loaded.members]
    names = {sample.key: _names(sample, spec) for sample in samples}
    for member in members:
        member.found = member.store.read([name for row in names.values() for name in row])
    missing = [s for s in _once(samples) if any(_lacking(members, name) for name in names[s.key])]
    if missing:
        try:
            _compute(
                members, spec, list(_wanted(dataset, missing, names, members)), names, progress
            )
        finally:
            for member in members:
                member.store.flush()
    vectors = _stacked(samples, names, members, len(spec.all_views))
    if samples and not vectors.keys:
        raise no_readable_picture(len(samples), split)
    return vectors


def cached(
    dataset: Dataset, samples: Sequence[Sample], spec: FeatureSpec, backbone: Backbone
) -> list[Sample]:
    """Return those of the samples whose features are in the cache."""
    stores = [_Member.of(dataset, spec, member).store.names() for member in backbone.members]
    there = set.intersection(*stores)
    return [sample for sample in samples if there.issuperset(_names(sample, spec))]


@dataclass(slots=True)
class _Member:
    """One backbone of those side by side, where its vectors are kept, and what is known of them."""

    spec: FeatureSpec
    backbone: Backbone
    store: VectorStore
    found: dict[bytes, Vector] = field(default_factory=dict)

    @classmethod
    def of(cls, dataset: Dataset, spec: FeatureSpec, backbone: Backbone) -> Self:
        exact = replace(spec, precision="fp32") if backbone.exact else spec
        return cls(exact, backbone, VectorStore(_folder(dataset, exact, backbone)))

    def extractor(self) -> Extractor:
        return Extractor(self.backbone, self.spec.size, self.spec.channels, self.spec.precision)


def _lacking(members: Sequence[_Member], name: bytes) -> bool:
    return any(name not in member.found for member in members)


def _folder(dataset: Dataset, spec: FeatureSpec, backbone: Backbone) -> Path:
    precision = choose_compute(spec.precision).name
    told = (FORMAT, *backbone.identity, spec.size, spec.channels, spec.fit, precision)
    digest = hashlib.sha256(repr(told).encode())
    for name, value in sorted(backbone.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.numpy().tobytes())
    return dataset.cache / "features" / digest.hexdigest()[:32]


def _names(sample: Sample, spec: FeatureSpec) -> list[bytes]:
    """Return a name for each view, of all that decides its pixels."""
    changes = (
        repr((spec.augment, LIMITS[spec.augment], VIEW_SEED)) if spec.augment != "none" else ""
    )
    return [
        vector_name((sample.key, *sample.box, sample.angle, view, changes if view else ""))
        for view in spec.all_views
    ]


def _once(samples: Sequence[Sample]) -> list[Sample]:
    return list({sample.key: sample for sample in samples}.values())


def _wanted(
    dataset: Dataset, samples: Sequence[Sample], names: Names, members: Sequence[_Member]
) -> Iterator[ViewRequest]:
    for source in pixel_sources(dataset, samples):
        row = names[source.key]
        lacking = (view for view, name in enumerate(row) if _lacking(members, name))
        yield ViewRequest(source, tuple(lacking))


def _compute(
    members: Sequence[_Member],
    spec: FeatureSpec,
    wanted: Sequence[ViewRequest],
    names: Names,
    progress: Progress | None,
) -> None:
    """Make what each member lacks of the views, a batch at a time; pictures are read once."""
    extractors = [member.extractor() for member in members]
    largest = max(extractor.batch for extractor in extractors)
    for batch in gathered(_read_views(spec, wanted, names, progress or Progress()), largest):
        for member, extractor in zip(members, extractors, strict=True):
            if lacking := [(name, pixels) for name, pixels in batch if name not in member.found]:
                vectors = extractor(np.stack([pixels for _, pixels in lacking]))
                for (name, _), vector in zip(lacking, vectors, strict=True):
                    member.found[name] = vector
                    member.store.add(name, vector)


def _read_views(
    spec: FeatureSpec, wanted: Sequence[ViewRequest], names: Names, progress: Progress
) -> Iterator[tuple[bytes, Pixels]]:
    """Yield (name, pixels) of each view; samples that cannot be read are left out."""
    mode = "L" if spec.channels == 1 else "RGB"
    read = ReadViews(ReadPixels(spec.size, mode, spec.fit), spec.augment)
    outcomes = run_over(read, wanted, readers_for(len(wanted) * len(spec.all_views)))
    for outcome in progress.over(outcomes, "features", total=len(wanted)):
        if outcome.result is not None:
            row = names[outcome.item.source.key]
            yield from zip((row[view] for view in outcome.item.views), outcome.result, strict=True)


def _stacked(
    samples: Sequence[Sample], names: Names, members: Sequence[_Member], views: int
) -> Features:
    kept = [s.key for s in samples if not any(_lacking(members, name) for name in names[s.key])]
    vectors = np.empty((len(kept), views, sum(m.backbone.width for m in members)), np.float32)
    for row, key in enumerate(kept):
        for view, name in enumerate(names[key]):
            vectors[row, view] = np.concatenate([member.found[name] for member in members])
    return Features(tuple(kept), vectors)
