"""Queries of a grid: one place of the class list, filtered and sorted."""

from operator import attrgetter
from typing import NamedTuple

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

# Targets of grids only: all samples, and duplicates.
ALL_PLACES = ":everything"
DUPLICATES = ":duplicates"

_PLACES = {
    Place.QUEUE.target: ("queue", attrgetter("pending")),
    Place.LATER.target: ("later", attrgetter("later")),
    Place.OTHER.target: ("other", attrgetter("other")),
    Place.REJECT.target: ("rejected", attrgetter("rejected")),
    ALL_PLACES: (EVERYWHERE, attrgetter("total")),
    DUPLICATES: (views.DUPLICATES, attrgetter("duplicates")),
}
"""The name of each place in the catalogue, and its number in `LabelCounts`."""


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


def count_known(counts: LabelCounts, target: str) -> int:
    """Return the number of samples of a class or place by existing counts."""
    if target in _PLACES:
        return int(_PLACES[target][1](counts))
    return next((row.count for row in counts.classes if row.name == target), 0)
