"""Journal of decisions: steps are never rewritten; an undo appends a step.

Undoing an undo is a redo, and every step of every session can be undone, without limit and across
restarts. The provenance of a label is read from the journal: an undo restores the provenance from
before the undone step, and a merge of classes keeps it.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from gleanset.db.classes import (
    SAMPLE_CHANGE_KINDS,
    Changes,
    LabelClasses,
    Placements,
    step_chains_sql,
)
from gleanset.db.connection import Connection, Row
from gleanset.db.rows import dump, now, record_from_row
from gleanset.errors import UsageError
from gleanset.operations import (
    AUTOMATIC,
    NAMED,
    UNDO,
    Operation,
    make_operation,
    make_undo,
)
from gleanset.platform import get_user_name
from gleanset.records import Decision

MODEL = "model"
"""Provenance of a label proposed by a model and accepted unseen."""

PAGE_USER = "visitor"
"""Provenance of a label claimed by a user of the web page and accepted unseen."""

IMPORT = "import"
"""Provenance of imported labels."""

HINT = "hint"
"""Provenance of a weak label that was accepted as it is."""

TOGETHER = "with page"
"""Provenance of labels given to all samples of a cluster or a page at once."""

SECOND = "second"
"""Provenance of a second opinion, given without a look at the first: it changes no label."""

REVIEW = "review"
"""Provenance of a decision made in a review."""

MERGE = "merge"
"""Provenance of decisions made by merging classes: no person looked at the samples again."""


def add_step(
    db: Connection, at: str, user: str, operation: Operation, undoes: int | None = None
) -> int:
    """Append a step and return its number. Call inside a transaction."""
    return db.insert(
        "step",
        {
            "at": at,
            "user": user,
            "undoes": undoes,
            "kind": operation.kind,
            "arguments": dump(operation.arguments),
            **db.step_columns,
        },
    )


def operation_from_row(row: Row) -> Operation:
    """Return the operation of a row with `kind` and `arguments`."""
    return Operation(row["kind"], json.loads(row["arguments"]))


def last_decision_sql(column: str) -> str:
    """Return SQL for a column of a sample `s`'s last decision."""
    return f"""
        (
            SELECT {column}
            FROM decision
            WHERE sample=s.id AND provenance<>'{SECOND}'
            ORDER BY id DESC
            LIMIT 1
        )
        """


class SampleState(StrEnum):
    """What a sample is, as far as steps change it."""

    LABELLED = "labelled"
    UNSPLIT = "unsplit"
    """Labelled, and without a split although the dataset is split."""
    QUEUE = "queue"
    REJECTED = "rejected"
    DUPLICATE = "duplicate"
    RETIRED = "retired"


class Choice(NamedTuple):
    """Decision to make: label, reject or clear a sample; add or remove a manual one."""

    sample: str
    action: str
    label: str | None = None
    provenance: str = "person"


class UndoResult(NamedTuple):
    """Result of an undo: number of samples restored, changed since, and restored to `splits`."""

    operation: Operation
    restored: int
    changed_since: int
    splits: int = 0

    @property
    def name(self) -> str:
        """The undone operation in English."""
        return self.operation.text()


_ACTION_FOR_STATUS = {"labelled": "label", "rejected": "reject", "queue": "clear"}
_STATUS_AFTER_ACTION = {action: status for status, action in _ACTION_FOR_STATUS.items()}
_STATUS_AFTER_ACTION |= {"add": "queue", "remove": "retired"}
_UNDECIDED = ("queue", "retired")

# An import adds faces that no search has found: their samples are not in the queue.
_LAST_OF_IMPORTED = "iif(s.status='retired' AND s.face IS NOT NULL, 'remove', NULL)"
_LAST_ACTION = f"ifnull({last_decision_sql('action')}, {_LAST_OF_IMPORTED})"

_CHANGED_SAMPLES = f"""
    SELECT sample
    FROM decision
    WHERE step=?1
    UNION
    SELECT sample
    FROM placement
    WHERE step=?1
    UNION
    SELECT item
    FROM change
    WHERE step=?1 AND what IN {SAMPLE_CHANGE_KINDS}
    """
"""SQL: samples that a step changed in any way."""

# Only samples that still have a face return to the queue; detected faces are never retired.
_STATUS_IF_QUEUED = "iif(face IS NULL, 'retired', 'queue')"
_STATUS_IF_REMOVED = """
    iif(
        EXISTS(
            SELECT 1
            FROM face f
            JOIN scan c ON c.image=f.image AND c.detector=f.detector
            WHERE f.id=sample.face AND NOT f.gone
        ), 'queue', 'retired'
    )
    """


class Journal:
    """The `step`, `decision` and `class` tables, and the resulting state of samples."""

    def __init__(self, db: Connection):
        self._db = db
        self._classes = LabelClasses(db)
        self.user = get_user_name()

    def apply(self, operation: Operation | str, choices: Sequence[Choice]) -> int:
        """Apply each sample's last choice; return the step. Raises `UsageError`."""
        if isinstance(operation, str):
            operation = make_operation(NAMED, name=operation)
        last_choices = {choice.sample: choice for choice in choices}
        with self._db.transaction():
            step = add_step(self._db, now(), self.user, operation)
            classes = {}
            for choice in last_choices.values():
                if choice.action == "label" and choice.label not in classes:
                    row = self._classes.get_or_create(choice.label or "")
                    # At once: the next label may be the same name in other case.
                    self._classes.unhide(step, [row])
                    classes[choice.label] = row

            decisions = []
            for choice in last_choices.values():
                label = classes[choice.label] if choice.action == "label" else None
                decision = _NewDecision(
                    before=self._read_state(choice.sample),
                    action=choice.action,
                    label=label,
                    provenance=choice.provenance,
                )
                decisions.append(decision)

            self._append(step, decisions)

        return step

    def undo(self, step: int | None = None) -> UndoResult:
        """Undo a step, by default a person's last step in force.

        A step that was undone and redone is in force again. Raises `UsageError` if there is none.
        """
        with self._db.transaction():
            undone_step = self._find_undoable(step)
            undone_id: int = undone_step["id"]
            undone = operation_from_row(undone_step)
            new = add_step(
                self._db,
                now(),
                self.user,
                make_undo(undone),
                undone_id,
            )
            rows = self._db.fetch_all(
                f"""
                SELECT d.*, s.status, s.label, {_LAST_ACTION} AS last
                FROM decision d
                JOIN sample s ON s.id=d.sample
                WHERE d.step=? AND d.provenance<>'{SECOND}'
                ORDER BY d.id DESC
                """,
                (undone_id,),
            )

            labels = self._find_labels_before(undone_id, rows)

            decisions = []
            # Samples and rows that changed since: one is counted once, even if its label, mark
            # and split all did.
            changed_items = set()
            for row in rows:
                state = _State(
                    row["sample"],
                    *read_decided_state(row),
                )
                made_status = _STATUS_AFTER_ACTION[row["action"]]
                is_as_made = state.status == made_status and state.label == row["value"]
                if is_as_made and row["before_label"] in labels:
                    decision = _NewDecision(
                        before=state,
                        action=_choose_reverting_action(row),
                        label=labels[row["before_label"]],
                        provenance="undo",
                    )
                    decisions.append(decision)
                else:
                    changed_items.add(("sample", row["sample"]))

            self._append(new, decisions)

            changed_placements = Placements(self._db).revert(undone_id, new)
            changed_items |= set(Changes(self._db).revert(undone_id, new))
            self._classes.unhide(
                new,
                {decision.label for decision in decisions if decision.label},
            )

            splits = "SELECT count(*) FROM change WHERE step=? AND what='split'"
            return UndoResult(
                operation=undone,
                restored=self.count_samples(new),
                changed_since=len(changed_items) + changed_placements,
                splits=self._db.fetch_int(splits, (new,)),
            )

    def _find_labels_before(
        self, step: int, decisions: Sequence[Row]
    ) -> dict[int | None, int | None]:
        """Return the classes (rows) that labels from before a step belong to now.

        Labels are missing whose class is gone: its name means another class since.
        """
        merged = self._db.fetch_column(
            """
            SELECT item
            FROM change
            JOIN class c ON c.id=item
            WHERE step=? AND what='merged' AND c.merged_into IS after
            """,
            (step,),
        )

        labels: dict[int | None, int | None] = {None: None}
        for label in {row["before_label"] for row in decisions} - {None}:
            if label in merged:
                # A merge that is about to be undone does not count.
                labels[label] = label
                continue
            successor = self._classes.find_successor(label, step)
            if successor:
                labels[label] = successor

        return labels

    def count_samples(self, step: int) -> int:
        """Return how many samples a step changed in any way."""
        return self._db.fetch_int(
            f"SELECT count(*) FROM ({_CHANGED_SAMPLES})",
            (step,),
        )

    def count_states(self) -> Counter[SampleState]:
        """Return the states of the samples that the newest step changed."""
        newest = self._db.fetch_int("SELECT max(id) FROM step")
        # A sample with a group but without a split was left out by the plan.
        rows = self._db.fetch_all(
            f"""
            SELECT CASE
                    WHEN status<>'retired' AND NOT kept THEN 'duplicate'
                    WHEN status='labelled'
                        AND split IS NULL
                        AND split_group IS NULL
                        AND EXISTS(SELECT 1 FROM split_plan) THEN 'unsplit'
                    ELSE status
                END, count(*)
            FROM ({_CHANGED_SAMPLES})
            JOIN sample ON id=sample
            GROUP BY 1
            ORDER BY min(id)
            """,
            (newest,),
        )

        return Counter({SampleState(state): number for state, number in rows})

    def find_undone_kind(self) -> str | None:
        """Return the kind of the operation that the newest step undid; None if it undid none.

        A redo (the undo of an undo) undid none; the undo of a redo undid the operation again.
        """
        row = self._db.fetch_one(
            "SELECT kind, arguments FROM step ORDER BY id DESC LIMIT 1"
        )
        operation = operation_from_row(row) if row else None
        undone = None
        while operation and operation.kind == UNDO:
            operation = operation.undone()
            undone = None if undone else operation.kind
        return undone

    def _find_undoable(self, step: int | None) -> Row:
        """Return a step to undo: this one, unless it was undone, else the last of a person.

        A step that is named may also be automatic, or an undo, which is redone by this.
        """
        # At an even depth a step is in force. A step of a kind that only decides on samples (or
        # reports) has nothing left to undo once they were removed for good, even if it made a
        # class.
        condition = f"""
            depth%2=0
            AND NOT merged
            AND (SELECT kind FROM step WHERE id=root) IS NOT '{AUTOMATIC}'
            AND (
                ifnull(kind, '') NOT IN (
                    'label', 'label-each', 'exclude', 'reject', 'other', 'label-by-command',
                    'reject-by-command', 'accept-hints', 'accept-proposals',
                    'accept-reports'
                )
                OR EXISTS(SELECT 1 FROM decision d WHERE d.step=chain.id)
                OR EXISTS(
                    SELECT 1
                    FROM change c
                    WHERE c.step=chain.id AND c.what='report'
                )
            )
            """
        if step is not None:
            condition = "id=?"
        row = self._db.fetch_one(
            f"""
            {step_chains_sql("TRUE")}
            SELECT step.*
            FROM chain
            JOIN step USING(id)
            WHERE {condition}
                AND id NOT IN (SELECT undoes FROM step WHERE undoes IS NOT NULL)
            ORDER BY id DESC
            LIMIT 1
            """,
            () if step is None else (step,),
        )

        if not row:
            raise UsageError("there is nothing to undo")
        return row

    def _read_state(self, key: str) -> _State:
        row = self._db.fetch_one(
            f"SELECT id, status, label, {_LAST_ACTION} AS last FROM sample s WHERE key=?",
            (key,),
        )
        if not row:
            raise UsageError(f"there is no sample {key!r} in this dataset")
        return _State(row["id"], *read_decided_state(row))

    def _append(self, step: int, decisions: Sequence[_NewDecision]) -> None:
        """Record decisions and apply them to their samples; a second opinion changes no sample."""
        # ?2 to ?4 are the fields of `before` (sample, status, label); ?5 to ?7 are the action, the
        # new label and the provenance.
        self._db.execute_many(
            """
            INSERT INTO decision(
                step, sample, action, value, before_status, before_label, provenance
            )
            VALUES(?1, ?2, ?5, ?6, ?3, ?4, ?7)
            """,
            [(step, *before, *decision) for before, *decision in decisions],
        )

        self._db.execute_many(
            f"""
            UPDATE sample
            SET label=?1,
                status=CASE ?2
                    WHEN 'queue' THEN {_STATUS_IF_QUEUED}
                    WHEN 'retired' THEN {_STATUS_IF_REMOVED}
                    ELSE ?2
                END
            WHERE id=?3 AND ?4<>'{SECOND}'
            """,
            [
                (
                    decision.label,
                    _STATUS_AFTER_ACTION[decision.action],
                    decision.before.sample,
                    decision.provenance,
                )
                for decision in decisions
            ],
        )

    def count(self) -> int:
        """Return the number of decisions."""
        return self._db.fetch_int("SELECT count(*) FROM decision")

    def iterate(self) -> Iterator[Decision]:
        """Yield all decisions, oldest first."""
        for row in self._db.iter_rows(
            """
            SELECT d.id, d.step, t.kind, t.arguments, t.user,
                ifnull(t.person, t.user) AS "by", t.at, s.key AS sample, d.action,
                c.name AS value, d.provenance, t.undoes
            FROM decision d
            JOIN step t ON t.id=d.step
            JOIN sample s ON s.id=d.sample
            LEFT JOIN class c ON c.id=d.value
            WHERE TRUE
            """,
            key=("d.id",),
        ):
            yield record_from_row(
                Decision,
                row,
                name=operation_from_row(row).text(),
            )


class _State(NamedTuple):
    """Status and class (row) of a sample (row)."""

    sample: int
    status: str
    label: int | None


class _NewDecision(NamedTuple):
    """A decision to append: what the sample was before, and its class (row) after."""

    before: _State
    action: str
    label: int | None
    provenance: str


def _choose_reverting_action(row: Row) -> str:
    """Return the action that gives a sample the status from before the decision `row`."""
    if row["action"] == "add" or row["before_status"] == "retired":
        return "remove"
    if row["action"] == "remove" and row["before_status"] == "queue":
        return "add"
    return _ACTION_FOR_STATUS.get(row["before_status"], "clear")


def read_decided_state(row: Row) -> tuple[str, int | None]:
    """Return the status and label of a sample by decisions alone.

    A face search also changes 'queue' to 'retired' and back. For these two states, use the last
    decision instead, or 'queue' if there is none.
    """
    status = row["status"]
    status_by_decisions = _STATUS_AFTER_ACTION.get(row["last"], "queue")
    if status in _UNDECIDED and status_by_decisions in _UNDECIDED:
        status = status_by_decisions
    return status, row["label"]


PERSON = "person"
UNSEEN = (MODEL, PAGE_USER)
"""Provenances of labels that no person has seen."""

_PROVENANCE_KINDS = {
    MODEL: MODEL,
    PAGE_USER: PAGE_USER,
    "hint": HINT,
    "duplicate": HINT,
    "import": IMPORT,
    "dropped": IMPORT,
}


def classify_provenance(provenance: str) -> str:
    """Return person, hint (also of a duplicate), import, model or visitor."""
    return _PROVENANCE_KINDS.get(provenance, PERSON)


def get_label_provenances(
    db: Connection, samples: Collection[int] | None = None
) -> dict[str, str]:
    """Return label provenances by key, of all or some samples (rows)."""
    condition = "TRUE" if samples is None else "s.id IN (:items)"
    sql = f"""
        SELECT s.key, d.step, t.undoes, d.provenance
        FROM decision d
        JOIN sample s ON s.id=d.sample
        JOIN step t ON t.id=d.step
        WHERE s.status='labelled' AND d.provenance<>'{SECOND}' AND {condition}
        ORDER BY d.id
        """
    decisions: Iterable[Row] = (
        db.fetch_all(sql) if samples is None else db.iter_rows_in(sql, samples)
    )

    provenances: dict[str, str] = {}
    # By sample, the provenance from before each step.
    provenances_before = defaultdict[str, dict[int, str]](dict)
    for key, step, undone_step, provenance in decisions:
        current = provenances.get(key, "")
        provenances_before[key][step] = current
        if provenance == "undo":
            provenances[key] = provenances_before[key].get(undone_step, current)
        # A merge adds steps of the other dataset as well, with their provenances: its own decision
        # repeats one of them.
        elif provenance != MERGE or not current:
            provenances[key] = provenance

    return provenances


def get_unseen_labels(db: Connection) -> dict[str, str]:
    """Return provenances (model, visitor) of unseen labels, by key."""
    samples = db.fetch_column(
        f"SELECT DISTINCT sample FROM decision WHERE provenance IN ('{MODEL}','{PAGE_USER}')"
    )
    provenances = get_label_provenances(db, samples)
    return {
        key: provenance
        for key, provenance in provenances.items()
        if provenance in UNSEEN
    }


def count_unseen_in_evaluation(db: Connection) -> int:
    """Return how many samples with unseen labels are in val or test."""
    sql = "SELECT key FROM sample WHERE kept AND split IN ('val','test') AND key IN (:items)"
    return sum(1 for _ in db.iter_rows_in(sql, get_unseen_labels(db)))


# Tables of a step's parts, and when a later part `o` leaves a part `m` other than it was made.
_PARTS = {
    "decision": "o.sample=m.sample",
    "change": "o.what=m.what AND o.item=m.item AND o.after IS NOT m.after",
    "placement": "o.sample=m.sample",
    "verdict": "o.a=m.a AND o.b=m.b",
}


def has_effect(db: Connection, step: int) -> bool:
    """Return whether a step decided or changed anything."""
    rows = " UNION ALL ".join(
        f"SELECT 1 FROM {table} WHERE step=?1" for table in _PARTS
    )
    return db.has_rows(rows, (step,))


def find_blocking_step(db: Connection, step: int, end: int) -> Operation | None:
    """Return the last undoable step before `end` that overlaps with `step`."""
    # m is a part of `step`, o one of a later step.
    overlapping_steps = " UNION ".join(
        f"""
        SELECT o.step
        FROM {table} m
        JOIN {table} o ON o.step>m.step AND {overlaps}
        WHERE m.step=?1
        """
        for table, overlaps in _PARTS.items()
    )

    # The old name of a class may now belong to a class that was created or renamed.
    overlapping_steps += """
        UNION
        SELECT o.step
        FROM change m
        JOIN change o ON o.step>m.step
            AND m.what='name'
            AND o.what IN ('name', 'merged')
        WHERE m.step=?1
        """
    rows = db.fetch_all(
        f"""
        SELECT *
        FROM step
        WHERE id<?2
            AND id IN ({overlapping_steps})
            AND NOT merged
            AND id NOT IN (SELECT undoes FROM step WHERE undoes IS NOT NULL)
        ORDER BY id DESC
        """,
        (step, end),
    )

    for row in rows:
        # Of merged steps, the first one says what was done.
        operation = operation_from_row(row).first()
        if operation.kind != AUTOMATIC:
            return operation
    return None
