"""What differs between two snapshots, or between one and the dataset as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from gleanset.db.connection import Connection
from gleanset.db.snapshots import ClassState, Side, differing

QUEUE, RETIRED, REJECTED = "queue", "retired", "rejected"
NEW = "new"
"""Where a sample was that was not there yet."""
KEPT, ASIDE = "kept", "set aside"
_NO_SPLIT = "none"


class Move(NamedTuple):
    """So many samples went from one class, split or place to another."""

    origin: str
    target: str
    samples: int


class MovedSample(NamedTuple):
    """A sample (its key) that went from one to another."""

    sample: str
    origin: str
    target: str


class Moves(NamedTuple):
    """What went where, the most first, and some of the samples by key."""

    moves: list[Move]
    samples: list[MovedSample]

    @property
    def total(self) -> int:
        """How many samples there are in all."""
        return sum(move.samples for move in self.moves)


class Pictures(NamedTuple):
    """How many images came, went out of sight and were forgotten, and some of their hashes."""

    added: int
    removed: int
    forgotten: int
    some_added: list[str]
    some_removed: list[str]


class SnapshotDifferences:
    """Read only. `limit` is how many samples and images each list has at most."""

    def __init__(self, db: Connection, a: Side, b: Side, limit: int) -> None:
        self._db, self._a, self._b, self._limit = db, a, b, limit
        self._differing = differing(db, a, b)

    def pictures(self) -> Pictures:
        """Return which images one side has and the other has not."""
        low, high = sorted((self._a.last_image, self._b.last_image))
        between = "FROM image WHERE id>? AND id<=?"
        number = self._db.number(f"SELECT count(*) {between}", (low, high))
        rows = self._db.rows(
            f"SELECT sha256 {between} ORDER BY sha256 LIMIT ?", (low, high, self._limit)
        )
        some = [row[0] for row in rows]
        left = self._db.number("SELECT count(*) FROM image WHERE id<=?", (self._a.last_image,))
        forgotten = self._a.images - left
        if self._a.last_image <= self._b.last_image:
            return Pictures(number, 0, forgotten, some, [])
        return Pictures(0, number, forgotten, [], some)

    def labels(self) -> Moves:
        """Return how labels differ; a class counts as the same whatever it is called."""
        names = [{one.id: one.name for one in side.classes} for side in (self._a, self._b)]

        def told(side: int, value: str | int | None) -> str:
            if isinstance(value, int):
                return names[side].get(value, str(value))
            return value or NEW

        def state(side: Side, alias: str) -> str:
            status, label = side.column("status", alias), side.column("label", alias)
            return f"iif({status}='labelled', {label}, {status})"

        return self._moves(state, told)

    def splits(self) -> Moves:
        """Return how splits and folds differ."""

        def state(side: Side, alias: str) -> str:
            split, fold = side.column("split", alias), side.column("fold", alias)
            return f"{split} || ifnull(' of fold ' || {fold}, '')"

        return self._moves(state, lambda _, value: _NO_SPLIT if value is None else str(value))

    def copies(self) -> Moves:
        """Return which samples were set aside as copies, or taken back."""
        return self._moves(
            lambda side, alias: f"ifnull({side.column('kept', alias)}, 1)",
            lambda _, value: KEPT if value else ASIDE,
        )

    def others(self) -> dict[str, int]:
        """Return how many samples differ in other things that are kept of them."""
        found = {
            "groups of copies": self._count("grp"),
            "moments": self._count("moment"),
            "balance": self._count("copies", "weight"),
            "marks": self._count("mark", "refused", "bond", "apart"),
        }
        return {name: number for name, number in found.items() if number}

    def _count(self, *columns: str) -> int:
        a, b = (
            f"({', '.join(side.column(name, alias) for name in columns)})"
            for side, alias in ((self._a, "a"), (self._b, "b"))
        )
        return self._db.number(f"SELECT count(*) {self._differing} WHERE {a} IS NOT {b}")

    def _moves(
        self,
        state: Callable[[Side, str], str],
        told: Callable[[int, str | int | None], str],
    ) -> Moves:
        a, b = state(self._a, "a"), state(self._b, "b")
        rest = f"{self._differing} WHERE ({a}) IS NOT ({b})"
        counts = self._db.rows(
            f"SELECT {a} AS x, {b} AS y, count(*) {rest} GROUP BY 1, 2 ORDER BY 3 DESC"
        )
        rows = self._db.rows(
            f"SELECT s.key, {a}, {b} {rest} ORDER BY ({a}) IS NULL, s.key LIMIT ?", (self._limit,)
        )
        moves = [Move(told(0, row[0]), told(1, row[1]), row[2]) for row in counts]
        return Moves(
            sorted(moves, key=lambda move: (-move.samples, move)),
            [MovedSample(row[0], told(0, row[1]), told(1, row[2])) for row in rows],
        )


def class_differences(a: Side, b: Side) -> list[str]:
    """Return in words how the classes differ, by the order in which they were made."""
    return list(_class_lines({one.id: one for one in a.classes}, {o.id: o for o in b.classes}))


def _class_lines(a: dict[int, ClassState], b: dict[int, ClassState]) -> Iterator[str]:
    for number in sorted(a.keys() | b.keys()):
        old, new = a.get(number), b.get(number)
        was, there = old is not None and old.in_use, new is not None and new.in_use
        if new is not None and there and not was:
            yield f"{new.name} is new"
        elif old is not None and was and not there:
            into = b.get(new.merged_into or number) if new else None
            merged = f"was merged into {into.name}" if into and into.id != number else "is gone"
            yield f"{old.name} {merged}"
        elif old is not None and new is not None and was:
            if old.name != new.name:
                yield f"{old.name} is called {new.name}"
            if old.show != new.show:
                yield f"{new.name} is of {new.show or 'no show'}"
        elif (one := _stands_for(a, number)) != (other := _stands_for(b, number)):
            name = (b.get(number) or a[number]).name
            yield f"{name} stands for {other}" if other else f"{name} stands for {one} no more"


def _stands_for(classes: dict[int, ClassState], number: int) -> str | None:
    """Return the class whose other name this one is; None for a hidden one and one of its own."""
    own = classes.get(number)
    into = classes.get(own.merged_into or number) if own else None
    return into.name if into and into.id != number else None
