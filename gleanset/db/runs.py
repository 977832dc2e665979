"""Training runs, taken up again under their own name after a kill."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gleanset.db.connection import Connection, Row
from gleanset.db.values import dump, load, now
from gleanset.records import Run


class Runs:
    """The `run` table."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def begin(self, run_id: str, room: str, settings: Mapping[str, object]) -> Run:
        """Start a run, or take up an unfinished one with the same settings."""
        text = dump(settings)
        with self._db.write():
            row = self._db.one(
                "SELECT * FROM run WHERE room=? AND settings=? "
                "AND status IN ('running','interrupted') ORDER BY started DESC, id DESC",
                (room, text),
            )
            if row is not None:
                self._db.run("UPDATE run SET status='running', ended=NULL WHERE id=?", (row["id"],))
                return _run(row)
            # Only one run of a room is at work: others that say so were killed and given up.
            self._db.run(
                "UPDATE run SET status='given up' WHERE room=? AND status='running'", (room,)
            )
            self._db.run(
                "INSERT INTO run(id,room,settings,started,status) VALUES(?,?,?,?,'running')",
                (run_id, room, text, now()),
            )
        run = self.get(run_id)
        assert run is not None
        return run

    def end(self, run_id: str, status: str, result: Mapping[str, object]) -> None:
        """Record how a run ended ('done' or 'failed') and what it gave."""
        with self._db.write():
            self._db.run(
                "UPDATE run SET status=?, ended=?, result=? WHERE id=?",
                (status, now(), dump(result), run_id),
            )

    def get(self, run_id: str) -> Run | None:
        """One run by its folder name."""
        row = self._db.one("SELECT * FROM run WHERE id=?", (run_id,))
        return _run(row) if row else None

    def finished(self, room: str, settings: Mapping[str, object]) -> Run | None:
        """The newest run of these settings that ended well, if any."""
        row = self._db.one(
            "SELECT * FROM run WHERE room=? AND settings=? AND status='done' "
            "ORDER BY started DESC, id DESC LIMIT 1",
            (room, dump(settings)),
        )
        return _run(row) if row else None

    def newest(self, room: str) -> Run | None:
        """The newest run that ended well, if any."""
        row = self._db.one(
            "SELECT * FROM run WHERE room=? AND status='done' ORDER BY started DESC, id DESC",
            (room,),
        )
        return _run(row) if row else None

    def each(self) -> Iterator[Run]:
        """All runs, oldest first."""
        yield from (_run(row) for row in self._db.rows("SELECT * FROM run ORDER BY started, id"))


def _run(row: Row) -> Run:
    return Run(
        row["id"],
        row["room"],
        load(row["settings"]),
        row["started"],
        row["ended"],
        row["status"],
        load(row["result"]),
    )
