"""Snapshots: what was decided about the samples at some time, and what differs between two.

Images and samples are only ever added (but for take-downs), and files are named by their content,
so a snapshot copies neither. It keeps which of them there were, and the state of each sample, of
which only those rows are new that differ from the snapshot before.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gleanset.config import did_you_mean
from gleanset.db.connection import Connection, Row
from gleanset.db.rows import clean, dump, load, now, record_of, values_of
from gleanset.db.samples import newest_plan
from gleanset.errors import UsageError
from gleanset.records import SPLITS, Snapshot

NOW = "now"
"""What the present state is called where a snapshot may be named."""


STATE: Mapping[str, str] = {
    "status": "s.status",
    "label": "s.label",
    "kept": "s.kept",
    "grp": "s.grp",
    "moment": "iif(s.moment=s.key, '=', s.moment)",
    "split": "s.split",
    "fold": "s.fold",
    "copies": "nullif(w.copies, 1)",
    "weight": "nullif(w.weight, 1.0)",
    "mark": "m.mark",
    "refused": "m.refused",
    "bond": "m.bond",
    "apart": "m.apart",
}
"""SQL for what is kept of a sample `s` with its row `w` of `balance` and `m` of `sorting_note`."""


_COLUMNS = ", ".join(STATE)


_PRESENT = "sample s LEFT JOIN balance w ON w.sample=s.id LEFT JOIN sorting_note m ON m.sample=s.id"


class ClassState(NamedTuple):
    """A class (row) as a snapshot keeps it."""

    id: int
    name: str
    show: str | None
    merged_into: int | None

    @property
    def in_use(self) -> bool:
        """Whether it is neither hidden nor merged into another one."""
        return self.merged_into is None


class Side(NamedTuple):
    """One of the two that are compared: a snapshot, or the dataset as it is (`id` is None).

    `images` is how many there were when it was made. `last_image` and `last_step` are the newest
    rows then. `settings` is the text of `dataset.toml`, the plans are those in force.
    """

    id: int | None
    name: str
    at: str
    images: int
    last_image: int
    last_step: int
    classes: tuple[ClassState, ...]
    settings: str
    split_plan: str
    balance_plan: str

    def joined(self, alias: str) -> str:
        """Return SQL that puts the state of a sample `s` in it beside that, as `alias`."""
        if self.id is None:
            return ""
        return (
            f" LEFT JOIN snapshot_sample {alias} ON {alias}.sample=s.id AND "
            f"{alias}.since<={self.id} "
            f"AND ({alias}.until IS NULL OR {alias}.until>{self.id})"
        )

    def column(self, name: str, alias: str) -> str:
        """Return SQL for a column of `STATE`; NULL for a sample that was not there."""
        return STATE[name] if self.id is None else f"{alias}.{name}"

    def there(self, alias: str) -> str:
        """Return SQL for whether a sample was there."""
        return "1" if self.id is None else f"{alias}.sample IS NOT NULL"

    def decided(self, alias: str) -> str:
        """Return SQL for all of `STATE` of a sample, as a row of values.

        One that came later is as one that nobody has decided on; whether a search still finds a
        face that nobody has decided on does not count.
        """
        status = f"replace(ifnull({self.column('status', alias)}, 'queue'), 'retired', 'queue')"
        kept = f"ifnull({self.column('kept', alias)}, 1)"
        rest = (self.column(name, alias) for name in STATE if name not in ("status", "kept"))
        return f"({', '.join((status, kept, *rest))})"


def compared(a: Side, b: Side) -> str:
    """Return SQL for all samples with their states on two sides, `a` and `b`: a FROM clause."""
    return f"FROM {_PRESENT}{a.joined('a')}{b.joined('b')}"


def differing(db: Connection, a: Side, b: Side) -> str:
    """Return SQL as `compared`, for the samples alone that differ in anything.

    Which these are is looked up once and kept on this connection, until it is asked again.
    """
    states = (
        f"({', '.join(side.column(name, alias) for name in STATE)})"
        for side, alias in ((a, "a"), (b, "b"))
    )
    # Outside a write: a table of this connection alone needs no lock on the catalogue.
    db.run("CREATE TEMP TABLE IF NOT EXISTS differing(sample INTEGER PRIMARY KEY)")
    db.run("DELETE FROM temp.differing")
    db.run(
        f"INSERT INTO temp.differing SELECT s.id {compared(a, b)} WHERE {' IS NOT '.join(states)}"
    )
    present = _PRESENT.replace("sample s", "temp.differing d CROSS JOIN sample s ON s.id=d.sample")
    return f"FROM {present}{a.joined('a')}{b.joined('b')}"


def among(a: Side, b: Side, samples: Sequence[int]) -> str:
    """Return SQL as `compared`, for some samples (rows) alone."""
    some = f"json_each('{list(samples)}') d CROSS JOIN sample s ON s.id=d.value"
    return f"FROM {_PRESENT.replace('sample s', some)}{a.joined('a')}{b.joined('b')}"


class Snapshots:
    """The `snapshot` and `snapshot_sample` tables. Obtained by `Snapshots(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def take(self, name: str, note: str, who: str, settings: str) -> Snapshot:
        """Keep the present state under a name, whole or not at all. `settings` is the text of
        `dataset.toml`.

        Raises `UsageError` for a name that is taken.
        """
        with self._db.write():
            if self._db.number("SELECT id FROM snapshot WHERE name=?", (name,)):
                raise UsageError(
                    f"there is a snapshot {name!r} already",
                    f"take another name, or remove it: gleanset snapshot --remove {name}",
                )
            there = self.present(settings)
            row = values_of(there, name=name, at=now(), classes=dump(there.classes))
            del row["id"], row["images"]
            row |= {"who": who, "note": clean(note), "counts": dump(self._counts())}
            self._write_states(self._db.insert("snapshot", row))
        return self.get(name)

    def _write_states(self, number: int) -> None:
        """Close the rows that hold no longer, and write those that have no open one."""
        state = ", ".join(f"{sql} AS {name}" for name, sql in STATE.items())
        held = ", ".join(f"snapshot_sample.{name}" for name in STATE)
        present = ", ".join(f"p.{name}" for name in STATE)
        self._db.run(
            f"UPDATE snapshot_sample SET until=? FROM (SELECT s.id, {state} FROM {_PRESENT}) p "
            f"WHERE "
            f"snapshot_sample.sample=p.id AND until IS NULL AND ({held}) IS NOT ({present})",
            (number,),
        )
        self._db.run(
            f"INSERT INTO snapshot_sample(sample, since, {_COLUMNS}) SELECT s.id, ?, "
            f"{', '.join(STATE.values())} FROM {_PRESENT} WHERE NOT EXISTS(SELECT 1 FROM "
            f"snapshot_sample o "
            "WHERE o.sample=s.id AND o.until IS NULL) ORDER BY s.id",
            (number,),
        )

    def _counts(self) -> dict[str, int]:
        counts = {
            "images": "SELECT count(*) FROM image",
            "samples": "SELECT count(*) FROM sample WHERE status<>'retired'",
            "labelled": "SELECT count(*) FROM sample WHERE status='labelled'",
            "rejected": "SELECT count(*) FROM sample WHERE status='rejected'",
            "classes": "SELECT count(*) FROM class WHERE merged_into IS NULL",
        }
        for split in SPLITS:
            counts[split] = (
                f"SELECT count(*) FROM sample WHERE split='{split}' AND status='labelled' AND kept"
            )
        return {name: self._db.number(sql) for name, sql in counts.items()}

    def remove(self, name: str) -> None:
        """Remove a snapshot and the states that no other one has. Raises `UsageError`."""
        with self._db.write():
            self._db.run("DELETE FROM snapshot WHERE id=?", (self.side(name).id,))
            self._db.run(
                "DELETE FROM snapshot_sample WHERE NOT EXISTS(SELECT 1 FROM snapshot WHERE "
                "id>=since AND "
                "(until IS NULL OR id<until))"
            )

    def get(self, name: str) -> Snapshot:
        """Return one of them. Raises `UsageError`."""
        return _snapshot(self._row(name))

    def each(self) -> Iterator[Snapshot]:
        """Yield all snapshots, the oldest first."""
        yield from map(_snapshot, self._db.rows("SELECT * FROM snapshot ORDER BY id"))

    def newest_first(self) -> Iterator[Side]:
        """Yield all snapshots, the newest first."""
        yield from map(_side, self._db.rows("SELECT * FROM snapshot ORDER BY id DESC"))

    def side(self, name: str) -> Side:
        """Return a snapshot to be compared. Raises `UsageError`."""
        return _side(self._row(name))

    def _row(self, name: str) -> Row:
        row = self._db.first("SELECT * FROM snapshot WHERE name=?", (name,))
        if row is None:
            known = self._db.column("SELECT name FROM snapshot ORDER BY id")
            listed = "see: gleanset snapshot" if known else "make one: gleanset snapshot NAME"
            raise UsageError(
                f"there is no snapshot {name!r} of this dataset",
                f"{did_you_mean(name, known)}{listed}",
            )
        return row

    def present(self, settings: str) -> Side:
        """Return the dataset as it is, to be compared; `settings` is the text of its file."""
        classes = self._db.rows("SELECT id, name, show, merged_into FROM class ORDER BY id")
        return Side(
            None,
            NOW,
            "",
            self._db.number("SELECT count(*) FROM image"),
            self._db.number("SELECT max(id) FROM image"),
            self._db.number("SELECT max(id) FROM step"),
            tuple(ClassState(*row) for row in classes),
            settings,
            newest_plan(self._db, "split_plan"),
            newest_plan(self._db, "balance_plan"),
        )

    def changed(self, a: Side, b: Side) -> int:
        """Return how many samples were decided otherwise on one of two sides."""
        return self._db.number(
            f"SELECT count(*) {compared(a, b)} WHERE {a.decided('a')} IS NOT {b.decided('b')}"
        )


def snapshot_name(text: str) -> str:
    """Return the name of a snapshot in its one spelling (NFC). Raises `UsageError` for no name."""
    name = unicodedata.normalize("NFC", text)
    if re.fullmatch(r"\w[\w.-]{0,63}", name) and name.lower() != NOW:
        return name
    tidy = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:64]
    fits = bool(tidy) and tidy.lower() != NOW
    raise UsageError(
        f"{text!r} cannot be the name of a snapshot",
        "use up to 64 letters, digits, dots and hyphens"
        + (f", such as {tidy}" if fits else f", and not {NOW!r}"),
    )


def _snapshot(row: Row) -> Snapshot:
    return record_of(Snapshot, row, **load(row["counts"]))


def _side(row: Row) -> Side:
    classes = tuple(ClassState(*state) for state in load(row["classes"]))
    return record_of(Side, row, images=load(row["counts"])["images"], classes=classes)


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
        some = self._db.column(
            f"SELECT sha256 {between} ORDER BY sha256 LIMIT ?", (low, high, self._limit)
        )
        left = self._db.number("SELECT count(*) FROM image WHERE id<=?", (self._a.last_image,))
        forgotten = self._a.images - left
        if self._a.last_image <= self._b.last_image:
            return Pictures(number, 0, forgotten, some, [])
        return Pictures(0, number, forgotten, [], some)

    def labels(self) -> Moves:
        """Return how labels differ; a class counts as the same whatever it is called."""
        names = [{one.id: one.name for one in side.classes} for side in (self._a, self._b)]

        def in_words(side: int, value: str | int | None) -> str:
            if isinstance(value, int):
                return names[side].get(value, str(value))
            return value or NEW

        def state(side: Side, alias: str) -> str:
            status, label = side.column("status", alias), side.column("label", alias)
            return f"iif({status}='labelled', {label}, {status})"

        return self._moves(state, in_words)

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
        numbers = {
            "groups of copies": self._count("grp"),
            "moments": self._count("moment"),
            "balance": self._count("copies", "weight"),
            "marks": self._count("mark", "refused", "bond", "apart"),
        }
        return {name: number for name, number in numbers.items() if number}

    def _count(self, *columns: str) -> int:
        a, b = (
            f"({', '.join(side.column(name, alias) for name in columns)})"
            for side, alias in ((self._a, "a"), (self._b, "b"))
        )
        return self._db.number(f"SELECT count(*) {self._differing} WHERE {a} IS NOT {b}")

    def _moves(
        self,
        state: Callable[[Side, str], str],
        in_words: Callable[[int, str | int | None], str],
    ) -> Moves:
        a, b = state(self._a, "a"), state(self._b, "b")
        rest = f"{self._differing} WHERE ({a}) IS NOT ({b})"
        counts = self._db.rows(
            f"SELECT {a} AS x, {b} AS y, count(*) {rest} GROUP BY 1, 2 ORDER BY 3 DESC"
        )
        rows = self._db.rows(
            f"SELECT s.key, {a}, {b} {rest} ORDER BY ({a}) IS NULL, s.key LIMIT ?", (self._limit,)
        )
        moves = [Move(in_words(0, row[0]), in_words(1, row[1]), row[2]) for row in counts]
        return Moves(
            sorted(moves, key=lambda move: (-move.samples, move)),
            [MovedSample(row[0], in_words(0, row[1]), in_words(1, row[2])) for row in rows],
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
