"""Names that samples may be called by: classes, what they were called before, hints, queries."""

from __future__ import annotations

from gleanset.db.classes import present_class
from gleanset.db.connection import Connection

MOST = 2000


def names_in_use(db: Connection) -> list[tuple[str, str]]:
    """Return names with the class each of them means, or itself: classes first, most used first.

    A class that was merged into another one means that. Hints and search keywords of images follow,
    the most frequent first.
    """
    classes = db.rows(
        "SELECT c.name, ifnull(i.name, c.name) FROM class c "
        "LEFT JOIN class i ON i.id=c.merged_into WHERE c.merged_into IS NOT c.id "
        "ORDER BY c.merged_into IS NOT NULL, "
        "(SELECT count(*) FROM sample s WHERE s.label=c.id) DESC, c.id"
    )
    found = {row[0]: row[1] for row in classes}
    for column in ("hint", "query"):
        for row in db.rows(
            f"SELECT {column} FROM origin WHERE ifnull({column}, '')<>'' "
            f"GROUP BY {column} ORDER BY count(*) DESC, {column} LIMIT {MOST}"
        ):
            found.setdefault(row[0], row[0])
    return list(found.items())


def aliases(db: Connection) -> dict[str, list[str]]:
    """Return by class the names that mean it, too: of classes that were merged into it."""
    found: dict[str, list[str]] = {}
    for row in db.rows(
        f"SELECT m.name, {present_class('name', 'id=m.id')} FROM class m "
        "WHERE m.merged_into IS NOT NULL AND m.merged_into<>m.id ORDER BY m.name"
    ):
        found.setdefault(row[1], []).append(row[0])
    return found
