"""Features of samples by a frozen backbone, made once and kept in `cache/features/`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from baseline.augmentation import LIMITS, Kind
from baseline.backbones import Backbone, load_backbone
from baseline.batching import gathered
from baseline.compute import choose_compute, reproducible
from baseline.data import no_readable_picture, pixel_sources
from baseline.extraction import Extractor
from baseline.pixels import VIEW_SEED, Pixels, ReadPixels, ReadViews, ViewRequest, processes_for
from baseline.settings import Precision, Transfer, Triplet
from gleanset import Dataset
from gleanset.files.atomic import write_atomic
from gleanset.records import Sample
from gleanset.work.pool import run_over
from gleanset.work.progress import Progress

FORMAT = 3
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
    cache = FeatureCache(_folder(dataset, spec, loaded))
    names = {sample.key: _names(sample, spec) for sample in samples}
    found = cache.read([name for row in names.values() for name in row])
    missing = [s for s in _once(samples) if any(name not in found for name in names[s.key])]
    if missing:
        extractor = Extractor(loaded, spec.size, spec.channels, spec.precision)
        wanted = list(_wanted(dataset, missing, names, found))
        try:
            for name, vector in _computed(extractor, spec, wanted, names, progress or Progress()):
                found[name] = vector
                cache.add(name, vector)
        finally:
            cache.flush()
    vectors = _stacked(samples, names, found, loaded.width, len(spec.all_views))
    if samples and not vectors.keys:
        raise no_readable_picture(len(samples), split)
    return vectors


def _folder(dataset: Dataset, spec: FeatureSpec, backbone: Backbone) -> Path:
    precision = choose_compute(spec.precision).name
    norms = (backbone.mean.flatten().tolist(), backbone.std.flatten().tolist())
    told = (FORMAT, spec.backbone, spec.size, spec.channels, precision, *norms)
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
        hashlib.sha256(
            repr((sample.key, *sample.box, sample.angle, view, changes if view else "")).encode()
        ).digest()[:NAME]
        for view in spec.all_views
    ]


def _once(samples: Sequence[Sample]) -> list[Sample]:
    return list({sample.key: sample for sample in samples}.values())


def _wanted(
    dataset: Dataset, samples: Sequence[Sample], names: Names, found: Mapping[bytes, Vector]
) -> Iterator[ViewRequest]:
    for source in pixel_sources(dataset, samples):
        row = names[source.key]
        yield ViewRequest(source, tuple(view for view, name in enumerate(row) if name not in found))


def _computed(
    extractor: Extractor,
    spec: FeatureSpec,
    wanted: Sequence[ViewRequest],
    names: Names,
    progress: Progress,
) -> Iterator[tuple[bytes, Vector]]:
    """Yield (name, vector) of each view, a batch at a time."""
    for batch in gathered(_read_views(spec, wanted, names, progress), extractor.batch):
        vectors = extractor(np.stack([pixels for _, pixels in batch]))
        yield from zip((name for name, _ in batch), vectors, strict=True)


def _read_views(
    spec: FeatureSpec, wanted: Sequence[ViewRequest], names: Names, progress: Progress
) -> Iterator[tuple[bytes, Pixels]]:
    """Yield (name, pixels) of each view; samples that cannot be read are left out."""
    read = ReadViews(ReadPixels(spec.size, "L" if spec.channels == 1 else "RGB"), spec.augment)
    outcomes = run_over(read, wanted, processes_for(len(wanted) * len(spec.all_views)))
    for outcome in progress.over(outcomes, "features", total=len(wanted)):
        if outcome.result is not None:
            row = names[outcome.item.source.key]
            yield from zip((row[view] for view in outcome.item.views), outcome.result, strict=True)


def _stacked(
    samples: Sequence[Sample], names: Names, found: Mapping[bytes, Vector], width: int, views: int
) -> Features:
    kept = [s.key for s in samples if all(name in found for name in names[s.key])]
    vectors = np.empty((len(kept), views, width), np.float32)
    for row, key in enumerate(kept):
        vectors[row] = [found[name] for name in names[key]]
    return Features(tuple(kept), vectors)


ROWS = 1024
SECONDS = 10.0
"""A shard is written when it has so many vectors, or when so much work would be lost."""
NAME = 16
"""Bytes of the name of a vector."""

Vector = npt.NDArray[np.float32]


class FeatureCache:
    """The vectors in one folder, all made by the same network in the same way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: list[bytes] = []
        self._vectors: list[Vector] = []
        self._written = time.monotonic()

    def read(self, names: Collection[bytes]) -> dict[bytes, Vector]:
        """Return those of the vectors that are there."""
        wanted = set(names)
        return {
            name: vector
            for path in sorted(self.folder.glob("*.safetensors"))
            for name, vector in _rows(path)
            if name in wanted
        }

    def add(self, name: bytes, vector: Vector) -> None:
        """Keep a vector; it is on disk after a while, or after `flush`."""
        self._names.append(name)
        self._vectors.append(vector)
        if len(self._names) >= ROWS or time.monotonic() - self._written > SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is not on disk yet. Raises `DiskFull` or `NotWritable`."""
        if self._names:
            names = np.frombuffer(b"".join(self._names), np.uint8).reshape(-1, NAME)
            data = safetensors.numpy.save(
                {"names": names.copy(), "vectors": np.stack(self._vectors)}
            )
            write_atomic(self.folder / f"{_digest(data)}.safetensors", data)
        self._names, self._vectors, self._written = [], [], time.monotonic()


def _rows(path: Path) -> list[tuple[bytes, Vector]]:
    """Return the vectors of a shard; none of one that is damaged, which is removed."""
    with suppress(OSError, SafetensorError, KeyError):
        data = path.read_bytes()
        if _digest(data) == path.stem:
            shard = safetensors.numpy.load(data)
            return list(zip(map(bytes, shard["names"]), shard["vectors"], strict=True))
    with suppress(OSError):
        path.unlink()
    return []


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
