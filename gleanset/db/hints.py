"""What is hinted of samples. The hints of a picture and of all its copies are one question.

What answers it differently is disputed, and only a person can say who is right.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from gleanset.db.classes import present_class
from gleanset.db.connection import Connection, Table
from gleanset.db.journal import Choice, Journal, label_provenances
from gleanset.db.rows import load
from gleanset.operations import AUTOMATIC, operation

# The class that a hint of an origin `o` names now: one that was renamed has its present name, one
# that was merged is the one it went into.
_NAMED = (
    "ifnull((SELECT id FROM class WHERE name=o.hint), (SELECT item FROM change WHERE what='name' "
    "AND before=o.hint ORDER BY id DESC LIMIT 1))"
)
_CLASS = f"ifnull({present_class('name', f'id={_NAMED}')}, o.hint)"
# The images of a sample `s` and of its copies.
_COPIES = (
    "SELECT s.image UNION SELECT g.image FROM sample g WHERE g.grp=s.grp AND g.status<>'retired'"
)
_ASKED = f"FROM origin o WHERE o.image IN ({_COPIES})"
_COUNT = f"(SELECT count(DISTINCT {_CLASS}) {_ASKED})"

HINT = f"(SELECT iif(count(DISTINCT {_CLASS})=1, max({_CLASS}), NULL) {_ASKED})"
"""SQL: the class that the hints of a sample `s` and its copies agree on, else NULL."""

_HINTED = (
    f"SELECT s.key, (SELECT max({_CLASS}) {_ASKED}), {_COUNT}, (SELECT ifnull(min((SELECT "
    "count(*) FROM sample t WHERE t.image=o.image AND t.status IN ('queue','labelled'))), "
    f"0) {_ASKED} AND o.hint IS NOT NULL), (SELECT json_group_array(DISTINCT "
    "ifnull(c.name, g.status)) FROM sample g LEFT JOIN class c ON c.id=g.label WHERE "
    "g.grp=s.grp AND g.status IN ('labelled','rejected')) "
    # The + keeps SQLite from the index of states, by which it would sort all of them for each page.
    "FROM sample s WHERE +s.status='queue'"
)
_DISPUTED = (
    "SELECT s.id, s.key, c.name AS label, ifnull(s.grp, s.key) AS question FROM sample s "
    f"JOIN class c ON c.id=s.label WHERE s.status='labelled' AND {_COUNT}>1"
)
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


class Hints(Table):
    """Over several tables."""

    def waiting(self) -> Iterator[HintedSample]:
        """Yield every sample that waits for a decision, in the order of the keys."""
        for row in self._db.each(_HINTED, ("s.key",)):
            yield HintedSample(*row)._replace(decided=tuple(load(row[4])))

    def names(self) -> list[str]:
        """Return every hint there is, in alphabetical order."""
        return self._db.column("SELECT DISTINCT hint FROM origin WHERE hint NOT NULL ORDER BY hint")

    def drop(self, name: str) -> int:
        """Forget a hint of every image; return the number of images. No label changes."""
        with self._db.write():
            number = self._db.number(
                "SELECT count(DISTINCT image) FROM origin WHERE hint=?", (name,)
            )
            # A place that gave the image without a hint, too, is one place.
            self._db.run("UPDATE OR IGNORE origin SET hint=NULL WHERE hint=?", (name,))
            self._db.run("DELETE FROM origin WHERE hint=?", (name,))
        return number

    def of(self, samples: Iterable[int]) -> dict[int, frozenset[str]]:
        """Return the classes that the images of samples (rows) hint at, each for itself."""
        rows = self._db.rows_in(
            f"SELECT s.id, json_group_array(DISTINCT {_CLASS}) FROM sample s JOIN origin o ON "
            "o.image=s.image WHERE o.hint IS NOT NULL AND s.id",
            sorted(samples),
            "GROUP BY s.id",
        )
        return {sample: frozenset(load(hints)) for sample, hints in rows}

    def labelled(self, samples: Collection[int]) -> set[int]:
        """Return which of these samples (rows) have their label from a hint, or from a copy."""
        given = label_provenances(self._db, samples)
        rows = self._db.rows_in("SELECT id, key FROM sample WHERE id", samples)
        return {row["id"] for row in rows if given.get(row["key"]) in _UNSEEN}

    def disputed(self, images: Collection[str] | None = None) -> list[DisputedLabel]:
        """Return the labels that a dispute takes the ground from, of all or some images, by key.

        What a person said of any copy settles the question.
        """
        if images is None:
            rows = self._db.rows(_DISPUTED)
        else:
            asked = self._same_question(images)
            rows = list(self._db.rows_in(f"{_DISPUTED} AND s.id", sorted(asked)))
        given = label_provenances(self._db, [row["id"] for row in rows])
        settled = {row["question"] for row in rows if given.get(row["key"]) not in _UNSEEN}
        found = {
            DisputedLabel(row["id"], row["key"], row["label"])
            for row in rows
            if row["question"] not in settled
        }
        return sorted(found, key=lambda one: one.key)

    def _same_question(self, images: Collection[str]) -> set[int]:
        rows = self._db.rows_in(
            "SELECT s.id, g.id FROM image i JOIN sample s ON s.image=i.id "
            "LEFT JOIN sample g ON g.grp=s.grp WHERE i.sha256",
            sorted(images),
        )
        return {number for row in rows for number in row if number is not None}


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
            Journal(db).step(operation(AUTOMATIC, count=len(choices)), choices)
    return len(choices)
