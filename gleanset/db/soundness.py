"""What in the catalogue contradicts itself: looked for by queries alone, whatever the files say."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gleanset.db.connection import Connection
from gleanset.db.faces import IN_FORCE
from gleanset.db.hints import Hints

_EXAMPLES = 5


class Finding(NamedTuple):
    """How often something is wrong, and a few of the rows in words."""

    cases: int
    examples: tuple[str, ...] = ()


def unsound(db: Connection) -> dict[str, Finding]:
    """Each kind of contradiction that was looked for, those without a case included.

    Only reads, and hashes no file: some milliseconds, and a second for 100,000 samples.
    """
    return {name: _finding(look(db)) for name, look in _KINDS.items()}


def _finding(found: list[str]) -> Finding:
    return Finding(len(found), tuple(found[:_EXAMPLES]))


def _orphan_rows(db: Connection) -> list[str]:
    """Rows that point to nothing, and pictures that nobody could say the place of."""
    loose = db.rows("PRAGMA foreign_key_check")
    found = [f"a row of {row[0]} refers to a row of {row[2]} that is gone" for row in loose]
    for words, query in _ORPHANS.items():
        found += [f"{words}: {row[0]}" for row in db.rows(query)]
    return found


_ORPHANS = {
    "an image without an origin": "SELECT sha256 FROM image i WHERE NOT EXISTS(SELECT 1 FROM "
    "origin WHERE image=i.id)",
    "an image that was forgotten": "SELECT sha256 FROM image WHERE sha256 IN (SELECT sha256 FROM "
    "tombstone)",
    "a sample with a face of another image": "SELECT s.key FROM sample s JOIN face f ON "
    "f.id=s.face WHERE f.image<>s.image",
    "a sample labelled without a class, or the other way round": "SELECT key FROM sample "
    "WHERE (status='labelled') <> (label IS NOT NULL)",
    "a change of a class that is gone": "SELECT id FROM change WHERE what IN ('name','merged') "
    "AND item NOT IN (SELECT id FROM class)",
    "a change of a sample that is gone": "SELECT id FROM change WHERE what IN ('mark','refused') "
    "AND item NOT IN (SELECT id FROM sample)",
}


def _duplicate_faces(db: Connection) -> list[str]:
    """Boxes that are twice in one image."""
    rows = db.rows(
        "SELECT i.sha256, f.x, f.y, f.w, f.h, count(*) FROM face f JOIN image i ON i.id=f.image "
        f"WHERE {IN_FORCE} GROUP BY f.image, f.x, f.y, f.w, f.h HAVING count(*)>1 ORDER BY 1, 2, 3"
    )
    return [f"{row[5]} times {tuple(row)[1:5]} in {row[0]}" for row in rows]


def _disputed_labels(db: Connection) -> list[str]:
    """Labels by hint, while the hints of the picture or of its copies name several classes."""
    return [f"{one.key} is {one.label}" for one in Hints(db).disputed()]


def _straddling_moments(db: Connection) -> list[str]:
    """Samples in use that belong together, in different splits: by moment, image or copies."""
    found = []
    for trait in ("moment", "image", "grp"):
        rows = db.rows(
            f"SELECT min(key), min(split), max(split) FROM sample WHERE {trait} IS NOT NULL "
            "AND split IS NOT NULL AND status='labelled' AND kept "
            f"GROUP BY {trait} HAVING count(DISTINCT split)>1 ORDER BY 1"
        )
        found += [
            f"the {_NAMES.get(trait, trait)} of {row[0]} is in {row[1]} and {row[2]}"
            for row in rows
        ]
    return found


_NAMES = {"grp": "group of copies"}
_KINDS: dict[str, Callable[[Connection], list[str]]] = {
    "orphan_rows": _orphan_rows,
    "duplicate_faces": _duplicate_faces,
    "disputed_labels": _disputed_labels,
    "straddling_moments": _straddling_moments,
}
