"""What a person says of groups of duplicates: this one is the best, or they are not the same.

`open_groups` is a plain value that may take a while to make; `accept` and `keep_all` only write,
in one step each, and leave alone what somebody changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

from gleanset import Dataset
from gleanset.db.changes import Curation, Placement
from gleanset.db.duplicates import BY_PERSON, NOT, SAME, GroupMember, Pairs
from gleanset.db.journal import Choice
from gleanset.errors import UsageError
from gleanset.operations import operation
from labeler.duplicates.heard import DECIDED, hear, moved
from labeler.duplicates.keep import best_first, why_kept
from labeler.duplicates.plan import DuplicatePlan, Group


class OpenGroup(NamedTuple):
    """Copies of one picture that nobody has settled; `members` begin with the one to keep.

    `conflict` lists decisions that contradict each other; in a `doubtful` group it is not sure
    that they show the same.
    """

    members: tuple[GroupMember, ...]
    reason: str
    conflict: tuple[str, ...] = ()
    doubtful: bool = False

    def with_best(self, key: str) -> OpenGroup:
        """The same group with another copy to keep."""
        first = [one for one in self.members if one.key == key]
        rest = [one for one in self.members if one.key != key]
        return self._replace(members=(*first, *rest), reason=BY_PERSON) if first else self

    @property
    def settled(self) -> bool:
        """Whether nobody has to say more: that they are the same, and whose decision counts."""
        said = self.reason == BY_PERSON
        decided = not self.conflict or self.members[0].status in DECIDED
        return said and decided if self.conflict or self.doubtful else True

    @property
    def name(self) -> str:
        """The smallest key: it stays when another one becomes the best."""
        return min(member.key for member in self.members)


def open_groups(dataset: Dataset, plan: DuplicatePlan) -> list[OpenGroup]:
    """The groups of a plan that are not yet as the plan wants them; conflicts come last."""
    pairs = Pairs(dataset.db)
    changed = {place.sample for place in plan.places}
    keys = [key for group in plan.groups for key in _keys(group)]
    rows = dict(zip(keys, pairs.numbers(keys), strict=True))
    members = pairs.members(rows.values())
    found = []
    for group in plan.groups:
        copies = tuple(members[rows[key]] for key in _keys(group))
        if group.conflict or any(copy.id in changed for copy in copies):
            found.append(OpenGroup(copies, group.reason, group.decisions if group.conflict else ()))
    found += _doubts(pairs, plan)
    return sorted(found, key=lambda one: (bool(one.conflict), one.doubtful))


def _doubts(pairs: Pairs, plan: DuplicatePlan) -> list[OpenGroup]:
    """Pairs that may be the same, the better copy first."""
    keys = sorted({key for pair in plan.doubts for key in pair})
    rows = dict(zip(keys, pairs.numbers(keys), strict=True))
    members = pairs.members(rows.values())
    found = []
    for pair in plan.doubts:
        copies = best_first([members[rows[key]] for key in pair])
        decisions = tuple(sorted({_decision(one) for one in copies if one.status in DECIDED}))
        differ = decisions if len(decisions) > 1 else ()
        found.append(OpenGroup(tuple(copies), why_kept(copies[0], copies[1:]), differ, True))
    return found


def _keys(group: Group) -> list[str]:
    return [group.kept, *group.others]


def accept(dataset: Dataset, groups: Sequence[OpenGroup]) -> int:
    """Keep the first of each group and set the others aside; the step.

    In a conflict the decision of the copy that a person chose counts; without one the group
    is left alone. Raises `UsageError` where nothing is left to do.
    """
    with dataset.db.write():
        fresh = _unchanged(dataset, [group for group in groups if group.settled])
        aside = sum(len(group.members) - 1 for group in fresh)
        did = operation("set-aside", count=aside)
        step = dataset.journal.step(did, [c for group in fresh for c in _moved(group)])
        asides = Curation(dataset.db)
        for group in fresh:
            if group.doubtful:
                asides.judge(step, group.members[0].id, group.members[1].id, SAME)
        asides.place(step, [place for group in fresh for place in _places(group)])
    return step


def keep_all(dataset: Dataset, group: OpenGroup) -> int:
    """They are not the same, which is remembered for ever; the step."""
    asides = Curation(dataset.db)
    with dataset.db.write():
        step = dataset.journal.step(operation("keep-all", count=len(group.members)), [])
        for a, b in combinations(sorted(member.id for member in group.members), 2):
            asides.judge(step, a, b, NOT)
        grouped = [member for member in group.members if member.group or not member.kept]
        asides.place(
            step,
            [Placement(one.id, True, None, "not the same: a person said so") for one in grouped],
        )
    return step


def _unchanged(dataset: Dataset, groups: Sequence[OpenGroup]) -> list[OpenGroup]:
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


def _places(group: OpenGroup) -> list[Placement]:
    best, *others = group.members
    return [
        Placement(best.id, True, group.name, f"kept: {group.reason}"),
        *(Placement(other.id, False, group.name, f"a copy of {best.key}") for other in others),
    ]


def _moved(group: OpenGroup) -> list[Choice]:
    """The best copy takes over the one decision that its copies carry; all get it in a conflict.

    A label from a hint becomes that of the person who chose its copy in a conflict.
    """
    best, *others = group.members
    if best.status not in DECIDED or not group.conflict:
        return moved(best, others, hear(group.members))
    said = Choice(best.key, DECIDED[best.status], best.label)
    return [
        *([said] if best.by_hint else []),
        *(
            Choice(other.key, DECIDED[best.status], best.label, "duplicate")
            for other in others
            if _decision(other) != _decision(best)
        ),
    ]


def _decision(member: GroupMember) -> str:
    return member.label or member.status
