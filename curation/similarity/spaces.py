"""Choosing the vectors by which samples are compared, for pages, clusters and doubts.

The vectors of the latest prelabeling are used if nearly all compared samples have one, because they
reflect network features and labels. Otherwise descriptors are used.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from curation.similarity.descriptor import WIDTH, DescriptorSpace
from curation.similarity.vectors import EmbeddingSpace, make_sample_vector_name
from gleanset import Dataset
from gleanset.arrays import BoolArray, Float32Array, thin_out
from gleanset.db.regions import QualityMeasures
from gleanset.db.sorting import SampleFeatures
from gleanset.records import Region

MAX_CENTERING_SAMPLES = 2000
"""Samples used to estimate the mean of the descriptors of a dataset."""
MIN_COVERAGE = 0.9
"""The part of the samples that need a vector in a space in which they are compared."""
MAX_VECTORS = 2000
"""Vectors of one class that are compared."""
MIN_SIMILARITY_QUANTILE = 0.2
"""Chosen on one dataset, where it excludes 87 % of the out-of-distribution samples among confident
predictions and 5 % of the others; on two other datasets 20 and 73 %, and 1 and 2 %
(docs/prelabeling.md)."""
MIN_REFERENCES = 20


Space = Callable[[Sequence[SampleFeatures]], tuple[Float32Array, BoolArray]]
"""Returns unit vectors (N x D), and which samples have one; the others are zeros."""


@dataclass
class SimilaritySpaces:
    """The embedding spaces in which samples of a dataset are compared, read once."""

    _dataset: Dataset
    _embeddings: EmbeddingSpace | None = None
    _descriptors: DescriptorSpace | None = None

    def choose_space(self, samples: Sequence[SampleFeatures]) -> Space:
        """Return the space in which to compare samples, and others that come later.

        Samples that are newer than the prelabeling have no vector in its space.
        """
        embeddings = self._get_embeddings()
        if embeddings is not None and self.has_embeddings(samples):
            return lambda samples: embeddings.get_vectors(_list_vector_names(samples))
        return lambda samples: self._get_descriptor_space().get_vectors(
            [sample.descriptor for sample in samples]
        )

    def has_embeddings(self, samples: Sequence[SampleFeatures]) -> bool:
        """Return whether nearly all samples have a vector of a prelabeling."""
        embeddings = self._get_embeddings()
        return (
            embeddings is not None
            and embeddings.get_coverage(_list_vector_names(samples)) >= MIN_COVERAGE
        )

    def _get_embeddings(self) -> EmbeddingSpace | None:
        self._embeddings = EmbeddingSpace.from_dataset(self._dataset, self._embeddings)
        return self._embeddings

    def _get_descriptor_space(self) -> DescriptorSpace:
        if self._descriptors is not None:
            return self._descriptors

        # Descriptors of an earlier version have another width, until images are measured again.
        measures = QualityMeasures(self._dataset.db)
        stored = measures.list_descriptors(MAX_CENTERING_SAMPLES)
        current = [
            descriptor
            for descriptor in stored
            if descriptor and len(descriptor) == WIDTH
        ]
        photos = measures.is_photo_dataset(MAX_CENTERING_SAMPLES)
        space = DescriptorSpace(current, photos)

        if len(current) >= MIN_COVERAGE * len(stored):
            # Keep it, so that similarities do not change within a session. Not while images are
            # still measured again: few descriptors would give the center.
            self._descriptors = space
        return space


def find_dissimilar_proposals(dataset: Dataset, labels: Mapping[str, str]) -> set[str]:
    """Return the samples (keys) that are unlike the labelled samples of their predicted class.

    `labels` are the predicted classes by key. The similarity of a sample to a class is the largest
    cosine similarity to its labelled samples. A sample is returned if it is less similar to the
    class than nearly all labelled samples (all but `MIN_SIMILARITY_QUANTILE`) are to the others of
    their own class. Empty if fewer than `MIN_REFERENCES` labelled samples can be compared.
    """
    space = EmbeddingSpace.from_dataset(dataset)
    samples = list(dataset.samples.iter_by_key())
    if space is None or not samples:
        return set()
    names = [
        make_sample_vector_name(sample.key, Region(sample.box, sample.angle))
        for sample in samples
    ]
    vectors, has_vector = space.get_vectors(names)
    rows = np.flatnonzero(has_vector).tolist()

    labelled_rows: dict[str, list[int]] = {}
    for row in rows:
        if samples[row].status == "labelled":
            labelled_rows.setdefault(str(samples[row].label), []).append(row)
    references = {
        label: vectors[thin_out(rows_of_label, MAX_VECTORS)]
        for label, rows_of_label in labelled_rows.items()
    }
    min_similarity = _find_min_similarity(references.values())
    if min_similarity is None:
        return set()

    dissimilar = set()
    for row in rows:
        key = samples[row].key
        class_vectors = references.get(labels.get(key, ""))
        if class_vectors is None:
            continue
        if (class_vectors @ vectors[row]).max() < min_similarity:
            dissimilar.add(key)
    return dissimilar


def _find_min_similarity(references: Iterable[Float32Array]) -> np.floating | None:
    """Return the threshold of `find_dissimilar_proposals`, or None for too few references.

    `references` are the unit vectors (n x D) of the labelled samples of each class.
    """
    nearest: list[float] = []
    for vectors in references:
        similarities = vectors @ vectors.T
        np.fill_diagonal(
            similarities, -1
        )  # the lowest: a sample does not count for itself
        if len(vectors) > 1:
            nearest += similarities.max(axis=1).tolist()
    if len(nearest) < MIN_REFERENCES:
        return None
    return np.quantile(nearest, MIN_SIMILARITY_QUANTILE)


def _list_vector_names(samples: Sequence[SampleFeatures]) -> list[bytes]:
    return [make_sample_vector_name(sample.key, sample.region) for sample in samples]
