"""The samples of one place of a labeler's class list, in an order that a person chose.

Read only. Each is one query over the whole place, answered in full: a window shows numbers at once
and asks for details by the screenful.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

from gleanset.db.connection import Connection
from gleanset.db.filters import ANYTHING, FIRST_PROPOSAL, SampleFilter, filter_tests
from gleanset.db.samples import IN_USE, SET_ASIDE
from gleanset.db.sorting import PLACES

EVERYWHERE, ASIDE = "everywhere", "aside"
"""Places besides those of `PLACES`: all samples in use, and copies that were set aside."""


class _Order(NamedTuple):
    """Tables to be joined, the title of the section that a sample is in, and the ORDER BY."""

    joined: str
    title: str
    by: str


NO_TITLE = "NULL"
_FIRST_ORIGIN = " LEFT JOIN origin o ON o.id=(SELECT min(id) FROM origin WHERE image=s.image)"
_FIRST_FRAME = (
    " LEFT JOIN origin o ON o.id=(SELECT id FROM origin WHERE image=s.image "
    "ORDER BY video IS NULL, id LIMIT 1)"
)
_FILM = "ifnull((SELECT name FROM video WHERE sha256=o.video), o.video)"
_ORDERS = {
    "arrival": _Order("", NO_TITLE, "s.image {up}, s.id {up}"),
    "proposal": _Order(
        FIRST_PROPOSAL, "w.name", "w.name IS NULL, w.name, p.confidence {down}, s.image, s.id"
    ),
    "likeness": _Order(
        " LEFT JOIN presorted t ON t.sample=s.id",
        NO_TITLE,
        "t.place IS NULL, t.place {up}, s.image, s.id",
    ),
    "time": _Order(
        _FIRST_FRAME, _FILM, "section IS NULL, section, o.video, o.time {up}, s.image {up}, s.id"
    ),
    "source": _Order(_FIRST_ORIGIN, "o.source", "section IS NULL, section {up}, s.image, s.id"),
    "score": _Order("", NO_TITLE, "s.score IS NULL, s.score {down}, s.image, s.id"),
    "size": _Order("", NO_TITLE, "s.size {down}, s.image, s.id"),
}
ORDERS = tuple(_ORDERS)
"""As images came, by what is proposed, by look, through videos, by source, surest face first,
largest first."""


class OrderedRows(NamedTuple):
    """Samples (rows), and the sections that they fall into: (title, how many); None has no name."""

    ids: array[int]
    sections: tuple[tuple[str | None, int], ...]


class OrderedSamples:
    """Obtained by `OrderedSamples(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def rows(
        self,
        place: str,
        *,
        label: str | None = None,
        chosen: SampleFilter = ANYTHING,
        order: str = ORDERS[0],
        backwards: bool = False,
    ) -> OrderedRows:
        """Return the samples of a place, or of the class `label`, that fit a filter.

        `place` is one of `PLACES`, `EVERYWHERE` or `ASIDE`; `order` one of `ORDERS`.
        """
        how = _ORDERS[order]
        turns = ("DESC", "ASC") if backwards else ("ASC", "DESC")
        by = how.by.format(up=turns[0], down=turns[1])
        where, values = self._where(place, label, chosen)
        asked = (
            f"SELECT s.id, {how.title} AS section FROM sample s{_TABLES}{how.joined}{where} "
            f"ORDER BY {by}"
        )
        if how.title == NO_TITLE:
            # One text in place of very many rows, for each of which threads would take turns.
            (text,) = self._db.rows(f"SELECT group_concat(id) FROM ({asked})", values)
            ids = array("q", map(int, text[0].split(",") if text[0] else ()))
            return OrderedRows(ids, ((None, len(ids)),) if ids else ())
        found = self._db.rows(asked, values)
        return OrderedRows(array("q", (row[0] for row in found)), _runs(row[1] for row in found))

    def count(
        self, place: str, *, label: str | None = None, chosen: SampleFilter = ANYTHING
    ) -> int:
        """Return how many samples of a place fit a filter."""
        where, values = self._where(place, label, chosen)
        return self._db.number(f"SELECT count(*) FROM sample s{_TABLES}{where}", tuple(values))

    def _where(
        self, place: str, label: str | None, chosen: SampleFilter
    ) -> tuple[str, list[object]]:
        tests, values = filter_tests(chosen)
        if label is not None:
            row = self._db.number("SELECT id FROM class WHERE name=?", (label,))
            return f" WHERE {IN_USE} AND s.status='labelled' AND s.label=?{tests}", [row, *values]
        if place == ASIDE:
            return f" WHERE {SET_ASIDE}{tests}", values
        if place == EVERYWHERE:
            return f" WHERE {IN_USE}{tests}", values
        status, mark = PLACES[place]
        return f" WHERE {IN_USE} AND s.status=? AND {mark}{tests}", [status, *values]

    def known_places(self, place: str, label: str | None = None) -> float:
        """Return of what part of a place the newest presort knows where it is among look-alikes."""
        where, values = self._where(place, label, ANYTHING)
        row = self._db.one(
            "SELECT count(*), count(t.place) FROM sample s LEFT JOIN presorted t ON t.sample=s.id"
            f"{_TABLES}{where}",
            tuple(values),
        )
        return row[1] / row[0] if row and row[0] else 1.0


_TABLES = " LEFT JOIN class c ON c.id=s.label LEFT JOIN sorting_note m ON m.sample=s.id"


def _runs(titles: Iterable[str | None]) -> tuple[tuple[str | None, int], ...]:
    return tuple((title, sum(1 for _ in some)) for title, some in groupby(titles))
