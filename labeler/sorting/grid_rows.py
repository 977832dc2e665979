"""What a grid shows: one place of the class list, filtered and in an order that a person chose."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple, TypeVar

from gleanset import Dataset
from gleanset.db.sorting import LabelCounts
from gleanset.db.views import (
    ASIDE,
    EVERYWHERE,
    NO_FILTER,
    ORDERS,
    OrderedRows,
    OrderedSamples,
    SampleFilter,
)
from labeler.sorting.session import Place

ALL_PLACES, SET_ASIDE = ":everything", ":set aside"
"""Targets that only a grid knows: all samples, and copies that were set aside."""

_CATALOGUE = {
    Place.QUEUE.target: "queue",
    Place.LATER.target: "later",
    Place.OTHER.target: "other",
    Place.REJECT.target: "rejected",
    ALL_PLACES: EVERYWHERE,
    SET_ASIDE: ASIDE,
}
LIKENESS = "likeness"
T = TypeVar("T", bound=Hashable)


class GridQuestion(NamedTuple):
    """Which samples, in which order of `ORDERS`. `target` is a class, or a place (`:later`)."""

    target: str
    chosen: SampleFilter = NO_FILTER
    order: str = ORDERS[0]
    backwards: bool = False

    @property
    def place(self) -> str:
        """The place as the catalogue calls it; of a class it is of no matter."""
        return _CATALOGUE.get(self.target, EVERYWHERE)

    @property
    def label(self) -> str | None:
        """The class, None for a place."""
        return None if self.target.startswith(":") else self.target


def with_moment(dataset: Dataset, chosen: SampleFilter) -> SampleFilter:
    """Return a filter that knows the samples of the moment that it asks for."""
    if chosen.moment is None:
        return chosen
    # A window shows its first faces without numpy, which takes a while to load.
    from curation.moments import list_moment_rows

    return replace(chosen, among=list_moment_rows(dataset.db, chosen.moment))


def grid_rows(dataset: Dataset, asked: GridQuestion) -> OrderedRows:
    """Return the samples. By likeness it takes a while where no presort has told look-alikes."""
    ordered = OrderedSamples(dataset.db)
    rows = ordered.list_rows(
        asked.place,
        label=asked.label,
        chosen=with_moment(dataset, asked.chosen),
        order=asked.order,
        backwards=asked.backwards,
    )
    if asked.order != LIKENESS:
        return rows
    # A window shows its first faces without numpy, which takes a while to load.
    from labeler.likeness import NEARLY_ALL, by_likeness

    if ordered.get_presorted_share(asked.place, asked.label) >= NEARLY_ALL:
        return rows
    ids = by_likeness(dataset, rows.ids)
    return rows._replace(ids=ids[::-1] if asked.backwards else ids)


def grid_count(dataset: Dataset, asked: GridQuestion) -> int:
    """Return how many samples there are of what was asked for, now."""
    chosen = with_moment(dataset, asked.chosen)
    return OrderedSamples(dataset.db).count(asked.place, label=asked.label, chosen=chosen)


def known_count(counts: LabelCounts, target: str) -> int | None:
    """Return how many samples a place has by the counts that are there; None where they lack it."""
    places = {
        Place.QUEUE.target: counts.waiting,
        Place.LATER.target: counts.later,
        Place.OTHER.target: counts.other,
        Place.REJECT.target: counts.rejected,
        ALL_PLACES: counts.total,
        SET_ASIDE: counts.aside,
    }
    if target.startswith(":"):
        return places.get(target)
    return next((row.count for row in counts.classes if row.name == target), 0)


def brought_back(shown: OrderedRows, every: OrderedRows) -> tuple[OrderedRows, int] | None:
    """Return what is shown `with_missing`, and the first sample that was; None where none was."""
    known = set(shown.ids)
    first = next((one for one in every.ids if one not in known), None)
    return None if first is None else (with_missing(shown, every), first)


def with_missing(shown: OrderedRows, every: OrderedRows) -> OrderedRows:
    """Return what is shown and, where its order puts it, what only `every` has.

    What is shown keeps its order, also where `every` has it no longer.
    """
    before, after = _by_section(shown), _by_section(every)
    sections = {
        title: _merged(before.get(title, []), after.get(title, []))
        for title in _merged(list(before), list(after))
    }
    return OrderedRows(
        array("q", (one for part in sections.values() for one in part)),
        tuple((title, len(part)) for title, part in sections.items()),
    )


def _by_section(rows: OrderedRows) -> dict[str | None, list[int]]:
    found: dict[str | None, list[int]] = {}
    left = iter(rows.ids)
    for title, count in rows.sections:
        found.setdefault(title, []).extend(islice(left, count))
    return found


def _merged(shown: Sequence[T], every: Sequence[T]) -> list[T]:
    """Return `shown` with each item that only `every` has behind the one that it follows there."""
    places, behind, last = {item: n for n, item in enumerate(shown)}, dict[int, list[T]](), -1
    for item in every:
        if item in places:
            last = places[item]
        else:
            behind.setdefault(last, []).append(item)
    rest = (each for n, item in enumerate(shown) for each in (item, *behind.get(n, ())))
    return [*behind.get(-1, ()), *rest]
