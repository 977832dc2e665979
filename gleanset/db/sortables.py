"""What a presort needs to know of every sample: its state, and what ties it to others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gleanset.db.connection import Connection
from gleanset.db.hints import HINT
from gleanset.db.values import load


class Sortable(NamedTuple):
    """A sample in use. `status` is queue, labelled or rejected, `label` its class.

    `group` is equal for copies of one picture; `ties` names what it shares with others: a scene
    of a video, a post. `hint` is None where its sources, or
    those of its copies, disagree. `refused` are the classes that a person said it is not. What is
    not `kept` was set aside as a copy, and has a label.
    """

    key: str
    status: str
    label: str | None
    group: str | None
    ties: tuple[str, ...]
    hint: str | None
    refused: frozenset[str]
    kept: bool = True


class Sortables:
    """Read only, over several tables. Obtained by `Sortables(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def each(self) -> Iterator[Sortable]:
        """Every sample that is not retired, by key, a page in memory at a time.

        Of those set aside only what is labelled: a better copy may wait for the same label.
        """
        classes = {row[0]: row[1] for row in self._db.rows("SELECT id, name FROM class")}
        after = ""
        while rows := self._db.rows(
            "SELECT s.key, s.status, c.name, s.grp, m.refused, json_group_array("
            "DISTINCT iif(o.scene IS NULL, NULL, 'scene:' || o.video || ':' || o.scene)), "
            "json_group_array(DISTINCT iif(o.post IS NULL, NULL, o.source || ':' || o.post)), "
            f"{HINT}, s.kept FROM (SELECT * FROM sample WHERE "
            "(kept AND status<>'retired' OR status='labelled') AND key>? ORDER BY key "
            "LIMIT 1000) s "
            "LEFT JOIN class c ON c.id=s.label LEFT JOIN mark m ON m.sample=s.id "
            "LEFT JOIN origin o ON o.image=s.image GROUP BY s.key ORDER BY s.key",
            (after,),
        ):
            for key, status, label, group, refused, scenes, posts, hint, kept in rows:
                ties = tuple(sorted(tie for tie in load(scenes) + load(posts) if tie))
                numbers = (int(part) for part in (refused or "").split(",") if part)
                said_no = frozenset(classes[one] for one in numbers if one in classes)
                yield Sortable(
                    key,
                    status,
                    label,
                    group,
                    ties,
                    hint,
                    said_no,
                    bool(kept),
                )
            after = rows[-1][0]
