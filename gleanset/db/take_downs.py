"""Requests to take a picture down, as visitors of the page sent them: they wait for a person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gleanset.db.changes import Change, Changes
from gleanset.db.connection import Connection, Row
from gleanset.db.reports import PENDING
from gleanset.db.values import clean, now, signed, unsigned

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
