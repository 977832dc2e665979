"""Putting a snapshot back in force: one step of the journal, made of what differs from it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

from gleanset.db.changes import Change, Changes, Curation, Placement
from gleanset.db.connection import Connection, Row
from gleanset.db.journal import Journal, last_decision
from gleanset.db.snapshots import Side, differing
from gleanset.db.values import now
from gleanset.operations import operation

_CHANGED = ("split", "fold", "moment", "copies", "weight", "mark", "refused", "bond", "apart")
"""What of `STATE` is a change of the journal; the rest are decisions and placements."""
_DEFAULTS = {"copies": 1, "weight": 1.0}
_BACK = "restore"
"""The provenance of a decision that nobody is known to have made before."""


class Decided(NamedTuple):
    """A decision that puts a sample (row) back: action, class (row), and who says so."""

    sample: int
    action: str
    label: int | None
    provenance: str


class Restoring(NamedTuple):
    """All that differs from a snapshot and can be put back."""

    decisions: list[Decided]
    placements: list[Placement]
    changes: list[Change]
    plans: dict[str, str]

    @property
    def samples(self) -> int:
        """How many samples change."""
        rows = {one.sample for one in self.decisions} | {one.sample for one in self.placements}
        return len(rows | {one.item for one in self.changes if one.what in _CHANGED})


def plan_restoring(db: Connection, then: Side, present: Side) -> Restoring:
    """Return what makes the present state that of a snapshot.

    Samples that came later are left where they are as new ones: in the queue and without a split.
    """
    samples = differing(db, then, present)
    return Restoring(
        list(_decisions(db, then, samples)),
        list(_placements(db, then, samples)),
        [*_changes(db, then, present, samples), *_class_changes(then, present)],
        {
            table: text
            for table, text, held in (
                ("split_plan", then.split_plan, present.split_plan),
                ("balance_plan", then.balance_plan, present.balance_plan),
            )
            if text != held
        },
    )


def restore(db: Connection, journal: Journal, plan: Restoring, name: str) -> int | None:
    """Carry it out as one step; its number, None where there is nothing to do. Inside a write."""
    if not any(plan):
        return None
    step = journal.step(operation("restore", name=name, count=plan.samples), [])
    journal.decide(step, plan.decisions)
    Curation(db).place(step, plan.placements)
    plans = [_plan_change(db, table, text) for table, text in plan.plans.items()]
    Changes(db).make(step, [*plan.changes, *plans])
    return step


def _decisions(db: Connection, then: Side, samples: str) -> Iterator[Decided]:
    status, label = then.column("status", "a"), then.column("label", "a")
    rows = db.rows(
        f"SELECT s.id, s.status, {last_decision('action')} AS last, {status} AS back, "
        f"{label} AS label, (SELECT provenance FROM decision WHERE sample=s.id AND "
        f"step<={then.last_step} ORDER BY id DESC LIMIT 1) AS why "
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
    reason = f"SELECT reason FROM aside WHERE sample=s.id AND step<={then.last_step}"
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
    known = {one.id: one for one in then.classes}
    given = {one.name for one in then.classes}
    taken = given | {one.name for one in present.classes}
    for one in present.classes:
        back = known.get(one.id)
        # A class of later keeps its name, unless one of then has it back.
        name = back.name if back else _free(one.name, taken) if one.name in given else one.name
        into = back.merged_into if back else one.id
        show = back.show if back else one.show
        if name != one.name:
            yield Change("name", one.id, name)
        if into != one.merged_into:
            yield Change("merged", one.id, into)
        if show != one.show:
            yield Change("show", one.id, show)
        taken.add(name)


def _free(name: str, taken: set[str]) -> str:
    return next(free for n in count(2) if (free := f"{name} {n}") not in taken)


def _plan_change(db: Connection, table: str, text: str) -> Change:
    """Return what puts the settings of a split or balance back in force."""
    newest = f"SELECT max(id) FROM {table}"
    if not (number := db.number(newest)):
        number = db.run(f"INSERT INTO {table}(settings, at) VALUES('', ?)", (now(),))
    return Change(table.replace("_", " "), number, text)
