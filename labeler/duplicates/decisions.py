"""What a person says of duplicates, and the copies that wait for it, as summaries name them.

Each decision is one step of the journal, and leaves alone what somebody changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from gleanset import Dataset
from gleanset.db.classes import Curation, Placement
from gleanset.db.duplicates import NOT, SAME, GroupMember, Pairs
from gleanset.db.journal import Choice
from gleanset.db.samples import SplitGroups
from gleanset.errors import UsageError
from gleanset.named_files import FEW, few_files, for_dataset, found_at, short_name
from gleanset.operations import operation
from labeler.duplicates.label_consensus import DECIDED, label_changes, label_consensus
from labeler.duplicates.plan import DuplicateGroup, DuplicatePlan, placements


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


CONFLICTS, DOUBTS = "labeler groups --conflicts", "labeler groups --doubtful"


def conflict_files(dataset: Dataset, plan: DuplicatePlan) -> dict[str, object]:
    """Return what a summary of `labeler dedup` says of the copies that wait for a person."""
    waiting = {
        "labelled_differently": (plan.conflicts, _labels_of, CONFLICTS),
        "hinted_differently": (plan.disputed, _hints_of, CONFLICTS),
        "doubtful_pairs": (plan.doubts, _names_of, DOUBTS),
    }
    return {
        name: few_files(
            [", ".join(said(dataset, group)) for group in groups[:FEW]],
            for_dataset(dataset, command),
            len(groups),
        )
        for name, (groups, said, command) in waiting.items()
        if groups
    }


def conflicting_labels(dataset: Dataset) -> dict[str, object]:
    """Return the same of samples that have no split for it, for the commands that leave them out.

    The groups are those of the last `labeler dedup`.
    """
    keys = SplitGroups(dataset.db).conflicting()
    samples = [sample for key in keys if (sample := dataset.samples.get(key)) is not None]
    samples.sort(key=lambda sample: (str(sample.group), sample.key))
    lines = [f"{_name(dataset, sample.key)} is {sample.label}" for sample in samples[:FEW]]
    see = for_dataset(dataset, CONFLICTS)
    return {"labelled_differently": few_files(lines, see, len(keys))} if keys else {}


def _labels_of(dataset: Dataset, group: DuplicateGroup) -> Iterator[str]:
    said = {member.label or member.status: member.key for member in reversed(group.members)}
    return (
        f"{_name(dataset, key)} is {what}" for what, key in sorted(said.items()) if what != "queue"
    )


def _hints_of(dataset: Dataset, group: DuplicateGroup) -> Iterator[str]:
    found = {hint: member.key for member in reversed(group.members) for hint in member.hints}
    return (f"{_name(dataset, key)} found as {hint}" for hint, key in sorted(found.items()))


def _names_of(dataset: Dataset, group: DuplicateGroup) -> Iterator[str]:
    return (_name(dataset, member.key) for member in group.members)


def _name(dataset: Dataset, key: str) -> str:
    return short_name(found_at(dataset, key))
