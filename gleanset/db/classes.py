"""Classes: their names now and before, other names that mean them, and what a step makes of them.

A class whose `merged_into` is another one was merged into that; one whose `merged_into` is itself
is hidden, because nothing that made it is in force.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from gleanset.db.changes import Change, Changes
from gleanset.db.connection import Connection
from gleanset.errors import UsageError


def present_class(column: str, chosen: str) -> str:
    """Return SQL for a `column` of the class that the `chosen` one was merged into, or its own."""
    return (
        "(WITH RECURSIVE chain(id, name, into_) AS (SELECT id, name, merged_into FROM class "
        f"WHERE {chosen} UNION SELECT c.id, c.name, c.merged_into FROM chain JOIN class c ON "
        f"c.id=chain.into_) SELECT {column} FROM chain WHERE into_ IS NULL OR into_=id)"
    )


class LabelClasses:
    """The `class` table. Whatever changes it is called inside a write, as a part of a step."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._changes = Changes(db)

    def names(self) -> list[str]:
        """Return the names of all classes that are in use, in alphabetical order."""
        return self._db.column("SELECT name FROM class WHERE merged_into IS NULL ORDER BY name")

    def as_made(self) -> list[str]:
        """Return the names of all classes that are in use, in the order they were made."""
        return self._db.column("SELECT name FROM class WHERE merged_into IS NULL ORDER BY id")

    def id_of(self, name: str) -> int | None:
        """Return the row of a class by its name, or by one that it had before it was renamed."""
        row = self._db.number("SELECT id FROM class WHERE name=?", (name,))
        return row or self._changes.once_called(name)

    def name_of(self, row: int) -> str:
        """Return the name of a class; empty where there is none."""
        return self._db.value("SELECT name FROM class WHERE id=?", (row,)) or ""

    def resolved(self, name: str) -> str:
        """Return the present name of a class, which may be new. Raises `UsageError`."""
        return class_name(self.meaning_of(name))

    def meaning_of(self, alias: str) -> str:
        """Return the class that a name means, else the name itself, which may be no class name."""
        alias = alias_name(alias)
        row = self.id_of(alias)
        present = f"SELECT {present_class('name', 'id=?')}"
        return (row and self._db.value(present, (row,))) or alias

    def renamed(self, name: str) -> str | None:
        """Return the present name of a class that once was called so; None where none was."""
        row = self._changes.once_called(name)
        return None if row is None else self.name_of(row)

    def find_or_make(self, name: str) -> int:
        """Return the row of the class that a name means; a new one is hidden."""
        return self.find_or_make_alias(self.resolved(name))

    def find_or_make_alias(self, alias: str) -> int:
        """Return the row of a name that is to mean another class, as `find_or_make`."""
        alias = alias_name(alias)
        found = f"SELECT {present_class('id', 'name=?')}"
        return self._db.number(found, (alias,)) or self._add_hidden(alias)

    def _add_hidden(self, name: str) -> int:
        row = self._db.insert("class", {"name": name})
        self._db.run("UPDATE class SET merged_into=id WHERE id=?", (row,))
        return row

    def show(self, step: int, rows: Iterable[int]) -> None:
        """Show those of these classes that are hidden; undoing the step hides them again."""
        hidden = set(self._db.column("SELECT id FROM class WHERE merged_into=id"))
        self._changes.make(
            step, [Change("merged", row, None) for row in sorted(hidden & set(rows))]
        )

    def make(self, step: int, name: str) -> None:
        """Make a class; undoing the step hides it. Raises `UsageError` for one that is in use."""
        row = self._db.first("SELECT id, merged_into FROM class WHERE name=?", (name,))
        if row is not None and row["merged_into"] is None:
            raise UsageError(f"there is a class {name!r} already")
        number = row["id"] if row else self._add_hidden(name)
        self._changes.make(step, [Change("merged", number, None)])

    def rename(self, step: int, old: str, new: str) -> None:
        """Rename a class. Raises `UsageError` for a name that is taken."""
        row = self.id_of(old)
        if row is None:
            raise UsageError(f"there is no class {old!r}")
        if self._db.number("SELECT 1 FROM class WHERE name=?", (new,)):
            mend = "merge the two: labeler classes merge, or the menu of a class in the window"
            raise UsageError(f"there is a class {new!r} already", mend)
        self._changes.make(step, [Change("name", row, new)])

    def set_show(self, step: int, name: str, show: str | None) -> None:
        """Note the show that a class is of; None for no show. Raises `UsageError` for no class."""
        row = self.id_of(name)
        if row is None:
            raise UsageError(f"there is no class {name!r}")
        self._changes.make(step, [Change("show", row, show)])

    def merge(self, step: int, old: str, into: str) -> None:
        """Hide a class whose samples were given to another one. Raises `UsageError`."""
        source, target = self.id_of(old), self.id_of(into)
        if source is None or target is None or source == target:
            raise UsageError(f"cannot merge {old!r} into {into!r}", "name two classes that exist")
        self._changes.make(step, [Change("merged", source, target)])

    def hide(self, step: int, name: str) -> None:
        """Hide a class that no sample has any more. Raises `UsageError` where there is none."""
        row = self.id_of(name)
        if row is None:
            raise UsageError(f"there is no class {name!r}")
        self._changes.make(step, [Change("merged", row, row)])


# What no folder may have in its name somewhere, and what turns the direction of a line round.
_FORBIDDEN = '/\\:*?"<>|\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069'


def alias_name(name: str) -> str:
    """Return a name in its one spelling: Unicode NFC, single spaces. Raises `UsageError`."""
    tidy = " ".join(unicodedata.normalize("NFC", name).split())
    if not any(unicodedata.category(c)[0] not in "CZ" for c in tidy) or len(tidy) > 100:
        raise UsageError(f"{name!r} is not a class name", "use 1 to 100 characters")
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in tidy):
        raise UsageError(f"{name!r} is not a class name", "leave out control characters")
    return tidy


def class_name(name: str) -> str:
    """Return a class name in its one spelling. Raises `UsageError` for one that is no folder."""
    tidy = alias_name(name)
    wrong = [c for c in tidy if c in _FORBIDDEN]
    if wrong or tidy.startswith("."):
        raise UsageError(
            f"{name!r} is not a class name: it could not be a folder on every system",
            'leave out a leading dot and the characters / \\ : * ? " < > |',
        )
    return tidy


MOST = 2000


def names_in_use(db: Connection) -> list[tuple[str, str]]:
    """Return names with the class each of them means, or itself: classes first, most used first.

    A class that was merged into another one means that. Hints and search keywords of images follow,
    the most frequent first.
    """
    meanings = db.mapping(
        "SELECT c.name, ifnull(i.name, c.name) FROM class c "
        "LEFT JOIN class i ON i.id=c.merged_into WHERE c.merged_into IS NOT c.id "
        "ORDER BY c.merged_into IS NOT NULL, "
        "(SELECT count(*) FROM sample s WHERE s.label=c.id) DESC, c.id"
    )
    for column in ("hint", "query"):
        for row in db.rows(
            f"SELECT {column} FROM origin WHERE ifnull({column}, '')<>'' "
            f"GROUP BY {column} ORDER BY count(*) DESC, {column} LIMIT {MOST}"
        ):
            meanings.setdefault(row[0], row[0])
    return list(meanings.items())


def aliases(db: Connection) -> dict[str, list[str]]:
    """Return by class the names that mean it, too: of classes that were merged into it."""
    others: dict[str, list[str]] = {}
    for row in db.rows(
        f"SELECT m.name, {present_class('name', 'id=m.id')} FROM class m "
        "WHERE m.merged_into IS NOT NULL AND m.merged_into<>m.id ORDER BY m.name"
    ):
        others.setdefault(row[1], []).append(row[0])
    return others
