"""What to do about duplicates, as a plain value: who is kept, who is set aside, what moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gleanset.db.asides import Aside
from gleanset.db.journal import Choice
from gleanset.db.pairs import Member, Pairs
from labeler.duplicates.groups import Same, find_groups
from labeler.duplicates.keep import best_first, why_kept

_DECIDED = {"labelled": "label", "rejected": "reject"}


@dataclass(frozen=True, slots=True)
class Group:
    """Copies of one picture. `kept` and `others` are sample keys, `reason` says why it is kept.

    In a `conflict` the members carry different decisions, and nobody is set aside until a
    person has settled it; `decisions` lists them.
    """

    kept: str
    others: tuple[str, ...]
    reason: str
    conflict: bool = False
    decisions: tuple[str, ...] = ()


@dataclass(frozen=True)
class DuplicatePlan:
    """The groups, and what has to change so that the catalogue says the same."""

    groups: list[Group] = field(default_factory=list)
    places: list[Aside] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)

    @property
    def conflicts(self) -> list[Group]:
        """The groups that wait for a person."""
        return [group for group in self.groups if group.conflict]

    def name(self) -> str:
        """The name of the step."""
        return f"Set {sum(not place.kept for place in self.places)} duplicates aside"

    def result(self) -> dict[str, object]:
        """As a command returns it."""
        settled = [group for group in self.groups if not group.conflict]
        return {
            "groups": len(self.groups), "set_aside": sum(len(g.others) for g in settled),
            "changed": len(self.places), "labels_moved": len(self.choices),
            "conflicts": len(self.conflicts),
        }  # fmt: skip


def make_plan(pairs: Pairs, confirmed: Same) -> DuplicatePlan:
    """Group what is known to be the same. `confirmed` is asked for pairs nobody looked at."""
    known, by_person = pairs.known(), pairs.by_person()
    close = pairs.closeness()
    same = {pair: close.get(pair, 1.0) for pair, equal in known.items() if equal}
    grouped = pairs.grouped()
    members = pairs.members({row for pair in same for row in pair} | grouped)
    plan = DuplicatePlan()
    placed: set[int] = set()
    for group in find_groups(members, same, by_person, confirmed):
        _add(plan, group)
        placed |= {member.id for member in group}
    for row in sorted(grouped - placed):
        _move(plan, members[row], Aside(row, True, None, "no longer a duplicate of anything"))
    return plan


def _add(plan: DuplicatePlan, group: Sequence[Member]) -> None:
    best, *others = best_first(group, group[0])
    decisions = sorted({_decision(m) for m in group if m.status in _DECIDED})
    conflict = len(decisions) > 1
    reason = why_kept(best, others)
    keys = tuple(member.key for member in others)
    plan.groups.append(Group(best.key, keys, reason, conflict, tuple(decisions)))
    # The name of a group is the smallest key in it: it stays when another one becomes the best.
    name = min(member.key for member in group)
    _move(plan, best, Aside(best.id, True, name, f"kept: {reason}"))
    for other in others:
        why = ("copies with different decisions: a person has to say" if conflict
               else f"a copy of {best.key}")  # fmt: skip
        _move(plan, other, Aside(other.id, conflict, name, why))
    giver = next((m for m in others if m.status in _DECIDED), None)
    if giver is not None and not conflict and best.status not in _DECIDED:
        plan.choices.append(Choice(best.key, _DECIDED[giver.status], giver.label, "duplicate"))


def _move(plan: DuplicatePlan, member: Member, place: Aside) -> None:
    if (member.kept, member.group) != (place.kept, place.group):
        plan.places.append(place)


def _decision(member: Member) -> str:
    return member.label or member.status
