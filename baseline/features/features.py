"""Features of samples by a frozen backbone, cached in `cache/features/`."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple, Self

import numpy as np

from baseline.data.pixels import (
    VIEW_SEED,
    PixelReader,
    ViewReader,
    ViewRequest,
    choose_readers,
)
from baseline.data.samples import pixel_sources, unreadable_images_error
from baseline.features.backbone import (
    READ_AHEAD_IMAGES,
    Backbone,
    ImageShape,
    batch_items,
)
from baseline.features.backbones import load_backbone
from baseline.settings import Fit, Precision, Transfer, Triplet
from curation.similarity.vectors import VectorStore, make_vector_name
from gleanset import Dataset
from gleanset.arrays import Float32Array, Pixels
from gleanset.images.augmentation import LIMITS, Kind
from gleanset.records import Sample
from gleanset.work.pool import run_over
from gleanset.work.progress import Progress

FORMAT = 5
"""Incremented when the features of the same image and weights change."""
ViewNames = dict[str, list[bytes]]
"""By the key of a sample, the name of its vector in the store for each view."""


class FeatureSpec(NamedTuple):
    """Settings that determine features; `views` is the number of augmented views.

    `seed` is only used by a backbone without weights.
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
    def from_settings(cls, settings: Transfer | Triplet, *, views: int) -> Self:
        """Return the specification for settings and a number of views."""
        # Other fields have the names of settings.
        names = [name for name in cls._fields if name != "views"]
        return cls(views=views, **{name: getattr(settings, name) for name in names})

    @property
    def all_views(self) -> range:
        """Return the numbers of the views: only the plain one without augmentation."""
        augmented_views = 0 if self.augment == "none" else self.views
        return range(1 + augmented_views)

    def load(self) -> Backbone:
        """Load the backbone, with the same weights each time."""
        return load_backbone(self.backbone, self.weights, self.seed)[0]

    @property
    def shape(self) -> ImageShape:
        """The shape of input images."""
        return ImageShape(self.channels, self.size)


class Features(NamedTuple):
    """Features of samples: `vectors` is float32, N x views x D; view 0 is not augmented.

    `keys` are the N readable samples in the requested order.
    """

    keys: tuple[str, ...]
    vectors: Float32Array

    @property
    def plain(self) -> Float32Array:
        """Return the features without augmentation: N x D."""
        return self.vectors[:, 0]


def compute_features(
    dataset: Dataset,
    samples: Sequence[Sample],
    spec: FeatureSpec,
    progress: Progress,
    backbone: Backbone,
    split: str = "",
) -> Features:
    """Return the features of `samples`, from the cache or computed.

    Unreadable samples are left out. An interrupted computation continues from the cache. `backbone`
    is that of `spec`, loaded; `split` is for the error message. Raises `InputUnusable` if nothing
    can be read.
    """
    members = [_Member.open(dataset, spec, member) for member in backbone.members]
    names = {sample.key: _name_views(sample, spec) for sample in samples}
    all_names = list(chain.from_iterable(names.values()))
    for member in members:
        member.vectors = member.store.read(all_names)

    # Some views of a sample may be missing: where a computation was interrupted, or backbones are
    # joined in another way.
    missing_views = {}
    for key, view_names in names.items():
        missing_views[key] = tuple(
            view for view, name in enumerate(view_names) if _is_missing(members, name)
        )
    missing = [sample for sample in samples if missing_views[sample.key]]
    if missing:
        requests = [
            ViewRequest(source, missing_views[source.key])
            for source in pixel_sources(dataset, missing)
        ]
        try:
            _compute(
                members,
                spec,
                requests,
                names,
                progress,
            )
        finally:
            for member in members:
                member.store.flush()

    features = _stack_vectors(
        samples,
        names,
        members,
        views=len(spec.all_views),
    )
    if samples and not features.keys:
        raise unreadable_images_error(len(samples), split)
    return features


@dataclass
class _Member:
    """One of the joined backbones, with the store and cached vectors of its features."""

    backbone: Backbone
    store: VectorStore
    vectors: dict[bytes, Float32Array] = field(default_factory=dict)

    @classmethod
    def open(cls, dataset: Dataset, spec: FeatureSpec, backbone: Backbone) -> Self:
        folder = dataset.cache / "features" / name_features(spec, backbone)
        return cls(backbone, VectorStore(folder))


def _is_missing(members: Sequence[_Member], name: bytes) -> bool:
    return any(name not in member.vectors for member in members)


def name_features(spec: FeatureSpec, backbone: Backbone) -> str:
    """Return a name that is equal for equal features."""
    settings = (
        FORMAT,
        *backbone.identity,
        spec.size,
        spec.channels,
        spec.fit,
        backbone.precision(spec.precision),
    )
    digest = hashlib.sha256(repr(settings).encode())
    for name, value in sorted(backbone.state.items()):
        digest.update(name.encode())
        digest.update(value.tobytes())
    return digest.hexdigest()[:32]


def _name_views(sample: Sample, spec: FeatureSpec) -> list[bytes]:
    """Return the names of a sample's vectors, one a view."""
    crop = (sample.key, *sample.box, sample.angle)
    # The plain view, 0, is the same whatever the augmentation.
    names = [make_vector_name((*crop, 0, ""))]
    for view in spec.all_views[1:]:
        augmentation = repr((spec.augment, LIMITS[spec.augment], VIEW_SEED))
        names.append(make_vector_name((*crop, view, augmentation)))
    return names


def _compute(
    members: Sequence[_Member],
    spec: FeatureSpec,
    requests: Sequence[ViewRequest],
    names: ViewNames,
    progress: Progress,
) -> None:
    """Compute the requested views, and put their vectors into `members`."""
    extractors = [
        member.backbone.extractor(spec.shape, spec.precision) for member in members
    ]
    views = _read_views(spec, requests, names, progress)
    for batch in batch_items(views, READ_AHEAD_IMAGES):
        for member, extract in zip(members, extractors, strict=True):
            # Another member may lack other views.
            pixels = {
                name: pixels for name, pixels in batch if name not in member.vectors
            }
            if pixels:
                vectors = extract(np.stack(list(pixels.values())))
                for name, vector in zip(pixels, vectors, strict=True):
                    member.vectors[name] = vector
                    member.store.add(name, vector)


def _read_views(
    spec: FeatureSpec,
    requests: Sequence[ViewRequest],
    names: ViewNames,
    progress: Progress,
) -> Iterator[tuple[bytes, Pixels]]:
    """Yield names of vectors with the pixels of their views; no unreadable samples."""
    read = ViewReader(
        PixelReader(spec.size, spec.channels, spec.fit),
        spec.augment,
    )
    readers = choose_readers(len(requests) * len(spec.all_views))
    outcomes = run_over(read, requests, readers)
    for outcome in progress.over(outcomes, "features", total=len(requests)):
        if outcome.result is None:
            continue
        request = outcome.item
        view_names = names[request.source.key]
        for view, pixels in zip(request.views, outcome.result, strict=True):
            yield view_names[view], pixels


def _stack_vectors(
    samples: Sequence[Sample],
    names: ViewNames,
    members: Sequence[_Member],
    *,
    views: int,
) -> Features:
    """Join the vectors of all members; samples without all views were unreadable."""
    keys = [
        sample.key
        for sample in samples
        if not any(_is_missing(members, name) for name in names[sample.key])
    ]
    width = sum(member.backbone.width for member in members)
    vectors = np.empty((len(keys), views, width), np.float32)
    for row, key in enumerate(keys):
        for view, name in enumerate(names[key]):
            blocks = [member.vectors[name] for member in members]
            vectors[row, view] = np.concatenate(blocks)
    return Features(tuple(keys), vectors)
