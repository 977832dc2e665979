"""Doubtful labels: samples whose nearest neighbours agree on another class."""

from __future__ import annotations

import numpy as np

from gleanset import Dataset
from gleanset.db.sorting import SampleTiles, SortingQueue
from gleanset.db.views import NO_FILTER, ReviewItem, Reviews, SampleFilter
from labeler.similarity import SimilaritySpaces

NEIGHBOURS, MIN_AGREEING = 5, 4
MAX_COMPARED = 4000


def list_doubtful(dataset: Dataset, sample_filter: SampleFilter = NO_FILTER) -> list[ReviewItem]:
    """Return labels that most of the nearest labelled samples contradict, the most certain first.

    Labels that a person confirmed in a review are left out.
    """
    reviews, queue = Reviews(dataset.db), SortingQueue(dataset.db)
    classes = [row for row in SampleTiles(dataset.db).get_counts().classes if row.count]
    each = max(2 * NEIGHBOURS, MAX_COMPARED // max(1, len(classes)))
    samples = queue.get_features(queue.list_decided([row.id for row in classes], each))
    vectors, has_vector = SimilaritySpaces(dataset).choose_space(samples)(samples)
    compared = [sample for sample, known in zip(samples, has_vector.tolist(), strict=True) if known]
    labels, vectors = np.array([sample.label for sample in compared]), vectors[has_vector]
    if len(compared) <= NEIGHBOURS:
        return []
    unconfirmed = {item.id for item in reviews.list_items("unconfirmed", sample_filter)}
    names = {row.id: row.name for row in classes}
    items = []
    for number, sample in enumerate(compared):
        similarity = vectors @ vectors[number]
        similarity[number] = -np.inf
        nearest = labels[np.argpartition(-similarity, NEIGHBOURS)[:NEIGHBOURS]]
        others, counts = np.unique(nearest, return_counts=True)
        other, count = int(others[counts.argmax()]), int(counts.max())
        if count >= MIN_AGREEING and other != sample.label and sample.id in unconfirmed:
            items.append(
                ReviewItem(sample.id, names[sample.label or 0], count / NEIGHBOURS, names[other])
            )
    return sorted(items, key=lambda item: (-(item.value or 0), item.id))
