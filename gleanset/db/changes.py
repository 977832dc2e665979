"""What a step did besides decisions: marks, refusals, class names, copies set aside and judged.

Every row belongs to a step of the journal and is
taken back with that step, as `decision` is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gleanset.db.connection import Row, Table

# What may change: its table, its column, and the column that tells the item.
_PLACES = {
    "mark": ("sorting_note", "mark", "sample"),
    "refused": ("sorting_note", "refused", "sample"),
    # Written by earlier versions: their steps can still be undone.
    "bond": ("sorting_note", "bond", "sample"),
    "apart": ("sorting_note", "apart", "sample"),
    "name": ("class", "name", "id"),
    "merged": ("class", "merged_into", "id"),
    "show": ("class", "show", "id"),
    "split": ("sample", "split", "id"),
    "fold": ("sample", "fold", "id"),
    "moment": ("sample", "moment", "id"),
    "copies": ("balance", "copies", "sample"),
    "weight": ("balance", "weight", "sample"),
    "split plan": ("split_plan", "settings", "id"),
    "balance plan": ("balance_plan", "settings", "id"),
    "report": ("report", "status", "id"),
}

_ROWS_MADE = {
    "sorting_note": "INSERT OR IGNORE INTO sorting_note(sample) VALUES(?)",
    "balance": "INSERT OR IGNORE INTO balance(sample, copies, weight) VALUES(?, 1, 1.0)",
}
"""Tables in which an item has a row only where there is something to say of it."""

OF_SAMPLES = "('mark','refused','bond','apart','split','fold','moment','copies','weight')"
"""What is of samples, as a list of SQL."""

OF_CLASSES = "('name','merged','show')"
"""What is of classes."""


class Change(NamedTuple):
    """`what` (a key of `_PLACES`) of an item (a row) becomes `after`."""

    what: str
    item: int
    after: str | float | None


class Changes(Table):
    """The `change` and `sorting_note` tables."""

    def make(self, step: int, changes: Iterable[Change]) -> None:
        """Carry changes out as a part of a step. Call inside a write."""
        kinds: dict[str, list[tuple[int, int, str | float | None]]] = {}
        for change in changes:
            kinds.setdefault(change.what, []).append((step, change.item, change.after))
        for what, rows in kinds.items():
            table, column, key = _PLACES[what]
            if table in _ROWS_MADE:
                self._db.many(_ROWS_MADE[table], [(item,) for _, item, _ in rows])
            self._db.many(
                f"INSERT INTO change(step, what, item, before, after) "
                f"SELECT ?1, '{what}', {key}, {column}, ?3 FROM {table} WHERE {key}=?2",
                rows,
            )
            if what == "name":
                # Two classes may take each other's name, which no two may have at a time.
                self._db.many(
                    "UPDATE class SET name=char(0) || id WHERE id=?",
                    [(item,) for _, item, _ in rows],
                )
            self._db.many(
                f"UPDATE {table} SET {column}=?2 WHERE {key}=?1",
                [(item, after) for _, item, after in rows],
            )

    def out_of_splits(self, samples: Sequence[int]) -> list[Change]:
        """Return what takes samples out of splits, folds and moments, of those that are in some."""
        return [
            Change(what, row["id"], None)
            for what in ("split", "fold", "moment")
            for row in self._db.rows_in(
                f"SELECT id FROM sample WHERE {what} IS NOT NULL AND id", samples
            )
        ]

    def take_back(self, step: int, undoing: int) -> list[tuple[str, int]]:
        """Undo what `step` did, as a part of step `undoing`; of what (`sample`, `class`, …) and
        of which item (a row) something could not go back.

        Call inside a write. What another step changed since is left alone, and so is a name
        that was given to another class. A class that samples have stays, and is not counted.
        """
        rows = self._db.rows(
            "SELECT what, item, before, after FROM change WHERE step=? ORDER BY id DESC", (step,)
        )
        free = [row for row in rows if not self._is_settled(*row)]
        back = self._names_free([row for row in free if self._is_as_made(*row)])
        self.make(undoing, [Change(row["what"], row["item"], row["before"]) for row in back])
        gone = {(row["what"], row["item"]) for row in back}
        left = [(what, item) for what, item, *_ in free if (what, item) not in gone]
        owners = {what: table if key == "id" else key for what, (table, _, key) in _PLACES.items()}
        return [(owners[what], item) for what, item in left]

    def _is_settled(
        self, what: str, item: int, before: str | float | None, after: str | float | None
    ) -> bool:
        if what != "merged" or item not in (before, after):
            return False
        row = self._db.first("SELECT merged_into FROM class WHERE id=?", (item,))
        used = self._db.number("SELECT 1 FROM sample WHERE label=?", (item,))
        return row is not None and (row[0] == before or (before == item and bool(used)))

    def _is_as_made(
        self, what: str, item: int, before: str | float | None, after: str | float | None
    ) -> bool:
        table, column, key = _PLACES[what]
        row = self._db.first(f"SELECT {column} FROM {table} WHERE {key}=?", (item,))
        return row is not None and bool(row[0] == after)

    def _names_free(self, rows: list[Row]) -> list[Row]:
        going = {row["item"] for row in rows if row["what"] == "name"}
        held = {
            row["item"]
            for row in rows
            if row["what"] == "name"
            and self._db.value("SELECT id FROM class WHERE name=?", (row["before"],))
            not in {None, *going}
        }
        if not held:
            return rows
        # What one class keeps, another one cannot have.
        return self._names_free([r for r in rows if r["what"] != "name" or r["item"] not in held])

    def refused(self, samples: Sequence[int]) -> dict[int, frozenset[int]]:
        """Return the classes (rows) that a person refused for these samples."""
        found: dict[int, frozenset[int]] = {}
        for row in self._db.rows_in(
            "SELECT sample, refused FROM sorting_note WHERE refused<>'' AND sample", samples
        ):
            found[row["sample"]] = frozenset(int(part) for part in row["refused"].split(","))
        return found

    def once_called(self, name: str) -> int | None:
        """Return the class (row) that had this name before it was renamed; None where none had."""
        item: int | None = self._db.value(
            "SELECT item FROM change WHERE what='name' AND before=? ORDER BY id DESC LIMIT 1",
            (name,),
        )
        return item


class Placement(NamedTuple):
    """A sample (row) gets its place: kept or set aside, the group it is in, and why."""

    sample: int
    kept: bool
    group: str | None
    reason: str


class Curation(Table):
    """The `placement` and `verdict` tables."""

    def place(self, step: int, rows: Sequence[Placement]) -> None:
        """Give samples their places as a part of a step. Call inside a write."""
        self._db.many(
            "INSERT INTO placement(step,sample,kept,grp,before_kept,before_grp,reason) "
            "SELECT ?1,id,?3,?4,kept,grp,?5 FROM sample WHERE id=?2",
            [(step, row.sample, row.kept, row.group, row.reason) for row in rows],
        )
        self._db.many(
            "UPDATE sample SET kept=?2, grp=?3 WHERE id=?1",
            [(row.sample, row.kept, row.group) for row in rows],
        )

    def judge(self, step: int, a: int, b: int, verdict: str | None) -> None:
        """A person's word on two samples (rows), as a part of a step; None takes it back."""
        a, b = min(a, b), max(a, b)
        before = self._db.value(
            "SELECT verdict FROM pair WHERE a=? AND b=? AND kind='person'", (a, b)
        )
        judged = {"step": step, "a": a, "b": b, "verdict": verdict}
        self._db.insert("verdict", judged | {"before_verdict": before})
        if verdict is None:
            self._db.run("DELETE FROM pair WHERE a=? AND b=? AND kind='person'", (a, b))
        else:
            self._db.insert("pair", judged | {"kind": "person"}, "INSERT OR REPLACE")

    def take_back(self, step: int, undoing: int) -> tuple[int, int]:
        """Undo `step` as a part of `undoing`: how many put back, and how many changed since."""
        rows = self._db.rows(
            "SELECT a.*, s.kept AS now_kept, s.grp AS now_grp FROM placement a JOIN sample s ON "
            "s.id=a.sample WHERE step=? ORDER BY a.id DESC",
            (step,),
        )
        same = [r for r in rows if (r["now_kept"], r["now_grp"]) == (r["kept"], r["grp"])]
        self.place(
            undoing,
            [Placement(r["sample"], bool(r["before_kept"]), r["before_grp"], "undo") for r in same],
        )
        judged = self._db.rows(
            "SELECT v.*, p.verdict AS now FROM verdict v LEFT JOIN pair p ON p.a=v.a AND p.b=v.b "
            "AND p.kind='person' WHERE v.step=? ORDER BY v.id DESC",
            (step,),
        )
        still = [r for r in judged if r["now"] == r["verdict"]]
        for row in still:
            self.judge(undoing, row["a"], row["b"], row["before_verdict"])
        return len(same) + len(still), len(rows) + len(judged) - len(same) - len(still)
