"""What visitors of the page sent: reports of wrong answers, and requests to take a picture down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gleanset.db.changes import Change, Changes
from gleanset.db.connection import Connection, Row
from gleanset.db.values import clean, now, signed, unsigned
from gleanset.records import Box

STATUSES = PENDING, ACCEPTED, REFUSED = "pending", "accepted", "refused"


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


class Reports:
    """The `report` table. Obtained by `Reports(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def add(self, claim: Claim) -> bool:
        """Keep a claim; False where the same one is there already. Call inside a write."""
        if self._db.number(
            "SELECT 1 FROM report WHERE sha256=? AND (x,y,w,h)=(?,?,?,?) AND claimed=?",
            (claim.sha256, *claim.box, claim.claimed),
        ):
            return False
        self._db.run(
            "INSERT INTO report(at,sha256,format,x,y,w,h,claimed,run,answer,confidence,note) "
            "VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                now(),
                claim.sha256,
                claim.format,
                *claim.box,
                claim.claimed,
                claim.run,
                claim.answer,
                claim.confidence,
                clean(claim.note),
            ),
        )
        return True

    def count(self, status: str = PENDING) -> int:
        """Return how many there are."""
        return self._db.number("SELECT count(*) FROM report WHERE status=?", (status,))

    def accepted_since(self, time: str) -> int:
        """Return how many were accepted after a time (ISO 8601), and still are."""
        return self._db.number(
            "SELECT count(*) FROM report r WHERE status=? AND EXISTS(SELECT 1 FROM change c "
            "JOIN step s ON s.id=c.step WHERE c.what='report' AND c.item=r.id AND s.at>?)",
            (ACCEPTED, time),
        )

    def get(self, number: int) -> Report | None:
        """Return one of them."""
        row = self._db.one("SELECT * FROM report WHERE id=?", (number,))
        return None if row is None else _report(row)

    def each(self, status: str = PENDING) -> Iterator[Report]:
        """Yield them, the oldest first, a page in memory at a time."""
        pages = self._db.pages("SELECT * FROM report WHERE status=?", ("id",), (status,))
        return (_report(row) for rows in pages for row in rows)

    def waiting(self, beside: tuple[str, int], most: int, *, before: bool = False) -> list[Report]:
        """Return at most so many that wait after a place (claimed class, number), or before it.

        They are in the order of the classes that are claimed, and then of their numbers.
        """
        side, turn = ("<", "DESC") if before else (">", "ASC")
        rows = self._db.rows(
            f"SELECT * FROM report WHERE status=? AND (claimed, id){side}(?,?) "
            f"ORDER BY claimed {turn}, id {turn} LIMIT ?",
            (PENDING, *beside, most),
        )
        return [_report(row) for row in (rows[::-1] if before else rows)]

    def rivals(self, report: Report) -> list[Report]:
        """Return the reports, waiting or accepted, that claim another class of the same face."""
        rows = self._db.rows(
            "SELECT * FROM report WHERE sha256=? AND claimed<>? AND status<>? ORDER BY claimed, id",
            (report.claim.sha256, report.claim.claimed, REFUSED),
        )
        others = map(_report, rows)
        return [one for one in others if _overlap(one.claim.box, report.claim.box) >= SAME_FACE]

    def pictures(self, start: str) -> list[str]:
        """Return the hashes of up to two pictures of reports, whatever became of these, that begin
        so.
        """
        rows = self._db.rows(
            "SELECT DISTINCT sha256 FROM report WHERE sha256>=? AND sha256<? ORDER BY 1 LIMIT 2",
            (start, start + "g"),
        )
        return [row["sha256"] for row in rows]

    def uses(self, sha256: str) -> bool:
        """Return whether a report that waits is about this picture."""
        return bool(
            self._db.number("SELECT 1 FROM report WHERE sha256=? AND status=?", (sha256, PENDING))
        )

    def settle(self, step: int, numbers: Iterable[int], status: str) -> None:
        """Accept or refuse reports as a part of a step. Call inside a write."""
        Changes(self._db).make(step, [Change("report", number, status) for number in numbers])


def _overlap(one: Box, other: Box) -> float:
    """Return the intersection over union of two boxes."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    both = max(0, width) * max(0, height)
    return both / (one.width * one.height + other.width * other.height - both)


def _report(row: Row) -> Report:
    claim = Claim(
        row["sha256"],
        row["format"],
        Box(row["x"], row["y"], row["w"], row["h"]),
        row["claimed"],
        row["run"],
        row["answer"],
        row["confidence"],
        row["note"],
    )
    return Report(row["id"], row["at"], claim, row["status"])


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


class TakeDownRequests:
    """The `takedown` table. Obtained by `TakeDownRequests(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def add(self, wish: TakeDownWish) -> bool:
        """Keep a wish; False where the very same is there already. Call inside a write."""
        texts = (wish.page, wish.sha256, wish.words, wish.reason, wish.contact)
        told = tuple(map(clean, texts))
        if self._db.number(
            "SELECT 1 FROM takedown WHERE (page,sha256,words,reason,contact)=(?,?,?,?,?)", told
        ):
            return False
        phash = None if wish.phash is None else signed(wish.phash)
        self._db.run(
            "INSERT INTO takedown(at,phash,page,sha256,words,reason,contact) VALUES(?,?,?,?,?,?,?)",
            (now(), phash, *told),
        )
        return True

    def count(self, status: str = PENDING) -> int:
        """Return how many there are."""
        return self._db.number("SELECT count(*) FROM takedown WHERE status=?", (status,))

    def get(self, number: int) -> TakeDownRequest | None:
        """Return one of them."""
        row = self._db.one("SELECT * FROM takedown WHERE id=?", (number,))
        return None if row is None else _request(row)

    def each(self, status: str = PENDING) -> Iterator[TakeDownRequest]:
        """Yield them, the oldest first, a page in memory at a time."""
        pages = self._db.pages("SELECT * FROM takedown WHERE status=?", ("id",), (status,))
        return (_request(row) for rows in pages for row in rows)

    def settle(self, step: int, numbers: Iterable[int], status: str) -> None:
        """Accept or refuse requests as a part of a step. Call inside a write."""
        Changes(self._db).make(step, [Change("takedown", number, status) for number in numbers])

    def alike(self, phash: int, most: int = NEAR) -> list[AlikeImage]:
        """Return the images whose perceptual hash is that near, the nearest first."""
        found = []
        for rows in self._db.pages("SELECT id, sha256, phash FROM image WHERE TRUE", ("id",)):
            for row in rows:
                bits = (unsigned(row["phash"]) ^ phash).bit_count()
                if bits <= most:
                    found.append(AlikeImage(row["sha256"], bits))
        return sorted(found, key=lambda one: (one.bits, one.sha256))


def _request(row: Row) -> TakeDownRequest:
    phash = None if row["phash"] is None else unsigned(row["phash"])
    wish = TakeDownWish(
        row["page"], row["sha256"], phash, row["words"], row["reason"], row["contact"]
    )
    return TakeDownRequest(row["id"], row["at"], wish, row["status"])
