"""Review: samples to check again, and the decisions of a person about them.

A label is doubtful if the nearest neighbours of its sample agree on another class.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gleanset import Dataset
from gleanset.db.sorting import SampleTiles, SortingQueue
from gleanset.db.views import NO_FILTER, REVIEW, ReviewItem, Reviews, SampleFilter
from gleanset.errors import UsageError
from gleanset.operations import make_operation
from labeler.quality.flags import FLAGS
from labeler.sorting.grid_query import with_group
from labeler.sorting.session import SortingSession, StepResult

ARROW = " → "


class Suggestion(NamedTuple):
    """Another class for a sample, with its confidence."""

    label: str
    confidence: float


class ReviewPage(NamedTuple):
    """Samples (rows) in the order of review; `sections` are (title, count)."""

    ids: array[int]
    sections: tuple[tuple[str, int], ...]
    suggested: Mapping[int, Suggestion]

    def renamed(self, names: Mapping[str, str]) -> ReviewPage:
        """Return the page with new names of classes."""
        suggested = {
            row: suggestion._replace(label=names.get(suggestion.label, suggestion.label))
            for row, suggestion in self.suggested.items()
        }
        titles = (
            ARROW.join(names.get(part, part) for part in title.removesuffix("?").split(ARROW))
            + title[len(title.removesuffix("?")) :]
            for title, _ in self.sections
        )
        counts = (count for _, count in self.sections)
        return ReviewPage(self.ids, tuple(zip(titles, counts, strict=True)), suggested)


def load_review_page(dataset: Dataset, name: str, sample_filter: SampleFilter) -> ReviewPage:
    """Load one list of samples to review, by its name."""
    reviews, sample_filter = Reviews(dataset.db), with_group(dataset, sample_filter)
    if name == "doubtful":
        items = list_doubtful(dataset, sample_filter)
    elif name == "flags":
        items = reviews.list_flagged(FLAGS, sample_filter)
    else:
        items = reviews.list_items(name, sample_filter)
    if name in ("doubtful", "model", "label-issues"):
        return _group_by_confusion(items)
    sections = tuple(Counter(item.label or "" for item in items).items())
    return ReviewPage(array("q", (item.id for item in items)), sections, {})


def _group_by_confusion(items: Sequence[ReviewItem]) -> ReviewPage:
    """Group by pairs of classes that are confused, the most frequent first."""
    pairs: dict[tuple[str, str], list[int]] = {}
    for item in items:
        pairs.setdefault((str(item.label), str(item.other)), []).append(item.id)
    ordered = sorted(pairs.items(), key=lambda item: -len(item[1]))
    ids = array("q", (row for _, rows in ordered for row in rows))
    sections = tuple((f"{label}{ARROW}{other}?", len(rows)) for (label, other), rows in ordered)
    suggested = {item.id: Suggestion(str(item.other), item.value or 0.0) for item in items}
    return ReviewPage(ids, sections, suggested)


def accept_suggestions(
    session: SortingSession, ids: Sequence[int], suggested: Mapping[int, Suggestion]
) -> StepResult:
    """Give each sample its suggested class, in one step.

    Raises `UsageError` if a class was deleted.
    """
    tiles = session.tiles.get_many(ids)
    labels = {row: suggested[row].label for row in ids if row in tiles and row in suggested}
    session.check_classes_exist(set(labels.values()))
    return session.label_each(labels, make_operation("suggested", count=len(labels)), REVIEW)


def confirm_labels(session: SortingSession, shown_labels: Mapping[int, str]) -> StepResult:
    """Confirm labels, so that they are not suggested for review again.

    `seen` are the labels (by row) that the person saw. Samples that changed since are skipped;
    raises `UsageError` if none is left.
    """
    with session.dataset.db.transaction():
        tiles = session.tiles.get_many(list(shown_labels))
        labels = {
            row: shown_labels[row] for row, tile in tiles.items() if tile.label == shown_labels[row]
        }
        if not labels:
            raise UsageError("these labels have changed", "check them again")
        return session.label_each(labels, make_operation("confirm", count=len(labels)), REVIEW)


NEIGHBOURS, MIN_AGREEING = 5, 4
MAX_COMPARED = 4000


def list_doubtful(dataset: Dataset, sample_filter: SampleFilter = NO_FILTER) -> list[ReviewItem]:
    """Return labels that most of the nearest labelled samples contradict, the most certain first.

    Labels that a person confirmed in a review are left out.
    """
    # NumPy is slow to load and not needed to start a window.
    import numpy as np

    from labeler.similarity import SimilaritySpaces

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
