"""Filters, orders and review lists of samples for the window.

Read only. Each query returns all rows but few columns: the window shows counts at once and loads
details by the page.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from gleanset.db.connection import Table
from gleanset.db.journal import REVIEW, last_decision_sql
from gleanset.db.opinions import DISAGREEMENTS
from gleanset.db.regions import QUALITY_COLUMNS, QualityFlag
from gleanset.db.runs import OPEN_LABEL_ISSUES
from gleanset.db.samples import FIRST_FRAME, IN_USE, IS_DUPLICATE


class SampleFilter(NamedTuple):
    """Filter of samples: every field that is not None must match.

    `text` is searched in titles, queries, hints, authors, tags, paths and videos, ignoring the case
    of ASCII letters.
    """

    label: str | None = None
    source: str | None = None
    video: str | None = None
    text: str | None = None


NO_FILTER = SampleFilter()


def filter_sql(sample_filter: SampleFilter) -> tuple[str, list[object]]:
    """Return SQL tests on a sample `s` and class `c`, each after an AND, with values."""
    tests = ""
    values: list[object] = []
    if sample_filter.label is not None:
        tests += " AND c.name=?"
        values.append(sample_filter.label)

    # Escape the wildcards of LIKE.
    text = re.sub(r"[\\%_]", r"\\\g<0>", sample_filter.text or "")
    # The + keeps SQLite on the index by image, since it looks up one image at a time.
    origin_tests = {
        "+source=?": sample_filter.source,
        "+video=?": sample_filter.video,
        _TEXT: f"%{text}%" if text else None,
    }
    used_tests = {test: value for test, value in origin_tests.items() if value}
    if used_tests:
        tests += f"""
            AND EXISTS(
                SELECT 1
                FROM origin
                WHERE image=s.image AND {" AND ".join(used_tests)}
            )
            """
        values += used_tests.values()
    return tests, values


_NOW = "iif(v.merged_into=v.id, NULL, ifnull(v.merged_into, v.id))"
FIRST_PROPOSAL = f"""
    LEFT JOIN proposal p ON p.sample=s.id AND p.rank=1
    LEFT JOIN class v ON v.id=p.label
    LEFT JOIN class w ON w.id={_NOW}
    """
"""SQL: joins the first proposal `p` of a sample `s`, and `w`, its class after merges."""

_COLUMNS = ("title", "query", "hint", "author", "tags", "path", "video")
_ALL_TEXTS = " || char(10) || ".join(f"ifnull({name}, '')" for name in _COLUMNS)
_TEXT = f"({_ALL_TEXTS}) LIKE ? ESCAPE '\\'"


# Status and SQL test on the mark of the samples in each place of the sidebar.
PLACES = {
    "queue": ("queue", "m.mark IS NOT 'later'"),
    "later": ("queue", "m.mark='later'"),
    "other": ("rejected", "m.mark='other'"),
    "rejected": ("rejected", "m.mark IS NOT 'other'"),
}
EVERYWHERE = "everywhere"
"""Place of all samples in use."""
DUPLICATES = "aside"
"""Place of samples marked as duplicates."""


class _Order(NamedTuple):
    """SQL of an order: joins, section title and ORDER BY."""

    joined: str
    title: str
    by: str


NO_TITLE = "NULL"
_FIRST_ORIGIN = (
    "LEFT JOIN origin o ON o.id=(SELECT min(id) FROM origin WHERE image=s.image)"
)
_FILM = "ifnull((SELECT name FROM video WHERE sha256=o.video), o.video)"
_ORDERS = {
    "arrival": _Order("", NO_TITLE, "s.image, s.id"),
    "proposal": _Order(
        FIRST_PROPOSAL,
        "w.name",
        "w.name IS NULL, w.name, p.confidence DESC, s.image, s.id",
    ),
    "time": _Order(
        FIRST_FRAME, _FILM, "section IS NULL, section, o.video, o.time, s.image, s.id"
    ),
    "source": _Order(
        _FIRST_ORIGIN, "o.source", "section IS NULL, section, s.image, s.id"
    ),
    "size": _Order("", NO_TITLE, "s.size DESC, s.image, s.id"),
}
ORDERS = tuple(_ORDERS)
"""By import, first proposal, video and time, source or size (descending)."""


class OrderedRows(NamedTuple):
    """Samples (rows) and their sections as (title, number of samples); the title may be None."""

    ids: array[int]
    sections: tuple[tuple[str | None, int], ...]


class OrderedSamples(Table):
    """Ordered samples of a place or class. Read only."""

    def list_rows(
        self,
        place: str,
        *,
        label: str | None = None,
        sample_filter: SampleFilter = NO_FILTER,
        order: str = ORDERS[0],
    ) -> OrderedRows:
        """Return the filtered samples of a place or class in an order."""
        sql_order = _ORDERS[order]
        condition, values = self._build_where(place, label, sample_filter)
        sql = f"""
            SELECT s.id, {sql_order.title} AS section
            FROM sample s{_TABLES} {sql_order.joined} {condition}
            ORDER BY {sql_order.by}
            """
        if sql_order.title == NO_TITLE:
            # One string instead of very many rows, each of which would cost a switch of threads.
            text = self._db.fetch_text(
                f"SELECT group_concat(id) FROM ({sql})",
                values,
            )
            if not text:
                return OrderedRows(array("q"), sections=())
            ids = array("q", map(int, text.split(",")))
            return OrderedRows(ids, ((None, len(ids)),))

        rows = self._db.fetch_all(sql, values)
        sections = [
            (title, len(list(section_rows)))
            for title, section_rows in groupby(row["section"] for row in rows)
        ]
        return OrderedRows(
            array("q", (row["id"] for row in rows)),
            tuple(sections),
        )

    def count(
        self,
        place: str,
        *,
        label: str | None = None,
        sample_filter: SampleFilter = NO_FILTER,
    ) -> int:
        """Count the filtered samples of a place or class."""
        condition, values = self._build_where(place, label, sample_filter)
        return self._db.fetch_int(
            f"SELECT count(*) FROM sample s{_TABLES}{condition}", values
        )

    def _build_where(
        self, place: str, label: str | None, sample_filter: SampleFilter
    ) -> tuple[str, list[object]]:
        """Return a WHERE clause for the samples of a class or (without one) a place, with values.

        `place` is a key of `PLACES`, or one of the further places below it.
        """
        tests, values = filter_sql(sample_filter)
        if label is not None:
            # 0 for an unknown class, which no sample has.
            class_id = self._db.fetch_int("SELECT id FROM class WHERE name=?", (label,))
            condition = f"{IN_USE} AND s.status='labelled' AND s.label=?"
            return f" WHERE {condition}{tests}", [class_id, *values]
        if place == DUPLICATES:
            return f" WHERE {IS_DUPLICATE}{tests}", values
        if place == EVERYWHERE:
            return f" WHERE {IN_USE}{tests}", values
        status, mark = PLACES[place]
        return f" WHERE {IN_USE} AND s.status=? AND {mark}{tests}", [status, *values]


_TABLES = " LEFT JOIN class c ON c.id=s.label LEFT JOIN sorting_note m ON m.sample=s.id"


class ReviewItem(NamedTuple):
    """Sample (row), its class or flag, a value such as confidence, and another possible class.

    `people` are those who disagree; only then a class can be a place, with a colon.
    """

    id: int
    label: str | None
    value: float | None
    other: str | None
    people: str = ""


class FilterChoices(NamedTuple):
    """Values to filter by: sources, and videos (hash and name)."""

    sources: tuple[str, ...]
    videos: tuple[tuple[str, str], ...]


_LABELLED = "s.kept AND s.status='labelled'"
_REVIEW_LISTS = {
    "outliers": (
        f"""
        SELECT s.id, c.name, t.outlier AS v, NULL
        FROM sample s
        JOIN class c ON c.id=s.label
        LEFT JOIN prelabelled t ON t.sample=s.id
        WHERE {_LABELLED}
        """,
        "c.name, v IS NULL, v DESC, s.image, s.id",
    ),
    "label-issues": (
        f"SELECT s.id, c.name, d.confidence, w.name FROM {OPEN_LABEL_ISSUES}",
        "d.margin DESC, s.id",
    ),
    "disagreements": (
        f"""
        SELECT s.id, p.target, NULL, p.other,
            p.person || ' → ' || p.other_person
        FROM {DISAGREEMENTS} p
        JOIN sample s ON s.id=p.id
        LEFT JOIN class c ON c.id=s.label
        WHERE TRUE
        """,
        "s.id",
    ),
    "unconfirmed": (
        f"""
        SELECT s.id, c.name, NULL AS v, NULL
        FROM sample s
        JOIN class c ON c.id=s.label
        WHERE {_LABELLED}
            AND {last_decision_sql("provenance")} IS NOT '{REVIEW}'
            AND s.id NOT IN (SELECT id FROM {DISAGREEMENTS})
        """,
        "s.id",
    ),
}


class Reviews(Table):
    """Lists of samples to review. Read only."""

    def list_items(self, name: str, sample_filter: SampleFilter) -> list[ReviewItem]:
        """Return the samples of a review list other than `flags`, ordered."""
        sql, order = _REVIEW_LISTS[name]
        tests, values = filter_sql(sample_filter)
        return self._db.fetch_records(
            ReviewItem, f"{sql}{tests} ORDER BY {order}", values
        )

    def list_flagged(
        self, flags: Sequence[QualityFlag], sample_filter: SampleFilter
    ) -> list[ReviewItem]:
        """Return flagged samples, each with its first flag, by flag and row."""
        # CASE returns the first flag that matches, as its index in `flags`.
        cases = " ".join(
            f"WHEN {flag.sql} THEN {index}" for index, flag in enumerate(flags)
        )
        tests, values = filter_sql(sample_filter)
        rows = self._db.fetch_all(
            f"""
            SELECT id, CASE {cases} END AS flag, label
            FROM (
                SELECT s.id, c.name AS label, {QUALITY_COLUMNS}
                FROM quality q
                JOIN sample s ON s.id=q.sample
                LEFT JOIN class c ON c.id=s.label
                WHERE s.status<>'rejected' AND {IN_USE}{tests}
            )
            WHERE flag IS NOT NULL
            ORDER BY flag, id
            """,
            values,
        )

        return [
            ReviewItem(
                row["id"], flags[row["flag"]].name, value=None, other=row["label"]
            )
            for row in rows
        ]

    def get_filter_choices(self) -> FilterChoices:
        """Return all sources and videos."""
        sources = self._db.fetch_column("SELECT DISTINCT source FROM origin ORDER BY 1")
        videos = self._db.fetch_dict(
            "SELECT sha256, min(name) FROM video GROUP BY sha256 ORDER BY 2"
        )
        return FilterChoices(tuple(sources), tuple(videos.items()))
