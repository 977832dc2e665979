"""Duplicate sets from pairs, without chaining, and the quality score of a copy.

Being a copy is not transitive in practice. So every member of a set has been compared with the hub,
the sample that most others are copies of (a crop and a screenshot have less in common with each
other than with the original), and with each member that may contradict it. A sample that fails
starts a set of its own. Samples that a person says are the same stay together; no others that a
person or a comparison refused are in one set.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from math import log2

from curation.disjoint_sets import DisjointSets
from gleanset.db.duplicates import DuplicateSetMember

MayJoin = Callable[[list[int], list[int]], bool]
"""Returns whether samples (rows) are copies of the members of a set, both with their hub first."""

Pair = tuple[int, int]

LOSSLESS_FORMATS = ("PNG", "BMP", "TIFF")
DECIDED_STATUSES = ("labelled", "rejected")


def find_duplicate_sets(
    members: Mapping[int, DuplicateSetMember],
    same: Mapping[Pair, float],
    by_person: Mapping[Pair, bool],
    may_join: MayJoin,
) -> list[list[DuplicateSetMember]]:
    """Return sets of two or more copies, the hub first, ordered by the hubs' keys.

    `same` maps pairs (rows, a < b) to their similarity; `by_person` are those that a person judged.
    """
    similarities = _by_sample(same)
    units = _join_by_person(similarities, by_person)
    remaining = set(similarities)

    def rank(row: int) -> tuple[float, ...]:
        others = similarities[row].values()
        return -len(others), -round(20 * sum(others) / len(others)), -quality_score(members[row])

    def neighbours(hub: int, row: int) -> list[int]:
        nearest = similarities[hub]
        return sorted(
            similarities[row].keys() & remaining,
            key=lambda other: (-nearest.get(other, 0.0), members[other].key),
        )

    def joins(copies: list[int], unit: list[int]) -> bool:
        return not _is_refused(unit, copies, by_person) and may_join(copies, unit)

    sets: list[list[DuplicateSetMember]] = []
    for hub in sorted(similarities, key=lambda row: (rank(row), members[row].key)):
        if hub in remaining:
            copies = _collect_copies(hub, units, neighbours, joins)
            remaining.difference_update(copies)
            if len(copies) > 1:
                sets.append([members[row] for row in copies])
    return sorted(sets, key=lambda copies: copies[0].key)


def _by_sample(same: Mapping[Pair, float]) -> dict[int, dict[int, float]]:
    similarities: dict[int, dict[int, float]] = defaultdict(dict)
    for (a, b), similarity in same.items():
        similarities[a][b] = similarities[b][a] = similarity
    return similarities


def _collect_copies(
    hub: int,
    units: Mapping[int, list[int]],
    neighbours: Callable[[int, int], list[int]],
    joins: MayJoin,
) -> list[int]:
    copies = _begin_with(hub, units[hub])
    visited = set(copies)
    for member in copies:  # grows while we go through it
        for row in neighbours(hub, member):
            if row not in visited:
                unit = _begin_with(row, units[row])
                visited.update(unit)
                if joins(copies, unit):
                    copies.extend(unit)
    return copies


def _begin_with(row: int, rows: list[int]) -> list[int]:
    return sorted(rows, key=lambda other: other != row)


def _join_by_person(rows: Iterable[int], by_person: Mapping[Pair, bool]) -> dict[int, list[int]]:
    units = {row: [row] for row in rows}
    for (a, b), equal in sorted(by_person.items()):
        if equal and a in units and b in units and b not in units[a]:
            first, second = units[a], units[b]
            if not _is_refused(first, second, by_person):
                first += second
                units |= dict.fromkeys(second, first)
    return units


def _is_refused(rows: Iterable[int], others: Iterable[int], by_person: Mapping[Pair, bool]) -> bool:
    return any(by_person.get(_pair(row, other)) is False for row in rows for other in others)


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
