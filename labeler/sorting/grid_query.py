"""Queries of a grid: one place of the class list, filtered and sorted."""

from array import array
from collections.abc import Hashable, Sequence
from itertools import islice
from operator import attrgetter
from typing import NamedTuple, TypeVar

from gleanset import Dataset
from gleanset.db import views
from gleanset.db.sorting import LabelCounts
from gleanset.db.views import (
    EVERYWHERE,
    NO_FILTER,
    ORDERS,
    OrderedRows,
    OrderedSamples,
    SampleFilter,
)
from labeler.sorting.session import Place

ALL_PLACES, DUPLICATES = ":everything", ":duplicates"
"""Targets of grids only: all samples, and duplicates."""

_PLACES = {
    Place.QUEUE.target: ("queue", attrgetter("pending")),
    Place.LATER.target: ("later", attrgetter("later")),
    Place.OTHER.target: ("other", attrgetter("other")),
    Place.REJECT.target: ("rejected", attrgetter("rejected")),
    ALL_PLACES: (EVERYWHERE, attrgetter("total")),
    DUPLICATES: (views.DUPLICATES, attrgetter("duplicates")),
}
"""The name of each place in the catalogue, and its number in `LabelCounts`."""
T = TypeVar("T", bound=Hashable)


class GridQuery(NamedTuple):
    """Samples in an order of `ORDERS`. `target` is a class, or a place (`:later`)."""

    target: str
    sample_filter: SampleFilter = NO_FILTER
    order: str = ORDERS[0]

    @property
    def place(self) -> str:
        """The place as the catalogue calls it; irrelevant for a class."""
        return _PLACES[self.target][0] if self.target in _PLACES else EVERYWHERE

    @property
    def label(self) -> str | None:
        """The class; None for a place."""
        return None if self.target.startswith(":") else self.target


def list_grid_rows(dataset: Dataset, query: GridQuery) -> OrderedRows:
    """Return the samples in their order, by sections."""
    return OrderedSamples(dataset.db).list_rows(
        query.place,
        label=query.label,
        sample_filter=query.sample_filter,
        order=query.order,
    )


def count_grid_rows(dataset: Dataset, query: GridQuery) -> int:
    """Return the present number of samples that match a query."""
    return OrderedSamples(dataset.db).count(
        query.place, label=query.label, sample_filter=query.sample_filter
    )


def known_count(counts: LabelCounts, target: str) -> int | None:
    """Return the number of samples of a place by existing counts; None if they lack it."""
    if target.startswith(":"):
        return _PLACES[target][1](counts) if target in _PLACES else None
    return next((row.count for row in counts.classes if row.name == target), 0)


def restore_missing_rows(
    shown_rows: OrderedRows, all_rows: OrderedRows
) -> tuple[OrderedRows, int] | None:
    """Return the rows of both, and the first that was missing; None if none was.

    Missing rows are at their positions in `all_rows`; shown rows keep their order, even if
    `all_rows` has another one.
    """
    shown_ids = set(shown_rows.ids)
    first = next((row for row in all_rows.ids if row not in shown_ids), None)
    if first is None:
        return None
    before, after = _by_section(shown_rows), _by_section(all_rows)
    sections = {
        title: _merged(before.get(title, []), after.get(title, []))
        for title in _merged(list(before), list(after))
    }
    ids = array("q", (row for part in sections.values() for row in part))
    return OrderedRows(
        ids, tuple((title, len(part)) for title, part in sections.items())
    ), first


def _by_section(rows: OrderedRows) -> dict[str | None, list[int]]:
    ids_by_section: dict[str | None, list[int]] = {}
    remaining = iter(rows.ids)
    for title, count in rows.sections:
        ids_by_section.setdefault(title, []).extend(islice(remaining, count))
    return ids_by_section


def _merged(items: Sequence[T], all_items: Sequence[T]) -> list[T]:
    """Return `items` with each missing item after the one that precedes it in `all_items`."""
    positions = {item: n for n, item in enumerate(items)}
    followers = dict[int, list[T]]()
    previous = -1
    for item in all_items:
        if item in positions:
            previous = positions[item]
        else:
            followers.setdefault(previous, []).append(item)
    following = (
        result
        for n, item in enumerate(items)
        for result in (item, *followers.get(n, ()))
    )
    return [*followers.get(-1, ()), *following]
