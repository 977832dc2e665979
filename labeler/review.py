"""Review: samples to check again, and the decisions of a person about them.

A label is doubtful if two people disagree about it, or the other labelled samples suggest another
class, or nearly do.
"""

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import NamedTuple

from gleanset import Dataset
from gleanset.db.journal import REVIEW
from gleanset.db.regions import FLAGS
from gleanset.db.sorting import SampleTiles, SortingQueue
from gleanset.db.views import NO_FILTER, ReviewItem, Reviews, SampleFilter
from gleanset.errors import UsageError
from gleanset.operations import make_operation
from labeler.sorting.session import SortingSession, StepResult


class Suggestion(NamedTuple):
    """Another class for a sample, with its confidence."""

    label: str
    confidence: float


class ReviewSection(NamedTuple):
    """A number of samples with one label, and the `other` class that is suggested, if any.

    `people` are those who disagree.
    """

    label: str
    other: str
    size: int
    people: str = ""

    @property
    def title(self) -> str:
        """The label, and the suggestion as a question, with the people who disagree."""
        title = f"{self.label} → {self.other}?" if self.other else self.label
        return f"{title} {self.people}".rstrip()


class ReviewPage(NamedTuple):
    """Samples (rows) in the order of review, section by section."""

    ids: "array[int]"
    sections: tuple[ReviewSection, ...]
    suggestions: Mapping[int, Suggestion]

    def with_new_names(self, names: Mapping[str, str]) -> "ReviewPage":
        """Return the page with new names of classes."""
        sections = [
            section._replace(
                label=names.get(section.label, section.label),
                other=names.get(section.other, section.other),
            )
            for section in self.sections
        ]
        suggestions = {
            row: suggestion._replace(
                label=names.get(suggestion.label, suggestion.label)
            )
            for row, suggestion in self.suggestions.items()
        }
        return ReviewPage(self.ids, tuple(sections), suggestions)


NO_PAGE = ReviewPage(array("q"), (), {})


def load_review_page(
    dataset: Dataset, name: str, sample_filter: SampleFilter
) -> ReviewPage:
    """Load "doubtful", "flags" or another list of `Reviews`, by its name."""
    reviews = Reviews(dataset.db)
    if name == "doubtful":
        items = list_doubtful(dataset, sample_filter)
    elif name == "flags":
        items = reviews.list_flagged(FLAGS, sample_filter)
    else:
        items = reviews.list_items(name, sample_filter)
    if name in ("doubtful", "label-issues"):
        return _group_by_confusion(items)

    # The items of a class follow each other: they are its section. No other class is suggested.
    counts = Counter(item.label or "" for item in items)
    sections = tuple(ReviewSection(label, "", count) for label, count in counts.items())
    return ReviewPage(
        array("q", (item.id for item in items)),
        sections,
        {},
    )


def _group_by_confusion(items: Sequence[ReviewItem]) -> ReviewPage:
    """Group by pairs of classes that are confused, in the order of their first items.

    The first `FIRST_DOUBTFUL` items come before all others, also of their pairs.
    """
    pairs: dict[tuple[bool, str, str, str], list[int]] = {}
    for place, item in enumerate(items):
        pair = (place < FIRST_DOUBTFUL, str(item.label), str(item.other), item.people)
        pairs.setdefault(pair, []).append(item.id)

    ids = array("q")
    sections = []
    for (_, label, other, people), rows in pairs.items():
        ids.extend(rows)
        sections.append(ReviewSection(label, other, len(rows), people))

    # A place such as `:later` is not a suggestion: it has a key of its own.
    suggestions = {
        item.id: Suggestion(str(item.other), item.value or 0.0)
        for item in items
        if item.other and not item.other.startswith(":")
    }
    return ReviewPage(ids, tuple(sections), suggestions)


def accept_suggestions(
    session: SortingSession, suggestions: Mapping[int, str]
) -> StepResult:
    """Give samples (rows) their suggested classes, in one step.

    Raises `UsageError` if a class was deleted.
    """
    # Samples may be gone since the page was shown.
    labels = {
        row: suggestions[row] for row in session.tiles.get_many(list(suggestions))
    }
    session.check_classes_exist(set(labels.values()))
    return session.label_each(
        labels,
        make_operation("suggested", count=len(labels)),
        REVIEW,
    )


def confirm_labels(session: SortingSession, labels: Mapping[int, str]) -> StepResult:
    """Confirm labels that were shown, so that they are not suggested for review again.

    Samples (rows) whose label is not the shown one any more are skipped. Raises `UsageError` if
    none is left.
    """
    with session.dataset.db.transaction():
        present_labels = {
            row: labels[row]
            for row, tile in session.tiles.get_many(list(labels)).items()
            if tile.label == labels[row]
        }
        if not present_labels:
            raise UsageError("these labels have changed", "check them again")
        return session.label_each(
            present_labels,
            make_operation("confirm", count=len(present_labels)),
            REVIEW,
        )


MAX_COMPARED = 4000
MIN_PER_CLASS = 10
"""Number of samples that are compared, at least `MIN_PER_CLASS` of each class."""
FIRST_DOUBTFUL = 12
"""Number of labels that are listed although the given class is more probable than others."""
MAX_LEAD = 0.5
"""Probability by which it may exceed that of another class (docs/experiments.md)."""


def list_doubtful(
    dataset: Dataset, sample_filter: SampleFilter = NO_FILTER
) -> list[ReviewItem]:
    """Return labels that people disagree about, then those that other samples contradict.

    The latter are sorted by how much more probable another class is. If they are fewer than
    `FIRST_DOUBTFUL`, the least certain other labels follow. Each sample is compared without its
    group. Labels that a person confirmed in a review are left out.
    """
    # NumPy is slow to load and not needed to start a window.
    import numpy as np

    from curation.similarity.class_learning import predict_left_out
    from curation.similarity.spaces import SimilaritySpaces
    from curation.split_groups import assign_split_groups

    names = {
        row.id: row.name
        for row in SampleTiles(dataset.db).get_counts().classes
        if row.count
    }

    reviews = Reviews(dataset.db)
    disagreements = reviews.list_items("disagreements", sample_filter)

    # The same number of each class, so that frequent ones do not suppress the others.
    each = max(MIN_PER_CLASS, MAX_COMPARED // max(1, len(names)))
    queue = SortingQueue(dataset.db)
    all_samples = queue.get_features(queue.list_decided(list(names), each))
    space = SimilaritySpaces(dataset).choose_space(all_samples)
    vectors, has_vector = space(all_samples)  # N x D, and N

    # A sample without a vector cannot be compared.
    samples = list(compress(all_samples, has_vector))
    # The class (row) of each sample, as a position in `classes`.
    labels = [sample.label or 0 for sample in samples]
    classes, y = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        return disagreements

    # Near copies of a sample would confirm its label, right or wrong.
    keys = [sample.key for sample in samples]
    groups = assign_split_groups(dataset.db, keys)
    _, group_numbers = np.unique([groups[key] for key in keys], return_inverse=True)
    # Samples x classes.
    probabilities = predict_left_out(vectors[has_vector], y, group_numbers)
    rows = np.arange(len(y))
    others = probabilities.copy()
    others[rows, y] = -1  # leave out the class that each sample has
    best = others.argmax(axis=1)
    confidences = others.max(axis=1)
    leads = probabilities[rows, y] - confidences

    unconfirmed_ids = {
        item.id for item in reviews.list_items("unconfirmed", sample_filter)
    }
    items = []
    for place, row in enumerate(np.argsort(leads, kind="stable").tolist()):
        sample = samples[row]
        # Labels with a small lead are listed, too: of people who look alike, a wrong one may be the
        # most probable. A lead of 0 means that all classes are equally probable, because the class
        # of the sample has no other group: it cannot be judged.
        is_close = place < FIRST_DOUBTFUL and 0 < leads[row] < MAX_LEAD
        if (leads[row] < 0 or is_close) and sample.id in unconfirmed_ids:
            items.append(
                ReviewItem(
                    sample.id,
                    label=names[int(classes[y[row]])],
                    value=round(float(confidences[row]), 2),
                    other=names[int(classes[best[row]])],
                )
            )
    return disagreements + items
