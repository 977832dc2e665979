"""What the labeler compares samples by: the one place that decides it, for pages and stacks.

The vectors of the newest presort know a network's features and the labels of its day, and are used
where they are there for nearly all samples that are compared. Else descriptors are.
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
"""So many samples say what a dataset's descriptors have in common."""
NEARLY_ALL = 0.9
PART = 2000
"""So many vectors are in memory where all are put in an order."""
UNFAMILIAR_QUANTILE = 0.2
"""Chosen on one set, where it leaves out 87 % of the strangers among sure proposals and 5 % of the
others; on two other sets 20 and 73 %, and 1 and 2 % (docs/presort.md)."""
MIN_REFERENCES = 20

Vectors: TypeAlias = npt.NDArray[np.float32]
There: TypeAlias = npt.NDArray[np.bool_]


class ComparableSample(Protocol):
    """What a sample is compared by: its descriptor, or its name in the space of a presort."""

    @property
    def key(self) -> str:
        """The key of the sample."""

    @property
    def region(self) -> Region:
        """How it is cut now."""

    @property
    def descriptor(self) -> bytes | None:
        """Its descriptor; None while it is not measured."""


Space: TypeAlias = Callable[[Sequence[ComparableSample]], tuple[Vectors, There]]
"""Gives vectors of unit length (N x D), and which samples have one; the others are zeros."""


class Likeness:
    """The spaces in which the samples of a dataset can be compared; each is read once."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._presort = 0
        self._learnt: EmbeddingSpace | None = None
        self._plain: DescriptorSpace | None = None

    def space(self, samples: Sequence[ComparableSample]) -> Space:
        """Return where these samples are to be compared.

        Those few that the newest presort has not seen have no vector in its space.
        """
        learnt = self._newest()
        if learnt is not None and self.is_learnt(samples):
            return lambda some: learnt.get_vectors(_names(some))
        return self.by_descriptor

    def is_learnt(self, samples: Sequence[ComparableSample]) -> bool:
        """Return whether the vectors of a presort are there for these samples."""
        learnt = self._newest()
        return learnt is not None and learnt.get_coverage(_names(samples)) >= NEARLY_ALL

    def by_descriptor(self, samples: Sequence[ComparableSample]) -> tuple[Vectors, There]:
        """Return the vectors of descriptors: a `Space`."""
        return self._described().get_vectors([sample.descriptor for sample in samples])

    def _newest(self) -> EmbeddingSpace | None:
        newest = Proposals(self._dataset.db).get_latest()
        if newest is not None and newest.id != self._presort:
            self._learnt = EmbeddingSpace.from_dataset(self._dataset, self._learnt)
            self._presort = newest.id
        return self._learnt

    def _described(self) -> DescriptorSpace:
        if self._plain is not None:
            return self._plain
        measures = QualityMeasures(self._dataset.db)
        some = measures.sample_descriptors(SOME)
        known = [one for one in some if one is not None and len(one) == WIDTH]
        space = DescriptorSpace(known, measures.is_photo_dataset(SOME))
        if len(known) >= NEARLY_ALL * len(some):
            # From here on it stays, so that what was far does not come near within a session.
            self._plain = space
        return space


def unfamiliar_proposals(dataset: Dataset, proposed: Mapping[str, str]) -> set[str]:
    """Return the samples (keys) that are unlike the labelled ones of the class `proposed` for them.

    Their greatest cosine similarity to a labelled sample of that class is below the
    `UNFAMILIAR_QUANTILE` of what labelled samples have to the others of their own class. Empty
    where fewer than `MIN_REFERENCES` labelled samples can be compared.
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
            alike = members @ members.T
            np.fill_diagonal(alike, -1)
            own += alike.max(axis=1).tolist()
    if len(own) < MIN_REFERENCES:
        return set()
    least = np.quantile(own, UNFAMILIAR_QUANTILE)
    return {
        sample.key
        for row, sample in enumerate(samples)
        if there[row]
        and (of_class := labelled.get(proposed.get(sample.key, ""))) is not None
        and (of_class @ vectors[row]).max() < least
    }


def _names(samples: Sequence[ComparableSample]) -> list[bytes]:
    return [sample_vector_name(sample.key, sample.region) for sample in samples]


def by_likeness(dataset: Dataset, ids: Sequence[int]) -> array[int]:
    """Return samples (rows) so that look-alikes are neighbours, by descriptors alone.

    Those that are not measured come last.
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
