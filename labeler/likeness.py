"""Choosing the vectors by which the labeler compares samples, for pages and clusters.

The vectors of the latest prelabeling are used if nearly all compared samples have one, because they
reflect network features and labels. Otherwise descriptors are used.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from curation.similarity.clustering import SOME as ENOUGH
from curation.similarity.clustering import find_main_directions, order_by_proximity
from curation.similarity.descriptor import WIDTH, DescriptorSpace
from curation.similarity.vectors import EmbeddingSpace, sample_vector_name
from gleanset import Dataset
from gleanset.db.proposals import Proposals
from gleanset.db.regions import QualityMeasures
from gleanset.records import Region

SOME = 2000
"""Samples used to estimate the mean of the descriptors of a dataset."""
NEARLY_ALL = 0.9
PART = 2000
"""Vectors in memory when all samples are ordered."""
UNFAMILIAR_QUANTILE = 0.2
"""Chosen on one dataset, where it excludes 87 % of the out-of-distribution samples among confident
predictions and 5 % of the others; on two other datasets 20 and 73 %, and 1 and 2 %
(docs/prelabeling.md)."""
MIN_REFERENCES = 20

Vectors: TypeAlias = npt.NDArray[np.float32]
There: TypeAlias = npt.NDArray[np.bool_]


class ComparableSample(Protocol):
    """A sample with the data needed to compare it."""

    @property
    def key(self) -> str:
        """The key of the sample."""

    @property
    def region(self) -> Region:
        """Its current crop."""

    @property
    def descriptor(self) -> bytes | None:
        """Its descriptor; None if it is not measured yet."""


Space: TypeAlias = Callable[[Sequence[ComparableSample]], tuple[Vectors, There]]
"""Returns unit vectors (N x D), and which samples have one; the others are zeros."""


class Likeness:
    """The embedding spaces in which samples of a dataset are compared, read once."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._prelabel = 0
        self._learnt: EmbeddingSpace | None = None
        self._plain: DescriptorSpace | None = None

    def space(self, samples: Sequence[ComparableSample]) -> Space:
        """Return the space in which to compare samples.

        Samples that are newer than the prelabeling have no vector in its space.
        """
        learnt = self._newest()
        if learnt is not None and self.is_learnt(samples):
            return lambda some: learnt.get_vectors(_names(some))
        return self.by_descriptor

    def is_learnt(self, samples: Sequence[ComparableSample]) -> bool:
        """Return whether nearly all samples have a vector of a prelabeling."""
        learnt = self._newest()
        return learnt is not None and learnt.get_coverage(_names(samples)) >= NEARLY_ALL

    def by_descriptor(self, samples: Sequence[ComparableSample]) -> tuple[Vectors, There]:
        """Return the vectors of descriptors: a `Space`."""
        return self._described().get_vectors([sample.descriptor for sample in samples])

    def _newest(self) -> EmbeddingSpace | None:
        newest = Proposals(self._dataset.db).get_latest()
        if newest is not None and newest.id != self._prelabel:
            self._learnt = EmbeddingSpace.from_dataset(self._dataset, self._learnt)
            self._prelabel = newest.id
        return self._learnt

    def _described(self) -> DescriptorSpace:
        if self._plain is not None:
            return self._plain
        measures = QualityMeasures(self._dataset.db)
        some = measures.sample_descriptors(SOME)
        known = [one for one in some if one is not None and len(one) == WIDTH]
        space = DescriptorSpace(known, measures.is_photo_dataset(SOME))
        if len(known) >= NEARLY_ALL * len(some):
            # Keep it, so that similarities do not change within a session.
            self._plain = space
        return space


def unfamiliar_proposals(dataset: Dataset, proposed: Mapping[str, str]) -> set[str]:
    """Return the samples (keys) that are unlike the labelled samples of their predicted class.

    Their maximum cosine similarity to labelled samples of the class is below the
    `UNFAMILIAR_QUANTILE` of that of labelled samples to others of their class. Empty if fewer than
    `MIN_REFERENCES` labelled samples can be compared.
    """
    space = EmbeddingSpace.from_dataset(dataset, None)
    samples = list(dataset.samples.iter_by_key())
    if space is None or not samples:
        return set()
    vectors, there = space.get_vectors(
        [sample_vector_name(s.key, Region(s.box, s.angle)) for s in samples]
    )
    rows: dict[str, list[int]] = {}
    for row in np.flatnonzero(there).tolist():
        if samples[row].status == "labelled":
            rows.setdefault(str(samples[row].label), []).append(row)
    labelled = {label: vectors[some[:: -(-len(some) // PART)]] for label, some in rows.items()}
    own: list[float] = []
    for members in labelled.values():
        if len(members) > 1:
            similarities = members @ members.T
            np.fill_diagonal(similarities, -1)
            own += similarities.max(axis=1).tolist()
    if len(own) < MIN_REFERENCES:
        return set()
    min_similarity = np.quantile(own, UNFAMILIAR_QUANTILE)
    return {
        sample.key
        for row, sample in enumerate(samples)
        if there[row]
        and (of_class := labelled.get(proposed.get(sample.key, ""))) is not None
        and (of_class @ vectors[row]).max() < min_similarity
    }


def _names(samples: Sequence[ComparableSample]) -> list[bytes]:
    return [sample_vector_name(sample.key, sample.region) for sample in samples]


def by_likeness(dataset: Dataset, ids: Sequence[int]) -> array[int]:
    """Order samples (rows) by descriptors so that similar ones are adjacent.

    Samples without a descriptor come last.
    """
    measures = QualityMeasures(dataset.db)
    some = [each for each in measures.sample_descriptors(ENOUGH) if each and len(each) == WIDTH]
    if not some:
        return array("q", ids)
    space = DescriptorSpace(some, measures.is_photo_dataset(ENOUGH))
    directions = find_main_directions(space.get_vectors(some)[0])
    known, points = [], []
    for start in range(0, len(ids), PART):
        part = list(ids[start : start + PART])
        stored = measures.get_descriptors(part)
        vectors, there = space.get_vectors([stored.get(row) for row in part])
        known.append(there)
        points.append(vectors[there] @ directions)
    rows, measured = np.array(ids, np.int64), np.concatenate(known)
    order = order_by_proximity(np.concatenate(points))
    return array("q", [*rows[measured][order].tolist(), *rows[~measured].tolist()])
