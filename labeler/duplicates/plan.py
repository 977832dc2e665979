"""What to do about duplicates, as a plain value: who is kept, who is set aside, which labels move.

Making a plan writes nothing: the pairs that had to be compared for it come with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from gleanset.db.classes import Placement
from gleanset.db.duplicates import (
    BY_PERSON,
    SAME,
    GroupMember,
    Pairs,
    PairVerdict,
    Relation,
)
from gleanset.db.journal import Choice
from gleanset.operations import Operation, operation
from labeler.duplicates.contested import contested_pairs, is_refusal, suspects
from labeler.duplicates.grouping import Pair, find_groups, loose
from labeler.duplicates.label_consensus import (
    DECIDED,
    LabelConsensus,
    label_changes,
    label_consensus,
    without_unsupported,
)
from labeler.duplicates.ranking import FindOriginal, alterations, rank_copies, why_kept


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Samples that show one picture, from the plan to the window to the journal.

    `members` begin with the one to keep, `reason` says why it is kept. `decisions` are the labels
    and rejections that count; where there are several, nobody is set aside until a person has
    settled it. `hints` are the classes that the members were found as, where they differ and no
    person has said which it is: the group has no label then. Of a `doubtful` pair it is not sure
    that both show the same; `contested` is one that other copies contradict.
    """

    members: tuple[GroupMember, ...]
    reason: str
    decisions: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    doubtful: bool = False
    contested: bool = False

    @property
    def kept(self) -> str:
        """The key of the sample to keep."""
        return self.members[0].key

    @property
    def others(self) -> tuple[str, ...]:
        """The keys of the samples to set aside."""
        return tuple(member.key for member in self.members[1:])

    @property
    def name(self) -> str:
        """The smallest key: it stays when another one becomes the best."""
        return min(member.key for member in self.members)

    @property
    def conflict(self) -> bool:
        """Whether decisions of members contradict each other."""
        return len(self.decisions) > 1

    @property
    def settled(self) -> bool:
        """Whether no person is needed: that they are the same, and whose decision counts."""
        if not (self.conflict or self.doubtful):
            return True
        decided = not self.conflict or self.members[0].status in DECIDED
        return self.reason == BY_PERSON and decided

    def with_best(self, key: str) -> DuplicateGroup:
        """Return the group with another member to keep, chosen by a person."""
        first = [member for member in self.members if member.key == key]
        rest = [member for member in self.members if member.key != key]
        return replace(self, members=(*first, *rest), reason=BY_PERSON) if first else self


@dataclass(frozen=True)
class DuplicatePlan:
    """The groups, and what has to change so that the catalogue says the same.

    `doubts` are pairs that look the same but for a small place: nobody is set aside for them until
    a person has said what they are. `compared` are verdicts that the catalogue does not have yet,
    `preferred` which copy of a pair (rows) is better.
    """

    groups: list[DuplicateGroup] = field(default_factory=list)
    doubts: list[DuplicateGroup] = field(default_factory=list)
    places: list[Placement] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    compared: list[PairVerdict] = field(default_factory=list)
    preferred: dict[Pair, str] = field(default_factory=dict)

    @property
    def conflicts(self) -> list[DuplicateGroup]:
        """The groups that wait for a person."""
        return [group for group in self.groups if group.conflict]

    @property
    def disputed(self) -> list[DuplicateGroup]:
        """The groups whose hints name several classes: a person has to give the label."""
        return [group for group in self.groups if group.hints]

    def open_groups(self) -> list[DuplicateGroup]:
        """Return what is not yet as the plan wants it: groups, conflicts, doubtful pairs."""
        changed = {place.sample for place in self.places}
        groups = [
            group
            for group in self.groups
            if group.conflict or any(member.id in changed for member in group.members)
        ]
        return sorted([*groups, *self.doubts], key=lambda group: (group.conflict, group.doubtful))

    def agrees_with(self, other: DuplicatePlan) -> bool:
        """Tell whether both plans would do the same to the same groups."""
        return self._outline() == other._outline()

    def _outline(self) -> tuple[object, ...]:
        groups = [(g.kept, g.others, g.reason, g.decisions, g.hints) for g in self.groups]
        doubts = [sorted([pair.kept, *pair.others]) for pair in self.doubts]
        return groups, doubts, self.places, self.choices

    def operation(self) -> Operation:
        """Return what carrying it out is, for the journal."""
        return operation("set-aside", count=sum(not place.kept for place in self.places))

    def result(self) -> dict[str, object]:
        """Return the counts that a command prints."""
        settled = [group for group in self.groups if not group.conflict]
        return {
            "groups": len(self.groups),
            "set_aside": sum(len(group.others) for group in settled),
            "changed": len(self.places),
            "labels_moved": sum(choice.action != "clear" for choice in self.choices),
            "conflicts": len(self.conflicts),
            "disputed": len(self.disputed),
            "labels_taken_back": sum(choice.action == "clear" for choice in self.choices),
            "doubtful": len(self.doubts),
        }


class Looks(Protocol):
    """Compares pairs of samples (rows, a < b) where nobody has; `verdicts` are those it made."""

    verdicts: dict[Pair, PairVerdict]

    def judge(self, a: int, b: int) -> PairVerdict | None:
        """Return whether they are copies; None where one of them cannot be read."""

    def original(self, rows: Sequence[int], mirrored: Sequence[bool]) -> int:
        """Return the original among copies (rows), the first of equal ones."""


def make_plan(pairs: Pairs, looks: Looks) -> DuplicatePlan:
    """Group what is known to be the same; what the plan needs besides is compared by `looks`."""
    while True:
        number = len(looks.verdicts)
        plan = _make_plan(pairs, looks)
        if len(looks.verdicts) == number:
            return plan


def _make_plan(pairs: Pairs, looks: Looks) -> DuplicatePlan:
    known, by_person = pairs.known(), pairs.by_person()
    close = pairs.closeness()
    relations = pairs.relations()
    relations |= {pair: one.relation for pair, one in looks.verdicts.items() if one.verdict == SAME}
    contested = contested_pairs(relations, looks.judge)
    open_ = contested - {pair for pair, equal in by_person.items() if equal}
    same = {
        pair: close.get(pair, 1.0) for pair, equal in known.items() if equal and pair not in open_
    }
    # Who tied them may be gone meanwhile: they are compared now.
    same |= dict.fromkeys(set(loose(pairs.tied_by_others(), same)) - open_, 1.0)
    grouped = pairs.grouped()
    unsure = {*pairs.doubtful(), *open_ - by_person.keys()}
    members = pairs.members({row for pair in [*same, *unsure] for row in pair} | grouped)
    chosen = pairs.chosen()

    def compare(a: int, b: int) -> bool:
        verdict = None if (a, b) in open_ else looks.judge(a, b)
        return verdict is not None and verdict.verdict == SAME

    refused: set[Pair] = set()

    def agree(group: list[int], row: int) -> bool:
        """Tell whether no member refuses a sample; as good as equal to the centre none does."""
        pairs = [p for p in suspects(relations, group, row) if not by_person.get(p)]
        # All of them are asked about, so that they are compared at once.
        verdicts = [looks.judge(*pair) for pair in pairs]
        if not any(verdict and is_refusal(verdict) for verdict in verdicts):
            return True
        refused.add((min(group[0], row), max(group[0], row)))
        return False

    plan = DuplicatePlan()
    stands_for = {row: row for row in members}
    placed: set[int] = set()
    for found in find_groups(members, same, by_person, compare, agree):
        group, consensus = _group(found, close, relations, chosen, looks.original)
        plan.groups.append(group)
        plan.choices.extend(label_changes(group.members[0], group.members[1:], consensus))
        for place in placements(group):
            _move(plan, members[place.sample], place)
        rows = {member.id for member in group.members}
        stands_for |= dict.fromkeys(rows, group.members[0].id)
        placed |= rows
    for row in sorted(grouped - placed):
        _move(plan, members[row], Placement(row, True, None, "no longer a duplicate of anything"))
    for pair in _questions(unsure | refused, by_person, stands_for, close):
        doubt = _doubt((members[pair[0]], members[pair[1]]), relations)
        plan.doubts.append(replace(doubt, contested=pair in open_ | refused))
    plan.doubts.sort(key=lambda doubt: sorted(member.key for member in doubt.members))
    return plan


def _group(
    cluster: Sequence[GroupMember],
    close: Mapping[Pair, float],
    relations: Mapping[Pair, Relation],
    chosen: set[int],
    original: FindOriginal,
) -> tuple[DuplicateGroup, LabelConsensus]:
    """Choose the best of a group that begins with its centre, and the label it should have."""
    consensus = label_consensus(cluster)
    supported = without_unsupported(cluster, consensus.unsupported)
    ordered = rank_copies(supported, relations, close, original)
    best, *others = sorted(ordered, key=lambda member: member.id not in chosen)
    altered = alterations(supported, relations, close)
    reason = BY_PERSON if best.id in chosen else why_kept(best, others, altered)
    as_found = {member.id: member for member in cluster}
    members = tuple(as_found[member.id] for member in (best, *others))
    return DuplicateGroup(members, reason, consensus.decisions, consensus.hints), consensus


def placements(group: DuplicateGroup, *, settled: bool = False) -> list[Placement]:
    """Return what becomes of each member: in a conflict everyone stays until it is `settled`."""
    best, *others = group.members
    all_stay = group.conflict and not settled
    why = (
        "copies with different decisions: a person has to say"
        if all_stay
        else f"a copy of {best.key}"
    )
    return [
        Placement(best.id, True, group.name, f"kept: {group.reason}"),
        *(Placement(other.id, all_stay, group.name, why) for other in others),
    ]


def _move(plan: DuplicatePlan, member: GroupMember, place: Placement) -> None:
    if (member.kept, member.group) != (place.kept, place.group):
        plan.places.append(place)


def _questions(
    unsure: Iterable[Pair],
    by_person: Iterable[Pair],
    stands_for: Mapping[int, int],
    close: Mapping[Pair, float],
) -> list[Pair]:
    """Return one compared pair for every two groups that no person has judged yet."""

    def groups(pair: Pair) -> frozenset[int]:
        return frozenset(stands_for.get(row, row) for row in pair)

    def rank(pair: Pair) -> tuple[int, float, Pair]:
        return sum(stands_for[row] != row for row in pair), -close.get(pair, 0.0), pair

    judged = {groups(pair) for pair in by_person}
    first: dict[frozenset[int], Pair] = {}
    for pair in sorted(unsure, key=rank):
        if len(groups(pair)) > 1 and groups(pair) not in judged:
            first.setdefault(groups(pair), pair)
    return list(first.values())


def _doubt(
    pair: tuple[GroupMember, GroupMember], relations: Mapping[Pair, Relation]
) -> DuplicateGroup:
    """Return a pair that may be the same, the better copy first."""
    best, other = rank_copies(pair, relations, {}, lambda rows, mirrored: rows[0])
    decided = {member.label or member.status for member in pair if member.status in DECIDED}
    reason = why_kept(best, [other], alterations(pair, relations, {}))
    return DuplicateGroup((best, other), reason, tuple(sorted(decided)), doubtful=True)
