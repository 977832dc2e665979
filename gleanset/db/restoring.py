"""Putting a snapshot back in force: one step of the journal, in several transactions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import NamedTuple

from gleanset.db.changes import OF_CLASSES, OF_SAMPLES, Change, Changes, Curation, Placement
from gleanset.db.connection import Connection, Row
from gleanset.db.journal import MERGED, Journal, last_decision
from gleanset.db.rows import load, now
from gleanset.db.snapshots import Side, among, differing
from gleanset.errors import UsageError
from gleanset.operations import operation

_CHANGED = ("split", "fold", "moment", "copies", "weight", "mark", "refused", "bond", "apart")
"""What of `STATE` is a change of the journal; the rest are decisions and placements."""
_DEFAULTS = {"copies": 1, "weight": 1.0}
PART = 500
"""So many samples are put back in one transaction, some hundredths of a second long."""
BEGUN = "restore-begun"
"""The operation of a restore that is under way, or was cut short."""
_BACK = "restore"
"""The provenance of a decision that nobody is known to have made before."""


class Decided(NamedTuple):
    """A decision that puts a sample (row) back: action, class (row), and who says so."""

    sample: int
    action: str
    label: int | None
    provenance: str


class Restoring:
    """A snapshot put back in force: one step of the journal, in parts of some hundred samples.

    Each part is a transaction of its own, so that a window can decide between two. What is decided
    after the step was begun stays. One that was cut short is gone on with under its number.
    """

    def __init__(self, db: Connection, journal: Journal, then: Side) -> None:
        self._db = db
        self._journal = journal
        self._then = then
        self._step = cut_short(db).get(then.name, 0)

    def begin(self, present: Side) -> bool:
        """Write the step down, with the classes that are wanted. Return whether anything differs.

        A class of later is hidden at the end, when no sample has it any more.
        """
        if self._step:
            return True
        differs = any(any(self._found(present, some)) for some in self._parts(present))
        changes = list(_class_changes(self._then, present))
        if not (differs or changes or self._plans(present)):
            return False
        with self._db.write():
            begun = operation(BEGUN, name=self._then.name)
            self._step = self._journal.step(begun, [])
            Changes(self._db).make(self._step, [one for one in changes if not _hides(one)])
        return True

    def carry_out(self, present: Side) -> None:
        """Restore the samples, part by part, until none of them differs."""
        changed = True
        while changed:
            changed = False
            for some in self._parts(present):
                found = self._found(present, some)
                with self._db.write():
                    self._refuse_undone()
                    changed |= self._restored(*found)

    def end(self, present: Side) -> int:
        """Hide what nobody uses, put plans in force, name the step; how many samples changed."""
        done = self._journal.samples_of(self._step)
        with self._db.write():
            self._refuse_undone()
            late = self._late("item", "change", OF_CLASSES)
            hidden = [
                one
                for one in _class_changes(self._then, present)
                if one.item not in late and not (_hides(one) and self._has_samples(one.item))
            ]
            plans = [_plan_change(self._db, *plan) for plan in self._plans(present).items()]
            Changes(self._db).make(self._step, [*hidden, *plans])
            self._journal.rename(self._step, operation("restore", name=self._then.name, count=done))
        return done

    def _parts(self, present: Side) -> Iterator[list[int]]:
        """Yield the samples (rows) that differ, some at a time."""
        differing(self._db, self._then, present)
        rows = self._db.column("SELECT sample FROM temp.differing ORDER BY sample")
        for start in range(0, len(rows), PART):
            yield rows[start : start + PART]

    def _decided_since(self) -> set[int]:
        """Return the samples (rows) that steps after this one have changed."""
        decided = self._late("sample", "decision") | self._late("sample", "placement")
        return decided | self._late("item", "change", OF_SAMPLES)

    def _late(self, column: str, table: str, what: str = "") -> set[int]:
        """Return what steps after this one have changed."""
        chosen = f"AND what IN {what}" if what else ""
        # No DISTINCT: for that SQLite would read all rows in another order.
        sql = f"SELECT {column} FROM {table} WHERE step>? {chosen}"
        return set(self._db.column(sql, (self._step,)))

    def _refuse_undone(self) -> None:
        if self._db.number("SELECT 1 FROM step WHERE undoes=?", (self._step,)):
            raise UsageError(
                "this restore was undone while it was under way", "give the command again"
            )

    def _restored(
        self, decisions: list[Decided], placements: list[Placement], changes: list[Change]
    ) -> bool:
        """Put samples back, as a part of the step; whether there was anything to do."""
        late = self._decided_since()
        decisions = [one for one in decisions if one.sample not in late]
        placements = [one for one in placements if one.sample not in late]
        changes = [one for one in changes if one.item not in late]
        self._journal.decide(self._step, decisions)
        Curation(self._db).place(self._step, placements)
        Changes(self._db).make(self._step, changes)
        return bool(decisions or placements or changes)

    def _found(
        self, present: Side, some: Sequence[int]
    ) -> tuple[list[Decided], list[Placement], list[Change]]:
        """Return what puts these samples back."""
        samples = among(self._then, present, some)
        return (
            list(_decisions(self._db, self._then, samples)),
            list(_placements(self._db, self._then, samples)),
            list(_changes(self._db, self._then, present, samples)),
        )

    def _has_samples(self, label: int) -> bool:
        return bool(self._db.number("SELECT 1 FROM sample WHERE label=?", (label,)))

    def _plans(self, present: Side) -> dict[str, str]:
        """Return the settings of split and balance that differ."""
        then = self._then
        both = {
            "split_plan": (then.split_plan, present.split_plan),
            "balance_plan": (then.balance_plan, present.balance_plan),
        }
        return {table: text for table, (text, held) in both.items() if text != held}


def cut_short(db: Connection) -> dict[str, int]:
    """Return the restores that were begun and neither ended nor undone: their steps, by snapshot.

    One that is under way is among them.
    """
    rows = db.rows(
        "SELECT id, arguments FROM step WHERE kind=? AND NOT merged AND id NOT IN "
        "(SELECT undoes FROM step WHERE undoes IS NOT NULL) ORDER BY id",
        (BEGUN,),
    )
    return {load(row["arguments"])["name"]: row["id"] for row in rows}


def _hides(change: Change) -> bool:
    return change.what == "merged" and change.after is not None


def _decisions(db: Connection, then: Side, samples: str) -> Iterator[Decided]:
    status, label = then.column("status", "a"), then.column("label", "a")
    provenance = (
        f"SELECT provenance FROM decision WHERE sample=s.id AND step<={then.last_step} "
        f"AND provenance NOT IN ('undo','{MERGED}')"
    )
    rows = db.rows(
        f"SELECT s.id, s.status, {last_decision('action')} AS last, {status} AS back, "
        f"{label} AS label, ifnull(({provenance} AND value IS {label} ORDER BY id DESC LIMIT 1), "
        f"({provenance} ORDER BY id DESC LIMIT 1)) AS why "
        f"{samples} WHERE (s.status, s.label) IS NOT ({status}, {label})"
    )
    for row in rows:
        if (action := _action(row)) is not None:
            yield Decided(row["id"], action, row["label"], row["why"] or _BACK)


def _action(row: Row) -> str | None:
    """Return the action that puts a sample back; None where only searches have changed it."""
    back, last = row["back"] or "queue", row["last"]
    if back in ("labelled", "rejected"):
        return "label" if back == "labelled" else "reject"
    undecided = row["status"] in ("queue", "retired")
    if row["back"] is None:
        return None if undecided else "clear"
    if back == "queue":
        return "clear" if not undecided else "add" if last == "remove" else None
    return "remove" if not undecided or last == "add" else None


def _placements(db: Connection, then: Side, samples: str) -> Iterator[Placement]:
    kept, group = f"ifnull({then.column('kept', 'a')}, 1)", then.column("grp", "a")
    reason = f"SELECT reason FROM placement WHERE sample=s.id AND step<={then.last_step}"
    for row in db.rows(
        f"SELECT s.id, {kept}, {group}, ({reason} ORDER BY id DESC LIMIT 1) "
        f"{samples} WHERE (s.kept, s.grp) IS NOT ({kept}, {group})"
    ):
        yield Placement(row[0], bool(row[1]), row[2], row[3] or _BACK)


def _changes(db: Connection, then: Side, present: Side, samples: str) -> Iterator[Change]:
    for name in _CHANGED:
        back, held = then.column(name, "a"), present.column(name, "b")
        told = f"iif({back}='=', s.key, {back})" if name == "moment" else back
        for row in db.rows(f"SELECT s.id, {told} {samples} WHERE {held} IS NOT {back}"):
            yield Change(name, row[0], _DEFAULTS.get(name) if row[1] is None else row[1])


def _class_changes(then: Side, present: Side) -> Iterator[Change]:
    """Yield what gives classes their names, shows and places again, and hides those of later."""
    known = {old.id: old for old in then.classes}
    names_then = {old.name for old in then.classes}
    taken = names_then | {held.name for held in present.classes}
    for held in present.classes:
        back = known.get(held.id)
        if back:
            name, into, show = back.name, back.merged_into, back.show
        else:
            # A class of later keeps its name, unless one of then has it back.
            name = _free(held.name, taken) if held.name in names_then else held.name
            into, show = held.id, held.show
        if name != held.name:
            yield Change("name", held.id, name)
        if into != held.merged_into:
            yield Change("merged", held.id, into)
        if show != held.show:
            yield Change("show", held.id, show)
        taken.add(name)


def _free(name: str, taken: set[str]) -> str:
    return next(free for n in count(2) if (free := f"{name} {n}") not in taken)


def _plan_change(db: Connection, table: str, text: str) -> Change:
    """Return what puts the settings of a split or balance back in force."""
    newest = f"SELECT max(id) FROM {table}"
    if not (number := db.number(newest)):
        number = db.insert(table, {"settings": "", "at": now()})
    return Change(table.replace("_", " "), number, text)
