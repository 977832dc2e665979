"""How often a split was looked at: figures on test mean less with every look at them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from gleanset.db.connection import Connection
from gleanset.db.values import now


class Looks(NamedTuple):
    """How often a split was looked at, and by which runs (the oldest first).

    `times` counts looks at exactly these samples, `otherwise` those at the split when it had
    other samples.
    """

    times: int
    otherwise: int
    runs: tuple[str, ...]


class Peeks:
    """The `peek` table. Obtained by `Peeks(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def before(self, split: str, samples: Iterable[str]) -> Looks:
        """What was looked at up to now."""
        return self._looks(split, fingerprint(samples))

    def of_run(self, run: str, split: str) -> Looks | None:
        """All looks so far at the samples that this run was judged on first; None for no look."""
        row = self._db.one(
            "SELECT data FROM peek WHERE run=? AND split=? ORDER BY id LIMIT 1", (run, split)
        )
        return self._looks(split, row["data"]) if row else None

    def searched_doubts(self, run: str) -> bool:
        """Whether labels in doubt were searched for with the settings of a run, test among them."""
        return bool(self._db.number("SELECT 1 FROM peek WHERE run=? AND why='doubts'", (run,)))

    def add(self, run: str, split: str, samples: Iterable[str], why: str) -> Looks:
        """Record a look ('train', 'evaluate', 'doubts'); what there was before it.

        Earlier figures of the same run are not among these: nothing was chosen by them. The look
        that ends a training is one, also where a kill made the training end twice.
        """
        data = fingerprint(samples)
        with self._db.write():
            known = self._db.number(
                "SELECT id FROM peek WHERE run=? AND split=? AND data=? AND why=? AND why='train'",
                (run, split, data, why),
            )
            before = self._looks(split, data, known, own=run)
            if not known:
                self._db.run(
                    "INSERT INTO peek(run, split, data, why, at) VALUES(?,?,?,?,?)",
                    (run, split, data, why, now()),
                )
        return before

    def _looks(self, split: str, data: str, until: int = 0, own: str = "") -> Looks:
        """The looks before row `until`, or all, but for the figures of run `own`."""
        rows = self._db.rows(
            "SELECT run, data FROM peek WHERE split=?1 AND (?2=0 OR id<?2) "
            "AND NOT (run=?3 AND why IN ('train','evaluate')) ORDER BY id",
            (split, until, own),
        )
        same = [row["run"] for row in rows if row["data"] == data]
        return Looks(len(same), len(rows) - len(same), tuple(dict.fromkeys(same)))


def fingerprint(samples: Iterable[str]) -> str:
    """A hash of which samples there are, whatever their order and labels."""
    return hashlib.sha256("\n".join(sorted(set(samples))).encode()).hexdigest()[:16]
