"""What a step changed besides labels: marks of samples, refused proposals, names of classes.

Every row belongs to a step of the journal and is taken back with that step, as `decision` and
`aside` are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gleanset.db.connection import Connection
from gleanset.db.values import in_parts

# What may change: its table, its column, and the column that tells the item.
_PLACES = {
    "mark": ("mark", "mark", "sample"),
    "refused": ("mark", "refused", "sample"),
    "name": ("class", "name", "id"),
    "merged": ("class", "merged_into", "id"),
}


class Change(NamedTuple):
    """`what` (mark, refused, name, merged) of an item (a row) becomes `after`."""

    what: str
    item: int
    after: str | int | None


class Changes:
    """The `change` and `mark` tables. Obtained by `Changes(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def make(self, step: int, changes: Iterable[Change]) -> None:
        """Carry changes out as a part of a step. Call inside a write."""
        kinds: dict[str, list[tuple[int, int, str | int | None]]] = {}
        for change in changes:
            kinds.setdefault(change.what, []).append((step, change.item, change.after))
        for what, rows in kinds.items():
            table, column, key = _PLACES[what]
            if table == "mark":
                self._db.many(
                    "INSERT OR IGNORE INTO mark(sample) VALUES(?)", [(item,) for _, item, _ in rows]
                )
            self._db.many(
                f"INSERT INTO change(step, what, item, before, after) "
                f"SELECT ?1, '{what}', {key}, {column}, ?3 FROM {table} WHERE {key}=?2",
                rows,
            )
            self._db.many(
                f"UPDATE {table} SET {column}=?2 WHERE {key}=?1",
                [(item, after) for _, item, after in rows],
            )

    def take_back(self, step: int, undoing: int) -> int:
        """Undo what `step` did, as a part of step `undoing`; how much could not go back.

        Call inside a write. What another step changed since is left alone, and so is a name
        that was given to another class. A class that samples have stays, and is not counted.
        """
        rows = self._db.rows(
            "SELECT what, item, before, after FROM change WHERE step=? ORDER BY id DESC", (step,)
        )
        free = [row for row in rows if not self._is_settled(*row)]
        back = [row for row in free if self._may_go_back(*row)]
        self.make(undoing, [Change(row["what"], row["item"], row["before"]) for row in back])
        return len(free) - len(back)

    def _is_settled(
        self, what: str, item: int, before: str | int | None, after: str | int | None
    ) -> bool:
        """Whether a class is shown or hidden as it was, or cannot be hidden: samples have it."""
        if what != "merged" or item not in (before, after):
            return False
        row = self._db.one("SELECT merged_into FROM class WHERE id=?", (item,))
        used = self._db.number("SELECT 1 FROM sample WHERE label=?", (item,))
        return row is not None and (row[0] == before or (before == item and bool(used)))

    def _may_go_back(
        self, what: str, item: int, before: str | int | None, after: str | int | None
    ) -> bool:
        table, column, key = _PLACES[what]
        row = self._db.one(f"SELECT {column} FROM {table} WHERE {key}=?", (item,))
        if row is None or row[0] != after:
            return False
        taken = "SELECT 1 FROM class WHERE name=? AND id<>?"
        return what != "name" or not self._db.number(taken, (before, item))

    def refused(self, samples: Sequence[int]) -> dict[int, frozenset[int]]:
        """The classes (rows) that a person refused for these samples."""
        found: dict[int, frozenset[int]] = {}
        for some, marks in in_parts(samples):
            for row in self._db.rows(
                f"SELECT sample, refused FROM mark WHERE refused<>'' AND sample IN ({marks})",
                some,
            ):
                found[row["sample"]] = frozenset(int(part) for part in row["refused"].split(","))
        return found

    def once_called(self, name: str) -> int | None:
        """The class (row) that had this name before it was renamed; None where none had."""
        row = self._db.one(
            "SELECT item FROM change WHERE what='name' AND before=? ORDER BY id DESC LIMIT 1",
            (name,),
        )
        return None if row is None else int(row[0])
