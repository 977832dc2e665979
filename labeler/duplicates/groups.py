"""Groups of duplicates from pairs, protected against chains.

That a is like b and b like c does not make a and c the same picture. So every member of a
group has been compared with its centre, the one that most others are the same as, and closest
to (a crop and a screenshot have less in common with each other than with the picture they come
from); whoever does not pass starts a group of their own. What a person said of a pair stands
above all pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

from gleanset.db.duplicates import GroupMember
from labeler.duplicates.keep import best_first

# Whether two samples (rows) are the same: what is known, or a second look taken now.
Same = Callable[[int, int], bool]
Pair = tuple[int, int]


def find_groups(
    members: Mapping[int, GroupMember],
    same: Mapping[Pair, float],
    by_person: Mapping[Pair, bool],
    confirmed: Same,
) -> list[list[GroupMember]]:
    """Groups of two or more, the centre first, in the order of the centres' keys.

    `same` are pairs (rows, a < b) known to be the same and how close they are, `by_person`
    pairs that a person judged.
    """
    near: dict[int, dict[int, float]] = defaultdict(dict)
    for (a, b), close in same.items():
        if by_person.get((a, b), True) and a in members and b in members:
            near[a][b] = near[b][a] = close
    left = {row: members[row] for row in near}
    found: list[list[GroupMember]] = []
    by_worth = best_first(list(left.values()))
    for centre in sorted(by_worth, key=lambda member: _centrality(near[member.id]), reverse=True):
        if centre.id not in left:
            continue
        group = _around(centre, left, near, by_person, confirmed)
        for member in group:
            del left[member.id]
        if len(group) > 1:
            found.append(group)
    return sorted(found, key=lambda group: group[0].key)


def _around(
    centre: GroupMember,
    left: Mapping[int, GroupMember],
    near: Mapping[int, Mapping[int, float]],
    by_person: Mapping[Pair, bool],
    confirmed: Same,
) -> list[GroupMember]:
    """The centre, and whoever of those left a pair leads to and is the same as it."""
    group, asked = [centre], {centre.id}
    for member in group:  # grows while we go through it
        for row in sorted(near[member.id].keys() - asked):
            if row not in left or _forbidden(row, group, by_person):
                continue
            asked.add(row)
            friend = by_person.get(_pair(member.id, row), False)
            if friend or _same(centre.id, row, by_person, confirmed):
                group.append(left[row])
    return group


def _centrality(near: Mapping[int, float]) -> tuple[int, int]:
    """How many are the same as a sample, and how close on the whole, in steps of 0.05."""
    return len(near), round(20 * sum(near.values()) / len(near))


def _forbidden(row: int, group: list[GroupMember], by_person: Mapping[Pair, bool]) -> bool:
    """Whether a person keeps it apart from a member."""
    return any(by_person.get(_pair(row, one.id)) is False for one in group)


def _same(a: int, b: int, by_person: Mapping[Pair, bool], confirmed: Same) -> bool:
    said = by_person.get(_pair(a, b))
    return confirmed(*_pair(a, b)) if said is None else said


def _pair(a: int, b: int) -> Pair:
    return min(a, b), max(a, b)
