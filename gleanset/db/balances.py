"""How often each sample of train counts, after balancing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gleanset.db.connection import Connection
from gleanset.db.values import now


class Share(NamedTuple):
    """What a sample counts for: `copies` of its picture (0: none), each with `weight`."""

    copies: int
    weight: float


AS_IT_IS = Share(1, 1.0)


class Balances:
    """The `balance` table. Obtained by `Balances(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def shares(self) -> dict[str, Share]:
        """The samples of train that do not count as they are, by key."""
        rows = self._db.rows(
            "SELECT s.key, b.copies, b.weight FROM balance b JOIN sample s ON s.id=b.sample "
            "WHERE s.split='train' AND s.status='labelled' ORDER BY s.key"
        )
        return {row["key"]: Share(row["copies"], row["weight"]) for row in rows}

    def settings(self) -> str:
        """The settings of the balance in force; empty when there is none."""
        row = self._db.one("SELECT settings FROM balance_plan ORDER BY id DESC LIMIT 1")
        return row["settings"] if row else ""

    def replace(self, shares: Mapping[str, Share], settings: str) -> None:
        """Put a new balance in force, whole or not at all; nothing is left of an earlier one."""
        with self._db.write():
            self._db.run("DELETE FROM balance")
            self._db.many(
                "INSERT INTO balance SELECT id, ?, ? FROM sample WHERE key=?",
                [(share.copies, share.weight, key) for key, share in shares.items()],
            )
            if settings != self.settings():
                self._db.run(
                    "INSERT INTO balance_plan(settings, at) VALUES(?,?)", (settings, now())
                )
