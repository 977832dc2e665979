"""Walls of samples to look at again, and what a person says of them. Knows nothing of a window."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gleanset import Dataset
from gleanset.db.views import REVIEW, ReviewItem, Reviews, SampleFilter
from gleanset.errors import UsageError
from gleanset.operations import operation
from labeler.quality.flags import FLAGS
from labeler.sorting.grid_rows import with_moment
from labeler.sorting.session import SortingSession, StepResult

ARROW = " → "


class Suggestion(NamedTuple):
    """What a sample may be instead, and how sure that is."""

    label: str
    confidence: float


class Wall(NamedTuple):
    """Samples (rows) in the order to look at them; `sections` are (title, count)."""

    ids: array[int]
    sections: tuple[tuple[str, int], ...]
    suggested: Mapping[int, Suggestion]

    def renamed(self, names: Mapping[str, str]) -> Wall:
        """Return it with other names of classes, which are called so by now."""
        suggested = {
            row: one._replace(label=names.get(one.label, one.label))
            for row, one in self.suggested.items()
        }
        titles = (
            ARROW.join(names.get(part, part) for part in title.removesuffix("?").split(ARROW))
            + title[len(title.removesuffix("?")) :]
            for title, _ in self.sections
        )
        counts = (count for _, count in self.sections)
        return Wall(self.ids, tuple(zip(titles, counts, strict=True)), suggested)


def wall(dataset: Dataset, name: str, wanted: SampleFilter) -> Wall:
    """One wall of `gleanset.db.review.WALLS`."""
    reviews, wanted = Reviews(dataset.db), with_moment(dataset, wanted)
    items = (
        reviews.list_flagged(FLAGS, wanted) if name == "flags" else reviews.list_items(name, wanted)
    )
    if name in ("model", "doubts"):
        return _confusions(items)
    if name == "all":
        return Wall(array("q", (one.id for one in items)), (("", len(items)),), {})
    sections = tuple(Counter(one.label or "" for one in items).items())
    return Wall(array("q", (one.id for one in items)), sections, {})


def _confusions(items: Sequence[ReviewItem]) -> Wall:
    """Pairs of classes that are taken for each other, the commonest first."""
    pairs: dict[tuple[str, str], list[int]] = {}
    for one in items:
        pairs.setdefault((str(one.label), str(one.other)), []).append(one.id)
    ordered = sorted(pairs.items(), key=lambda item: -len(item[1]))
    ids = array("q", (row for _, rows in ordered for row in rows))
    sections = tuple((f"{given}{ARROW}{other}?", len(rows)) for (given, other), rows in ordered)
    suggested = {one.id: Suggestion(str(one.other), one.value or 0.0) for one in items}
    return Wall(ids, sections, suggested)


def take_suggestions(
    session: SortingSession, ids: Sequence[int], suggested: Mapping[int, Suggestion]
) -> StepResult:
    """Return the model is right: each sample gets the class that was suggested, in one step.

    Raises `UsageError` where a class is gone by now.
    """
    there = session.tiles.get_many(ids)
    labels = {row: suggested[row].label for row in ids if row in there and row in suggested}
    session.refuse_gone(set(labels.values()))
    return session.file_each(labels, operation("suggested", count=len(labels)), REVIEW)


def keep_labels(session: SortingSession, seen: Mapping[int, str]) -> StepResult:
    """Return the labels are right: they are confirmed, and not asked about again.

    `seen` are the labels (by row) that a person saw. What somebody changed since is left alone;
    raises `UsageError` where that is all.
    """
    with session.dataset.db.transaction():
        tiles = session.tiles.get_many(list(seen))
        labels = {row: seen[row] for row, tile in tiles.items() if tile.label == seen[row]}
        if not labels:
            raise UsageError("these labels were changed meanwhile", "look at them again")
        return session.file_each(labels, operation("confirm", count=len(labels)), REVIEW)
