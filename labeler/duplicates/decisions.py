"""What a person says of duplicates: this copy is the best, or they are not the same.

Each is one step of the journal, and leaves alone what somebody changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from gleanset import Dataset
from gleanset.db.changes import Curation, Placement
from gleanset.db.duplicates import NOT, SAME, GroupMember, Pairs
from gleanset.db.journal import Choice
from gleanset.errors import UsageError
from gleanset.operations import operation
from labeler.duplicates.label_consensus import DECIDED, label_changes, label_consensus
from labeler.duplicates.plan import DuplicateGroup, placements


def accept(dataset: Dataset, groups: Sequence[DuplicateGroup]) -> int:
    """Keep the first of each group and set the others aside; the step.

    In a conflict the decision of the copy that a person chose counts; without one the group
    is left alone. Raises `UsageError` where nothing is left to do.
    """
    with dataset.db.write():
        fresh = _unchanged(dataset, [group for group in groups if group.settled])
        aside = sum(len(group.members) - 1 for group in fresh)
        did = operation("set-aside", count=aside)
        step = dataset.journal.step(did, [c for group in fresh for c in _choices(group)])
        curation = Curation(dataset.db)
        for group in fresh:
            if group.doubtful:
                curation.judge(step, group.members[0].id, group.members[1].id, SAME)
        for group in fresh:
            curation.place(step, placements(group, settled=True))
    return step


def judge(dataset: Dataset, a: str, b: str, *, same: bool) -> int:
    """Remember for ever whether two samples (keys) are the same; the number of the step.

    Raises `UsageError` for samples that do not exist, or are one and the same.
    """
    if a == b:
        raise UsageError(f"{a!r} was named twice", "name two different samples")
    first, second = Pairs(dataset.db).numbers([a, b])
    with dataset.db.write():
        did = operation("same" if same else "not-same", one=a[:8], other=b[:8])
        step = dataset.journal.step(did, [])
        Curation(dataset.db).judge(step, first, second, SAME if same else NOT)
    return step


def keep_all(dataset: Dataset, group: DuplicateGroup) -> int:
    """Remember for ever that the members of a group are not the same; the step."""
    curation = Curation(dataset.db)
    with dataset.db.write():
        step = dataset.journal.step(operation("keep-all", count=len(group.members)), [])
        for a, b in combinations(sorted(member.id for member in group.members), 2):
            curation.judge(step, a, b, NOT)
        grouped = [member for member in group.members if member.group or not member.kept]
        curation.place(
            step,
            [Placement(one.id, True, None, "not the same: a person said so") for one in grouped],
        )
    return step


def take_back(dataset: Dataset, rows: Sequence[int]) -> int:
    """Let samples (rows) that were set aside count again, as no copies of what is kept; the step.

    A person has said so for ever: the next search leaves them alone. Raises `UsageError` where
    none of them is set aside any more.
    """
    pairs, curation = Pairs(dataset.db), Curation(dataset.db)
    with dataset.db.write():
        back = [row.id for row in pairs.members(rows).values() if not row.kept]
        if not back:
            raise UsageError("none of these is set aside any more", "look at them again")
        step = dataset.journal.step(operation("take-back-copies", count=len(back)), [])
        for a, b in {(min(pair), max(pair)) for pair in pairs.beside(back)}:
            curation.judge(step, a, b, NOT)
        curation.place(
            step, [Placement(row, True, None, "taken back: a person said so") for row in back]
        )
    return step


def _unchanged(dataset: Dataset, groups: Sequence[DuplicateGroup]) -> list[DuplicateGroup]:
    now = Pairs(dataset.db).members(member.id for group in groups for member in group.members)
    fresh = [
        group
        for group in groups
        if all(_state(now.get(one.id)) == _state(one) for one in group.members)
    ]
    if not fresh:
        raise UsageError(
            "somebody has to say which copy counts, or has decided meanwhile",
            "click the copy to keep, or turn the page",
        )
    return fresh


def _state(member: GroupMember | None) -> tuple[object, ...]:
    return () if member is None else (member.kept, member.group, member.status, member.label)


def _choices(group: DuplicateGroup) -> list[Choice]:
    """The best copy takes over the one decision that its copies carry; all get it in a conflict.

    A label from a hint or a model becomes that of the person who chose its copy in a conflict.
    """
    best, *others = group.members
    if best.status not in DECIDED or not group.conflict:
        return label_changes(best, others, label_consensus(group.members))
    said = Choice(best.key, DECIDED[best.status], best.label)
    return [
        *([said] if best.by_hint or best.unseen else []),
        *(
            Choice(other.key, DECIDED[best.status], best.label, "duplicate")
            for other in others
            if _decision(other) != _decision(best)
        ),
    ]


def _decision(member: GroupMember) -> str:
    return member.label or member.status
