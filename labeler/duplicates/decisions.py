"""Decisions of a person about duplicates, and summaries of needed decisions.

Each decision is one step of the journal, and skips what has changed in the meantime.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from gleanset import Dataset
from gleanset.db.classes import Placement, Placements
from gleanset.db.duplicates import NOT_SAME, SAME, DuplicateSetMember, Pairs
from gleanset.db.journal import Choice
from gleanset.db.samples import SplitEvidence
from gleanset.errors import UsageError
from gleanset.named_files import (
    MAX_LISTED,
    add_dataset_option,
    find_location,
    format_short_path,
    summarize_lines,
)
from gleanset.operations import make_operation
from labeler.duplicates.plan import (
    ACTION_BY_STATUS,
    DuplicatePlan,
    DuplicateSet,
    label_changes,
    label_consensus,
    plan_placements,
)


def accept(dataset: Dataset, sets: Sequence[DuplicateSet]) -> int:
    """Keep the best copy of each set and mark the others as duplicates; return the step.

    In a conflict the decision of the copy that a person chose counts; sets without a choice are
    skipped. Raises `UsageError` if nothing is left to do.
    """
    with dataset.db.transaction():
        unchanged = _keep_unchanged(dataset, [copies for copies in sets if copies.settled])
        duplicates = sum(len(copies.members) - 1 for copies in unchanged)
        action = make_operation("set-aside", count=duplicates)
        step = dataset.journal.apply(action, [c for copies in unchanged for c in _choices(copies)])
        curation = Placements(dataset.db)
        for copies in unchanged:
            if copies.doubtful:
                curation.record_verdict(step, copies.members[0].id, copies.members[1].id, SAME)
            curation.apply(step, plan_placements(copies, settled=True))
    return step


def judge(dataset: Dataset, a: str, b: str, *, same: bool) -> int:
    """Record whether two samples (keys) are the same; return the step.

    Raises `UsageError` for samples that do not exist or are identical.
    """
    if a == b:
        raise UsageError(f"{a!r} was named twice", "name two different samples")
    first, second = Pairs(dataset.db).get_ids([a, b])
    with dataset.db.transaction():
        action = make_operation("same" if same else "not-same", one=a[:8], other=b[:8])
        step = dataset.journal.apply(action, [])
        Placements(dataset.db).record_verdict(step, first, second, SAME if same else NOT_SAME)
    return step


def keep_all(dataset: Dataset, copies: DuplicateSet) -> int:
    """Record that the members of a set are not copies of each other; return the step."""
    curation = Placements(dataset.db)
    with dataset.db.transaction():
        step = dataset.journal.apply(make_operation("keep-all", count=len(copies.members)), [])
        for a, b in combinations(sorted(member.id for member in copies.members), 2):
            curation.record_verdict(step, a, b, NOT_SAME)
        placed = [member for member in copies.members if member.group or not member.kept]
        curation.apply(
            step,
            [
                Placement(member.id, True, None, "not the same: decided by a person")
                for member in placed
            ],
        )
    return step


def restore_duplicates(dataset: Dataset, rows: Sequence[int]) -> int:
    """Restore samples (rows) that were marked as duplicates; return the step.

    They are recorded as not the same as the copies, so the next search leaves them alone. Raises
    `UsageError` if none of them is marked any more.
    """
    pairs, curation = Pairs(dataset.db), Placements(dataset.db)
    with dataset.db.transaction():
        restored = [row.id for row in pairs.get_members(rows).values() if not row.kept]
        if not restored:
            raise UsageError("none of these is marked as a duplicate any more", "check them again")
        step = dataset.journal.apply(make_operation("take-back-copies", count=len(restored)), [])
        for a, b in {(min(pair), max(pair)) for pair in pairs.list_set_mates(restored)}:
            curation.record_verdict(step, a, b, NOT_SAME)
        curation.apply(
            step, [Placement(row, True, None, "restored by a person") for row in restored]
        )
    return step


def _keep_unchanged(dataset: Dataset, sets: Sequence[DuplicateSet]) -> list[DuplicateSet]:
    current_members = Pairs(dataset.db).get_members(
        member.id for copies in sets for member in copies.members
    )
    unchanged = [
        copies
        for copies in sets
        if all(
            _state(current_members.get(member.id)) == _state(member) for member in copies.members
        )
    ]
    if not unchanged:
        raise UsageError(
            "nothing to accept: the copy to keep is not chosen, or the samples have changed",
            "click the copy to keep, or turn the page",
        )
    return unchanged


def _state(member: DuplicateSetMember | None) -> tuple[object, ...]:
    return () if member is None else (member.kept, member.group, member.status, member.label)


def _choices(copies: DuplicateSet) -> list[Choice]:
    """Return the label changes of a set that a person accepted.

    The best copy takes over the only decision of its copies; in a conflict all get the decision of
    the best copy, and a label from a weak label or a model becomes that person's label.
    """
    best, *others = copies.members
    if best.status not in ACTION_BY_STATUS or not copies.conflict:
        return label_changes(best, others, label_consensus(copies.members))
    confirmed = Choice(best.key, ACTION_BY_STATUS[best.status], best.label)
    return [
        *([confirmed] if best.by_hint or best.unseen else []),
        *(
            Choice(other.key, ACTION_BY_STATUS[best.status], best.label, "duplicate")
            for other in others
            if _decision(other) != _decision(best)
        ),
    ]


def _decision(member: DuplicateSetMember) -> str:
    return member.label or member.status


CONFLICTS_COMMAND, DOUBTS_COMMAND = "labeler groups --conflicts", "labeler groups --doubtful"


def conflict_summary(dataset: Dataset, plan: DuplicatePlan) -> dict[str, object]:
    """Return the part of the `labeler dedup` summary about copies that need a decision."""
    pending = {
        "labelled_differently": (plan.conflicts, _labels_of, CONFLICTS_COMMAND),
        "hinted_differently": (plan.disputed, _hints_of, CONFLICTS_COMMAND),
        "doubtful_pairs": (
            plan.doubts,
            lambda dataset, pair: (_name(dataset, member.key) for member in pair.members),
            DOUBTS_COMMAND,
        ),
    }
    return {
        name: summarize_lines(
            [", ".join(describe(dataset, copies)) for copies in sets[:MAX_LISTED]],
            add_dataset_option(dataset, command),
            len(sets),
        )
        for name, (sets, describe, command) in pending.items()
        if sets
    }


def conflicting_label_summary(dataset: Dataset) -> dict[str, object]:
    """Return the copies of the last `labeler dedup` without a split, for differing labels."""
    keys = SplitEvidence(dataset.db).list_conflicting_copies()
    samples = [sample for key in keys if (sample := dataset.samples.get(key)) is not None]
    samples.sort(key=lambda sample: (str(sample.group), sample.key))
    lines = [f"{_name(dataset, sample.key)} is {sample.label}" for sample in samples[:MAX_LISTED]]
    command = add_dataset_option(dataset, CONFLICTS_COMMAND)
    return {"labelled_differently": summarize_lines(lines, command, len(keys))} if keys else {}


def _labels_of(dataset: Dataset, copies: DuplicateSet) -> Iterator[str]:
    keys_by_decision = {
        member.label or member.status: member.key for member in reversed(copies.members)
    }
    keys_by_decision.pop("queue", None)
    return (f"{_name(dataset, key)} is {name}" for name, key in sorted(keys_by_decision.items()))


def _hints_of(dataset: Dataset, copies: DuplicateSet) -> Iterator[str]:
    keys_by_hint = {
        hint: member.key for member in reversed(copies.members) for hint in member.hints
    }
    return (f"{_name(dataset, key)} found as {hint}" for hint, key in sorted(keys_by_hint.items()))


def _name(dataset: Dataset, key: str) -> str:
    return format_short_path(find_location(dataset, key))
