"""What visitors of the page sent: reports of wrong answers, and requests to take a picture down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

from gleanset.db.changes import Change, Changes
from gleanset.db.connection import Connection, Row
from gleanset.db.rows import (
    box_of,
    clean,
    columns_of_box,
    now,
    record_of,
    signed,
    unsigned,
    values_of,
)
from gleanset.errors import UsageError
from gleanset.records import Box, overlap

STATUSES = PENDING, ACCEPTED, REFUSED = "pending", "accepted", "refused"


Sent = TypeVar("Sent")


class VisitorTable(Generic[Sent]):
    """What visitors sent of one `kind`: it waits until a step accepts or refuses it."""

    def __init__(self, db: Connection, table: str, kind: str, read: Callable[[Row], Sent]) -> None:
        self._db, self._table, self._kind, self._read = db, table, kind, read

    def count(self, status: str = PENDING) -> int:
        """Return how many there are."""
        return self._db.number(f"SELECT count(*) FROM {self._table} WHERE status=?", (status,))

    def get(self, number: int) -> Sent | None:
        """Return one of them."""
        row = self._db.first(f"SELECT * FROM {self._table} WHERE id=?", (number,))
        return None if row is None else self._read(row)

    def waiting_ones(self, numbers: Iterable[int]) -> list[Sent]:
        """Return those of these numbers. Raises `UsageError` for one that does not wait."""
        waiting = []
        for number in dict.fromkeys(numbers):
            sql = f"SELECT * FROM {self._table} WHERE id=? AND status=?"
            row = self._db.first(sql, (number, PENDING))
            if row is None:
                mend = f"see: gleanset list {self._table}s"
                raise UsageError(f"{self._kind} {number} does not wait", mend)
            waiting.append(self._read(row))
        return waiting

    def each(self, status: str = PENDING) -> Iterator[Sent]:
        """Yield them, the oldest first, a page in memory at a time."""
        sql = f"SELECT * FROM {self._table} WHERE status=?"
        return map(self._read, self._db.each(sql, ("id",), (status,)))

    def settle(self, step: int, numbers: Iterable[int], status: str) -> None:
        """Accept or refuse them as a part of a step. Call inside a write."""
        Changes(self._db).make(step, [Change(self._table, number, status) for number in numbers])


SAME_FACE = 0.5
"""Intersection over union from which two boxes, drawn by two visitors, are of one face."""


class Claim(NamedTuple):
    """What a visitor says of a picture: who is in `box`, in pixels of the upright picture.

    `run` answered `answer` (None: unknown) with `confidence`, the probability 0..1 of its
    likeliest class.
    """

    sha256: str
    format: str
    box: Box
    claimed: str
    run: str
    answer: str | None = None
    confidence: float | None = None
    note: str = ""


class Report(NamedTuple):
    """A stored claim. `status` is pending, accepted or refused."""

    id: int
    at: str
    claim: Claim
    status: str


class Reports(VisitorTable[Report]):
    """The `report` table. Obtained by `Reports(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        super().__init__(db, "report", "report", _report)

    def add(self, claim: Claim) -> bool:
        """Keep a claim; False where the same one is there already. Call inside a write."""
        if self.has(claim):
            return False
        row = values_of(claim, note=clean(claim.note), at=now()) | columns_of_box(claim.box)
        del row["box"]
        self._db.insert("report", row)
        return True

    def has(self, claim: Claim) -> bool:
        """Return whether the same was claimed of the same box before, whatever became of it."""
        sql = "SELECT 1 FROM report WHERE sha256=? AND (x,y,w,h)=(?,?,?,?) AND claimed=?"
        return bool(self._db.number(sql, (claim.sha256, *claim.box, claim.claimed)))

    def settled_last(self, most: int) -> list[tuple[int, Report]]:
        """Return at most so many that were accepted or refused, the last first, each behind the
        step that did it.
        """
        rows = self._db.rows(
            "SELECT r.*, max(c.step) AS step FROM change c CROSS JOIN report r ON r.id=c.item "
            "WHERE c.what='report' AND r.status<>? GROUP BY r.id ORDER BY step DESC, r.id LIMIT ?",
            (PENDING, most),
        )
        return [(row["step"], _report(row)) for row in rows]

    def of_step(self, step: int) -> list[int]:
        """Return the numbers of those that a step accepted, refused or let wait again."""
        return self._db.column("SELECT item FROM change WHERE what='report' AND step=?", (step,))

    def accepted_since(self, time: str) -> int:
        """Return how many were accepted after a time (ISO 8601), and still are."""
        return self._db.number(
            "SELECT count(*) FROM report r WHERE status=? AND EXISTS(SELECT 1 FROM change c "
            "JOIN step s ON s.id=c.step WHERE c.what='report' AND c.item=r.id AND s.at>?)",
            (ACCEPTED, time),
        )

    def waiting(self, after: tuple[str, int], most: int) -> list[Report]:
        """Return at most so many that wait after a place (claimed class, number).

        They are in the order of the classes that are claimed, and then of their numbers.
        """
        rows = self._db.rows(
            "SELECT * FROM report WHERE status=? AND (claimed, id)>(?,?) "
            "ORDER BY claimed, id LIMIT ?",
            (PENDING, *after, most),
        )
        return [_report(row) for row in rows]

    def of_same_face(self, report: Report) -> list[Report]:
        """Return the other reports, waiting or accepted, of the same face."""
        rows = self._db.rows(
            "SELECT * FROM report WHERE sha256=? AND id<>? AND status<>? ORDER BY claimed, id",
            (report.claim.sha256, report.id, REFUSED),
        )
        others = map(_report, rows)
        return [one for one in others if overlap(one.claim.box, report.claim.box) >= SAME_FACE]

    def pictures(self, start: str) -> list[str]:
        """Return the hashes of up to two pictures of reports, of any status, that begin so."""
        return self._db.column(
            "SELECT DISTINCT sha256 FROM report WHERE sha256>=? AND sha256<? ORDER BY 1 LIMIT 2",
            (start, start + "g"),
        )

    def uses(self, sha256: str) -> bool:
        """Return whether a report that waits is about this picture."""
        sql = "SELECT 1 FROM report WHERE sha256=? AND status=?"
        return bool(self._db.number(sql, (sha256, PENDING)))


def _report(row: Row) -> Report:
    return record_of(Report, row, claim=record_of(Claim, row, box=box_of(row)))


NEAR = 8
"""In so many bits of 64 the perceptual hashes of what may be copies differ: a person looks."""


class TakeDownWish(NamedTuple):
    """Which picture is meant, and why it should go.

    It is meant by the `page` it came from (an address), by the picture itself, of which only its
    hashes are kept (`sha256`, and the perceptual `phash`; empty and None for none), or in `words`.
    """

    page: str = ""
    sha256: str = ""
    phash: int | None = None
    words: str = ""
    reason: str = ""
    contact: str = ""


class TakeDownRequest(NamedTuple):
    """A stored wish. `status` is pending, accepted or refused."""

    id: int
    at: str
    wish: TakeDownWish
    status: str


class AlikeImage(NamedTuple):
    """An image, and in how many bits of 64 its perceptual hash differs."""

    sha256: str
    bits: int


class TakeDownRequests(VisitorTable[TakeDownRequest]):
    """The `takedown` table. Obtained by `TakeDownRequests(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        super().__init__(db, "takedown", "request", _request)

    def add(self, wish: TakeDownWish) -> bool:
        """Keep a wish; False where the very same is there already. Call inside a write."""
        texts = tuple(map(clean, (wish.page, wish.sha256, wish.words, wish.reason, wish.contact)))
        sql = "SELECT 1 FROM takedown WHERE (page,sha256,words,reason,contact)=(?,?,?,?,?)"
        if self._db.number(sql, texts):
            return False
        phash = None if wish.phash is None else signed(wish.phash)
        row: dict[str, object] = {"at": now(), "phash": phash}
        row |= zip(("page", "sha256", "words", "reason", "contact"), texts, strict=True)
        self._db.insert("takedown", row)
        return True

    def alike(self, phash: int, most: int = NEAR) -> list[AlikeImage]:
        """Return the images whose perceptual hash is that near, the nearest first."""
        rows = self._db.each("SELECT id, sha256, phash FROM image WHERE TRUE", ("id",))
        every = (
            AlikeImage(row["sha256"], (unsigned(row["phash"]) ^ phash).bit_count()) for row in rows
        )
        alike = [image for image in every if image.bits <= most]
        return sorted(alike, key=lambda image: (image.bits, image.sha256))


def _request(row: Row) -> TakeDownRequest:
    phash = None if row["phash"] is None else unsigned(row["phash"])
    return record_of(TakeDownRequest, row, wish=record_of(TakeDownWish, row, phash=phash))
