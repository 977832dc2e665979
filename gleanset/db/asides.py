"""What curation did, as a journal beside that of decisions: set aside, grouped, judged.

Every row belongs to a step of the journal, and is taken back with that step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gleanset.db.connection import Connection


class Aside(NamedTuple):
    """A sample (row) gets its place: kept or set aside, the group it is in, and why."""

    sample: int
    kept: bool
    group: str | None
    reason: str


class Asides:
    """The `aside` and `verdict` tables. Obtained by `Asides(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def place(self, step: int, rows: Sequence[Aside]) -> None:
        """Give samples their places as a part of a step. Call inside a write."""
        self._db.many(
            "INSERT INTO aside(step,sample,kept,grp,before_kept,before_grp,reason) "
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
        before = self._db.one(
            "SELECT verdict FROM pair WHERE a=? AND b=? AND kind='person'", (a, b)
        )
        self._db.run(
            "INSERT INTO verdict(step,a,b,verdict,before_verdict) VALUES(?,?,?,?,?)",
            (step, a, b, verdict, before[0] if before else None),
        )
        if verdict is None:
            self._db.run("DELETE FROM pair WHERE a=? AND b=? AND kind='person'", (a, b))
        else:
            self._db.run(
                "INSERT OR REPLACE INTO pair(a,b,kind,verdict,step) VALUES(?,?,'person',?,?)",
                (a, b, verdict, step),
            )

    def take_back(self, step: int, undoing: int) -> tuple[int, int]:
        """Undo what `step` did, as a part of step `undoing`: put back, and changed since.

        Call inside a write. What another step changed since is left alone.
        """
        rows = self._db.rows(
            "SELECT a.*, s.kept AS now_kept, s.grp AS now_grp FROM aside a JOIN sample s ON "
            "s.id=a.sample WHERE step=? ORDER BY a.id DESC",
            (step,),
        )
        same = [r for r in rows if (r["now_kept"], r["now_grp"]) == (r["kept"], r["grp"])]
        self.place(
            undoing,
            [Aside(r["sample"], bool(r["before_kept"]), r["before_grp"], "undo") for r in same],
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

    def reasons(self, key: str) -> list[str]:
        """Why a sample was kept or set aside, the latest first."""
        rows = self._db.rows(
            "SELECT reason FROM aside WHERE sample=(SELECT id FROM sample WHERE key=?) "
            "ORDER BY id DESC",
            (key,),
        )
        return [row[0] for row in rows]
