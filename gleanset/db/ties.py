"""What may tie samples to each other: what `gleanset.moments` joins."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from gleanset.db.connection import Connection
from gleanset.db.values import unsigned

# Besides what is labelled: copies that were set aside, and what had a split until its label was
# taken back. Through them moments hang together, and what was in test is known again.
_TIED = (
    "status='labelled' AND kept OR grp IS NOT NULL AND NOT kept AND status!='retired' "
    "OR split IS NOT NULL AND status='queue'"
)


class Tie(NamedTuple):
    """What could tie a sample (row `id`) to others: its image (row), hash, one of its origins.

    `source` is None where the image has no origin any more.

    `label` is None for a sample that takes no part in a split itself. `split`, `fold` and
    `moment` are those of the last split.
    """

    id: int
    key: str
    label: str | None
    split: str | None
    fold: int | None
    moment: str | None
    image: int
    phash: int
    group: str | None
    source: str | None
    video: str | None
    scene: int | None
    time: float | None
    post: str | None


class Ties:
    """Read only, over several tables. Obtained by `Ties(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def each(self, keys: Collection[str] = ()) -> Iterator[Tie]:
        """Every sample that takes part or ties others, once for each of its origins, by key.

        And those of `keys`, in whatever state they are.
        """
        among = "TRUE" if keys else _TIED
        after = ""
        while rows := self._db.rows(
            "SELECT s.id, s.key, iif(s.status='labelled' AND s.kept, c.name, NULL), s.split, "
            "s.fold, s.moment, s.image, s.phash, s.grp, o.source, o.video, o.scene, o.time, "
            f"iif(o.post IS NULL, NULL, o.source || ':' || o.post), {_TIED} AS tied FROM "
            f"(SELECT * FROM sample WHERE ({among}) AND key>? ORDER BY key LIMIT 1000) s "
            "LEFT JOIN class c ON c.id=s.label "
            "LEFT JOIN origin o ON o.image=s.image ORDER BY s.key, o.source, o.key",
            (after,),
        ):
            for *tie, tied in rows:
                if tied or tie[1] in keys:
                    yield Tie(*tie)._replace(phash=unsigned(tie[7]))
            after = rows[-1]["key"]

    def sources(self) -> list[str]:
        """All sources that images came from."""
        return [row[0] for row in self._db.rows("SELECT DISTINCT source FROM origin ORDER BY 1")]

    def videos(self) -> dict[str, str]:
        """All videos that were sampled: content (SHA-256) and name."""
        rows = self._db.rows("SELECT sha256, name FROM video ORDER BY name")
        return {row["sha256"]: row["name"] for row in rows}

    def not_searched(self) -> int:
        """How many labelled samples were never searched for duplicates."""
        return self._db.number(
            "SELECT count(*) FROM sample s LEFT JOIN look l ON l.sample=s.id "
            "WHERE s.status='labelled' AND ifnull(l.searched,0)=0"
        )
