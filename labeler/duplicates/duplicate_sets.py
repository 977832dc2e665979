"""Duplicate sets from pairs, without chaining, and the quality score of a copy.

Being a copy is not transitive in practice. So every member of a set has been compared with the hub,
the sample that most others are copies of (a crop and a screenshot have less in common with each
other than with the original), and with each member that may contradict it. A sample that fails
starts a set of its own. Decisions of a person override all comparisons.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from math import log2

from curation.disjoint_sets import DisjointSets
from gleanset.db.duplicates import DuplicateSetMember

IsSame = Callable[[int, int], bool]
"""Returns whether two samples (rows, a < b) are copies."""

MayJoin = Callable[[list[int], int], bool]
"""Returns whether a sample (row) agrees with the members of a set, its hub first."""

Pair = tuple[int, int]

LOSSLESS_FORMATS = ("PNG", "BMP", "TIFF")
DECIDED_STATUSES = ("labelled", "rejected")


def find_duplicate_sets(
    members: Mapping[int, DuplicateSetMember],
    same: Mapping[Pair, float],
    by_person: Mapping[Pair, bool],
    is_same: IsSame,
    may_join: MayJoin = lambda copies, row: True,
) -> list[list[DuplicateSetMember]]:
    """Return sets of two or more copies, the hub first, ordered by the hubs' keys.

    `same` maps pairs (rows, a < b) of copies to their similarity, `by_person` has the pairs that a
    person judged. `is_same` is called for pairs of a hub and a member, `may_join` for the members
    so far and a new one.
    """
    similarities: dict[int, dict[int, float]] = defaultdict(dict)
    for (a, b), similarity in same.items():
        if by_person.get((a, b), True) and a in members and b in members:
            similarities[a][b] = similarities[b][a] = similarity
    remaining = {row: members[row] for row in similarities}
    sets: list[list[DuplicateSetMember]] = []
    by_quality = sorted(remaining.values(), key=lambda member: (-quality_score(member), member.key))

    def centrality(member: DuplicateSetMember) -> tuple[int, int]:
        others = similarities[member.id]
        return len(others), round(20 * sum(others.values()) / len(others))

    for hub in sorted(by_quality, key=centrality, reverse=True):
        if hub.id not in remaining:
            continue
        copies = _collect_copies(hub, remaining, similarities, by_person, (is_same, may_join))
        for member in copies:
            del remaining[member.id]
        if len(copies) > 1:
            sets.append(copies)
    return sorted(sets, key=lambda copies: copies[0].key)


def _collect_copies(
    hub: DuplicateSetMember,
    remaining: Mapping[int, DuplicateSetMember],
    similarities: Mapping[int, Mapping[int, float]],
    by_person: Mapping[Pair, bool],
    judges: tuple[IsSame, MayJoin],
) -> list[DuplicateSetMember]:
    copies, visited = [hub], {hub.id}
    is_same, may_join = judges
    for member in copies:  # grows while we go through it
        neighbours = (similarities[member.id].keys() - visited) & remaining.keys()
        similarity = similarities[hub.id]
        for row in sorted(
            neighbours, key=lambda row: (-similarity.get(row, 0.0), remaining[row].key)
        ):
            if any(by_person.get(_pair(row, other.id)) is False for other in copies):
                continue
            visited.add(row)
            is_bound = by_person.get(_pair(member.id, row), False)
            pair = _pair(hub.id, row)
            if is_bound or (
                (by_person[pair] if pair in by_person else is_same(*pair))
                and may_join([other.id for other in copies], row)
            ):
                copies.append(remaining[row])
    return copies


def _pair(a: int, b: int) -> Pair:
    return min(a, b), max(a, b)


def untied_pairs(pairs: Iterable[Pair], same: Iterable[Pair]) -> list[Pair]:
    """Return the pairs (rows) whose ends are not connected by pairs that are the same."""
    sets, number = DisjointSets(), dict[int, int]()
    for pair in same:
        for row in pair:
            if row not in number:
                number[row] = sets.add()
        sets.merge(number[pair[0]], number[pair[1]])

    def root(row: int) -> int:
        return sets.find(number[row]) if row in number else -row

    return [(a, b) for a, b in pairs if root(a) != root(b)]


def quality_score(member: DuplicateSetMember) -> float:
    """Return the quality of a copy; one more means twice the pixels, or twice the sharpness.

    Uniform borders do not count as pixels. An enlarged copy loses more sharpness than it gains
    pixels: doubling the sides leaves about a tenth of the Laplacian's variance.
    """
    bytes_per_pixel = (
        8.0 if member.format in LOSSLESS_FORMATS else min(4.0, max(0.01, member.bytes_per_pixel))
    )
    pixels = max(1.0, member.width * member.height * member.filled)
    pixel_score = log2(pixels) + log2(1 + max(0.0, member.sharpness)) + 0.5 * log2(bytes_per_pixel)
    return pixel_score + metadata_score(member)


def metadata_score(member: DuplicateSetMember) -> float:
    """Return the part of the quality score that does not depend on pixels."""
    credit = 0.2 * bool(member.licence) + 0.1 * bool(member.source)
    return 0.3 * (member.status in DECIDED_STATUSES) + credit
