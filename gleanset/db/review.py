"""What a person looks at a second time: walls of samples, the doubtful ones first.

Read only. Each wall is one query over indices that are there for it: those of proposals, doubts
and labels; a text is searched for in the origins of each sample that the other traits leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gleanset.db.connection import Connection
from gleanset.db.filters import ANYTHING, SampleFilter, filter_tests
from gleanset.db.journal import last_decision
from gleanset.db.measures import QUALITY_COLUMNS, QualityFlag
from gleanset.db.samples import IN_USE

REVIEWED = "review"
"""The provenance of a decision that was made while looking a second time."""


class ReviewItem(NamedTuple):
    """A sample (row), its class or flag, how doubtful it is, and what else it may be."""

    id: int
    label: str | None
    value: float | None = None
    other: str | None = None


class FilterChoices(NamedTuple):
    """What can be chosen from: sources, videos (hash and name), licences, shows of classes."""

    sources: tuple[str, ...]
    videos: tuple[tuple[str, str], ...]
    licences: tuple[str, ...]
    shows: tuple[str, ...] = ()


_LABELLED = "s.kept AND s.status='labelled'"
_SINCE = (
    # The last decision alone: one that was undone does not count.
    f"ifnull((SELECT d.provenance='{REVIEWED}' AND e.at>=(SELECT at FROM presort ORDER BY id DESC "
    "LIMIT 1) FROM decision d JOIN step e ON e.id=d.step WHERE d.sample=s.id ORDER BY d.id DESC "
    "LIMIT 1), 0)"
)
_WALLS = {
    "outliers": (
        "SELECT s.id, c.name, ifnull(q.outlier, t.outlier) AS v, NULL FROM sample s JOIN class c "
        "ON c.id=s.label LEFT JOIN quality q ON q.sample=s.id AND q.label=s.label "
        f"LEFT JOIN presorted t ON t.sample=s.id WHERE {_LABELLED}",
        "c.name, v IS NULL, v DESC, s.image, s.id",
    ),
    "model": (
        "SELECT s.id, c.name, p.confidence AS v, w.name FROM proposal p JOIN sample s ON "
        "s.id=p.sample JOIN class c ON c.id=s.label JOIN class w ON w.id=p.label AND "
        "w.merged_into IS NOT w.id "
        f"WHERE p.rank=1 AND p.label<>s.label AND {_LABELLED} AND NOT {_SINCE}",
        "v DESC, s.id",
    ),
    "doubts": (
        "SELECT s.id, c.name, d.margin AS v, w.name FROM doubt d JOIN sample s ON s.id=d.sample "
        "JOIN class c ON c.id=s.label JOIN class w ON w.id=d.suggested AND "
        "w.merged_into IS NOT w.id "
        f"WHERE d.given=s.label AND {_LABELLED} AND NOT EXISTS("
        "SELECT 1 FROM decision e WHERE e.sample=d.sample AND e.id>d.seen)",
        "v DESC, s.id",
    ),
    "page": (
        "SELECT s.id, c.name, (SELECT confidence FROM proposal WHERE sample=s.id AND "
        "label=s.label) AS v, NULL FROM sample s JOIN class c ON c.id=s.label "
        f"WHERE {_LABELLED} AND {last_decision('provenance')}='with page'",
        "c.name, v, s.image, s.id",
    ),
    "all": (
        "SELECT s.id, c.name, s.score AS v, NULL FROM sample s LEFT JOIN class c ON c.id=s.label "
        f"WHERE {IN_USE}",
        "s.image, s.id",
    ),
}
WALLS = (*_WALLS, "flags")


class Reviews:
    """Obtained by `Reviews(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def wall(self, name: str, chosen: SampleFilter = ANYTHING) -> list[ReviewItem]:
        """Return the samples of a wall of `WALLS` but `flags`, in the order to look at them."""
        sql, order = _WALLS[name]
        tests, values = filter_tests(chosen)
        rows = self._db.rows(f"{sql}{tests} ORDER BY {order}", values)
        return [ReviewItem(*row) for row in rows]

    def flagged(
        self, flags: Sequence[QualityFlag], chosen: SampleFilter = ANYTHING
    ) -> list[ReviewItem]:
        """Return the samples with a flag, each under the first that it has, the clearest first."""
        cases = " ".join(f"WHEN {flag.test} THEN {place}" for place, flag in enumerate(flags))
        tests, values = filter_tests(chosen)
        rows = self._db.rows(
            f"SELECT id, CASE {cases} END AS flag, label FROM (SELECT s.id, c.name AS label, "
            f"{QUALITY_COLUMNS} FROM quality q JOIN sample s ON "
            "s.id=q.sample LEFT JOIN class c ON c.id=s.label "
            f"WHERE s.status<>'rejected' AND {IN_USE}{tests}) WHERE flag IS NOT NULL "
            "ORDER BY flag, id",
            values,
        )
        return [ReviewItem(row["id"], flags[row["flag"]].name, None, row["label"]) for row in rows]

    def traits(self) -> FilterChoices:
        """Return what sources, videos, licences and shows there are."""
        sources = self._db.rows("SELECT DISTINCT source FROM origin ORDER BY 1")
        videos = self._db.rows("SELECT sha256, min(name) FROM video GROUP BY sha256 ORDER BY 2")
        licences = self._db.rows(
            "SELECT DISTINCT licence FROM origin WHERE licence IS NOT NULL ORDER BY 1"
        )
        shows = self._db.rows(
            "SELECT DISTINCT show FROM class WHERE show<>'' AND merged_into IS NULL ORDER BY 1"
        )
        return FilterChoices(
            tuple(row[0] for row in sources),
            tuple((row[0], row[1]) for row in videos),
            tuple(row[0] for row in licences),
            tuple(row[0] for row in shows),
        )
