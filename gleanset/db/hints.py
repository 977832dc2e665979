"""What is hinted of samples. The hints of a picture and of all its copies are one question.

What answers it differently is disputed, and only a person can say who is right.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from gleanset.db.connection import Connection, Row
from gleanset.db.journal import Choice, Journal
from gleanset.db.values import in_parts, load
from gleanset.operations import operation

PERSON = "person"


def label_provenances(db: Connection) -> dict[str, str]:
    """The provenance of every label by sample key, as the journal has it ('person', 'hint', …).

    A label that an undo brought back has the provenance it had before. One that a person has
    looked at again, and found right, is 'person'.
    """
    given: dict[str, str] = {}
    before: dict[str, dict[int, str]] = defaultdict(dict)
    for key, label, provenance in db.rows(
        "SELECT s.key, d.value, d.provenance FROM decision d JOIN sample s ON s.id=d.sample "
        "WHERE s.status='labelled' AND d.action='label' ORDER BY d.id"
    ):
        if provenance == "undo":
            provenance = before[key].get(label, provenance)
        before[key][label] = given[key] = provenance
    for (key,) in db.rows(
        "SELECT s.key FROM checked c JOIN sample s ON s.id=c.sample "
        "WHERE c.held AND c.label=s.label AND s.status='labelled'"
    ):
        given[key] = PERSON
    return given


# The class that a hint of an origin `o` names now: one that was merged is the one it went into.
_CLASS = (
    "ifnull((WITH RECURSIVE now(name, into_, id) AS (SELECT name, merged_into, id FROM class "
    "WHERE name=o.hint UNION SELECT c.name, c.merged_into, c.id FROM now JOIN class c ON "
    "c.id=now.into_) SELECT name FROM now WHERE into_ IS NULL OR into_=id), o.hint)"
)
# The images of a sample `s` and of its copies.
_COPIES = (
    "SELECT s.image UNION SELECT g.image FROM sample g WHERE g.grp=s.grp AND g.status<>'retired'"
)
_ASKED = f"FROM origin o WHERE o.image IN ({_COPIES})"
_COUNT = f"(SELECT count(DISTINCT {_CLASS}) {_ASKED})"

HINT = f"(SELECT iif(count(DISTINCT {_CLASS})=1, max({_CLASS}), NULL) {_ASKED})"
"""SQL: the class that the hints of a sample `s` and its copies agree on, else NULL."""

# Provenances of labels that no person has looked at: the second follows from another label.
_UNSEEN = ("hint", "duplicate")


class HintedSample(NamedTuple):
    """A sample that waits: how many classes are hinted at, and how many faces could be meant.

    `faces` are those of the image with the fewest among those with a hint. `decided` is what
    was said of its copies: classes, or 'rejected'.
    """

    key: str
    hint: str | None
    hints: int
    faces: int
    decided: tuple[str, ...]


class DisputedLabel(NamedTuple):
    """A sample (row) with a label that nobody but a hint gave, where hints name several classes."""

    id: int
    key: str
    label: str


class Hints:
    """Read only, over several tables. Obtained by `Hints(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def waiting(self) -> Iterator[HintedSample]:
        """Every sample that waits for a decision, in the order of the keys."""
        after = ""
        while rows := self._db.rows(
            f"SELECT s.key, (SELECT max({_CLASS}) {_ASKED}), {_COUNT}, (SELECT ifnull(min((SELECT "
            "count(*) FROM sample t WHERE t.image=o.image AND t.status IN ('queue','labelled'))), "
            f"0) {_ASKED} AND o.hint IS NOT NULL), (SELECT json_group_array(DISTINCT "
            "ifnull(c.name, g.status)) FROM sample g LEFT JOIN class c ON c.id=g.label WHERE "
            "g.grp=s.grp AND g.status IN ('labelled','rejected')) "
            "FROM sample s WHERE s.status='queue' AND s.key>? ORDER BY s.key LIMIT 1000",
            (after,),
        ):
            yield from (HintedSample(*row)._replace(decided=tuple(load(row[4]))) for row in rows)
            after = rows[-1]["key"]

    def names(self) -> list[str]:
        """Every hint there is, in alphabetical order."""
        rows = self._db.rows("SELECT DISTINCT hint FROM origin WHERE hint NOT NULL ORDER BY hint")
        return [row[0] for row in rows]

    def of(self, samples: Iterable[int]) -> dict[int, frozenset[str]]:
        """The classes that the images of samples (rows) hint at, each for itself."""
        found: dict[int, frozenset[str]] = {}
        for some, marks in in_parts(sorted(samples)):
            rows = self._db.rows(
                f"SELECT s.id, json_group_array(DISTINCT {_CLASS}) FROM sample s JOIN origin o ON "
                f"o.image=s.image WHERE s.id IN ({marks}) AND o.hint IS NOT NULL GROUP BY s.id",
                some,
            )
            found |= {row[0]: frozenset(load(row[1])) for row in rows}
        return found

    def labelled(self) -> set[int]:
        """The samples (rows) whose label is from a hint, or from a copy."""
        given = label_provenances(self._db)
        rows = self._db.rows("SELECT id, key FROM sample WHERE status='labelled'")
        return {row["id"] for row in rows if given.get(row["key"]) in _UNSEEN}

    def disputed(self, images: Collection[str] | None = None) -> list[DisputedLabel]:
        """The labels that a dispute takes the ground from, of all or of some images, by key.

        What a person said of any copy settles the question.
        """
        if images is None:
            rows = self._labelled_where("1")
        else:
            rows = []
            for some, marks in in_parts(sorted(images)):
                of_images = f"image IN (SELECT id FROM image WHERE sha256 IN ({marks}))"
                rows += self._labelled_where(
                    f"s.id IN (SELECT id FROM sample WHERE {of_images} UNION SELECT g.id FROM "
                    f"sample g WHERE g.grp IN (SELECT grp FROM sample WHERE {of_images}))",
                    [*some, *some],
                )
        given = label_provenances(self._db) if rows else {}
        settled = {row["question"] for row in rows if given.get(row["key"]) not in _UNSEEN}
        found = {DisputedLabel(*tuple(row)[:3]) for row in rows if row["question"] not in settled}
        return sorted(found, key=lambda one: one.key)

    def _labelled_where(self, test: str, values: Collection[str] = ()) -> list[Row]:
        return self._db.rows(
            "SELECT s.id, s.key, c.name, ifnull(s.grp, s.key) AS question FROM sample s JOIN class "
            f"c ON c.id=s.label WHERE s.status='labelled' AND ({test}) AND {_COUNT}>1",
            tuple(values),
        )


def withdrawn(sample: str) -> Choice:
    """Return the choice that puts a sample back into the queue: hints dispute its label."""
    return Choice(sample, "clear", None, "hint")


def retract_disputed(db: Connection, images: Collection[str] | None = None) -> int:
    """Put back into the queue what hints dispute, of all or of some images; how many.

    As one step, if there is any.
    """
    if images is not None and not images:
        return 0
    with db.write():
        choices = [withdrawn(disputed.key) for disputed in Hints(db).disputed(images)]
        if choices:
            Journal(db).step(operation("take-back-hints", count=len(choices)), choices)
    return len(choices)
