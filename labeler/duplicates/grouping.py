"""Groups of duplicates from pairs, protected against chains, and the best copy of each.

That a is like b and b like c does not make a and c the same picture. So every member of a
group has been compared with its centre, the one that most others are the same as, and closest
to (a crop and a screenshot have less in common with each other than with the picture they come
from), and with each member that may refuse it. A sample that does not pass starts a group of its
own. What a person said of a pair stands above all pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from math import log2

from curation.disjoint_sets import DisjointSets
from gleanset.db.duplicates import GroupMember

# Tells whether two samples (rows) are the same.
Compare = Callable[[int, int], bool]
# Tells whether the second sample (row) may join the first members of a group, its centre first.
Agree = Callable[[list[int], int], bool]
Pair = tuple[int, int]

LOSSLESS = ("PNG", "BMP", "TIFF")
DECIDED = ("labelled", "rejected")


def find_groups(
    members: Mapping[int, GroupMember],
    same: Mapping[Pair, float],
    by_person: Mapping[Pair, bool],
    compare: Compare,
    agree: Agree = lambda group, row: True,
) -> list[list[GroupMember]]:
    """Find groups of two or more, the centre first, in the order of the centres' keys.

    `same` are pairs (rows, a < b) known to be the same and how close they are, `by_person`
    pairs that a person judged. `compare` is asked for pairs of a centre and a member, `agree` for
    a group without its last member and that one.
    """
    near: dict[int, dict[int, float]] = defaultdict(dict)
    for (a, b), close in same.items():
        if by_person.get((a, b), True) and a in members and b in members:
            near[a][b] = near[b][a] = close
    left = {row: members[row] for row in near}
    groups: list[list[GroupMember]] = []
    by_worth = sorted(left.values(), key=lambda member: (-worth(member), member.key))

    def centrality(member: GroupMember) -> tuple[int, int]:
        """Return how many are the same as it, and how close on average, in steps of 0.05."""
        others = near[member.id]
        return len(others), round(20 * sum(others.values()) / len(others))

    for centre in sorted(by_worth, key=centrality, reverse=True):
        if centre.id not in left:
            continue
        group = _around(centre, left, near, by_person, (compare, agree))
        for member in group:
            del left[member.id]
        if len(group) > 1:
            groups.append(group)
    return sorted(groups, key=lambda group: group[0].key)


def _around(
    centre: GroupMember,
    left: Mapping[int, GroupMember],
    near: Mapping[int, Mapping[int, float]],
    by_person: Mapping[Pair, bool],
    judges: tuple[Compare, Agree],
) -> list[GroupMember]:
    """Collect the centre, and whoever of those left a pair leads to and is the same as it."""
    group, visited = [centre], {centre.id}
    compare, agree = judges
    for member in group:  # grows while we go through it
        beside = (near[member.id].keys() - visited) & left.keys()
        close = near[centre.id]
        for row in sorted(beside, key=lambda row: (-close.get(row, 0.0), left[row].key)):
            if any(by_person.get(_pair(row, other.id)) is False for other in group):
                continue
            visited.add(row)
            friend = by_person.get(_pair(member.id, row), False)
            pair = _pair(centre.id, row)
            if friend or (
                (by_person[pair] if pair in by_person else compare(*pair))
                and agree([other.id for other in group], row)
            ):
                group.append(left[row])
    return group


def _pair(a: int, b: int) -> Pair:
    return min(a, b), max(a, b)


def loose(pairs: Iterable[Pair], same: Iterable[Pair]) -> list[Pair]:
    """Return those of some pairs (rows) whose ends are not tied by pairs that are the same."""
    sets, number = DisjointSets(), dict[int, int]()
    for pair in same:
        for row in pair:
            if row not in number:
                number[row] = sets.add()
        sets.join(number[pair[0]], number[pair[1]])

    def root(row: int) -> int:
        return sets.root(number[row]) if row in number else -row

    return [(a, b) for a, b in pairs if root(a) != root(b)]


def worth(member: GroupMember) -> float:
    """Return how good a copy is; one more means twice the pixels, or twice as sharp.

    Uniform borders are no pixels. A copy that was only made larger loses in sharpness more than
    it gains in pixels: doubling the sides leaves about a tenth of the Laplacian's variance.
    """
    stored = 8.0 if member.format in LOSSLESS else min(4.0, max(0.01, member.bytes_per_pixel))
    pixels = max(1.0, member.width * member.height * member.filled)
    fine = log2(pixels) + log2(1 + max(0.0, member.sharpness)) + 0.5 * log2(stored)
    return fine + standing(member)


def standing(member: GroupMember) -> float:
    """Return what speaks for a copy beside its pixels."""
    known = 0.2 * bool(member.licence) + 0.1 * bool(member.source)
    return 0.3 * (member.status in DECIDED) + known
