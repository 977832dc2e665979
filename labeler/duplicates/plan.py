"""What to do about duplicates, as a plain value: who is kept, who is set aside, what moves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gleanset.db.changes import Placement
from gleanset.db.duplicates import BY_PERSON, GroupMember, Pairs
from gleanset.db.journal import Choice
from gleanset.operations import Operation, operation
from labeler.duplicates.groups import Pair, Same, find_groups
from labeler.duplicates.heard import hear, moved, without
from labeler.duplicates.keep import best_first, why_kept


@dataclass(frozen=True, slots=True)
class Group:
    """Copies of one picture. `kept` and `others` are sample keys, `reason` says why it is kept.

    In a `conflict` the members carry different decisions, and nobody is set aside until a
    person has settled it; `decisions` lists them. `hints` are the classes that the members were
    found as, where they differ and no person has said which it is: the group has no label then.
    """

    kept: str
    others: tuple[str, ...]
    reason: str
    conflict: bool = False
    decisions: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


@dataclass(frozen=True)
class DuplicatePlan:
    """The groups, and what has to change so that the catalogue says the same.

    `doubts` are pairs (sample keys) that look the same but for a small place: nobody is set aside
    for them until a person has said what they are.
    """

    groups: list[Group] = field(default_factory=list)
    doubts: list[tuple[str, str]] = field(default_factory=list)
    places: list[Placement] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)

    @property
    def conflicts(self) -> list[Group]:
        """The groups that wait for a person."""
        return [group for group in self.groups if group.conflict]

    @property
    def disputed(self) -> list[Group]:
        """The groups whose hints name several classes: a person has to give the label."""
        return [group for group in self.groups if group.hints]

    def operation(self) -> Operation:
        """What carrying it out is."""
        return operation("set-aside", count=sum(not place.kept for place in self.places))

    def result(self) -> dict[str, object]:
        """As a command returns it."""
        settled = [group for group in self.groups if not group.conflict]
        return {
            "groups": len(self.groups),
            "set_aside": sum(len(g.others) for g in settled),
            "changed": len(self.places),
            "labels_moved": sum(choice.action != "clear" for choice in self.choices),
            "conflicts": len(self.conflicts),
            "disputed": len(self.disputed),
            "labels_taken_back": sum(choice.action == "clear" for choice in self.choices),
            "doubtful": len(self.doubts),
        }


def make_plan(pairs: Pairs, confirmed: Same) -> DuplicatePlan:
    """Group what is known to be the same. `confirmed` is asked for pairs nobody looked at."""
    known, by_person = pairs.known(), pairs.by_person()
    close = pairs.closeness()
    same = {pair: close.get(pair, 1.0) for pair, equal in known.items() if equal}
    grouped = pairs.grouped()
    unsure = pairs.doubtful()
    members = pairs.members({row for pair in [*same, *unsure] for row in pair} | grouped)
    plan = DuplicatePlan()
    stands_for = {row: row for row in members}
    placed: set[int] = set()
    chosen = pairs.chosen()
    for group in find_groups(members, same, by_person, confirmed):
        _add(plan, group, close, chosen)
        kept = next(member.id for member in group if member.key == plan.groups[-1].kept)
        stands_for |= dict.fromkeys((member.id for member in group), kept)
        placed |= {member.id for member in group}
    for row in sorted(grouped - placed):
        _move(plan, members[row], Placement(row, True, None, "no longer a duplicate of anything"))
    for a, b in _asked(unsure, stands_for) - _asked(by_person, stands_for):
        plan.doubts.append((members[a].key, members[b].key))
    plan.doubts.sort()
    return plan


def _asked(pairs: Iterable[Pair], stands_for: Mapping[int, int]) -> set[Pair]:
    """Pairs of samples as pairs of the groups' kept ones (rows)."""
    found = {(stands_for.get(a, a), stands_for.get(b, b)) for a, b in pairs}
    return {(min(pair), max(pair)) for pair in found if pair[0] != pair[1]}


def _add(
    plan: DuplicatePlan, group: Sequence[GroupMember], close: Mapping[Pair, float], chosen: set[int]
) -> None:
    heard = hear(group)
    group = without(group, heard.unborne)
    centre = group[0].id
    shown = {m.id: close.get((min(centre, m.id), max(centre, m.id)), 1.0) for m in group}
    best, *others = sorted(best_first(group, group[0], shown), key=lambda m: m.id not in chosen)
    reason = BY_PERSON if best.id in chosen else why_kept(best, others)
    keys = tuple(member.key for member in others)
    plan.groups.append(Group(best.key, keys, reason, heard.conflict, heard.decisions, heard.hints))
    # The name of a group is the smallest key in it: it stays when another one becomes the best.
    name = min(member.key for member in group)
    _move(plan, best, Placement(best.id, True, name, f"kept: {reason}"))
    for other in others:
        why = (
            "copies with different decisions: a person has to say"
            if heard.conflict
            else f"a copy of {best.key}"
        )
        _move(plan, other, Placement(other.id, heard.conflict, name, why))
    plan.choices.extend(moved(best, others, heard))


def _move(plan: DuplicatePlan, member: GroupMember, place: Placement) -> None:
    if (member.kept, member.group) != (place.kept, place.group):
        plan.places.append(place)
