"""Duplicate sets from verdicts on pairs, without chaining.

Being a copy is not transitive in practice. So every member of a set has been compared with the hub,
the sample that most others are copies of (a crop and a screenshot have less in common with each
other than with the original), and with each member that may contradict it. A sample that fails
starts a set of its own. Samples that a person says are the same stay together; no others that a
person or a comparison refused are in one set.

Copies may contradict each other. A blank template is contained in every captioned one, a crop
without the mouth in faces with different mouths. Two images that each show more than a third one
and are not copies of each other cannot both be copies of it: a person has to decide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import log2

from gleanset.db.duplicates import NOT_SAME, SAME, DuplicateSetMember, PairVerdict, Relation

Pair = tuple[int, int]

MayJoin = Callable[[list[int], list[int]], bool]
"""Returns whether samples (rows) are copies of the members of a set, both with their hub first."""

CompareRows = Callable[[int, int], PairVerdict | None]
"""Returns the verdict on two samples (rows, a < b), or None."""

MIN_SHARED_PART = 0.35
"""Copies share at least this part of each image."""

LOSSLESS_FORMATS = ("PNG", "BMP", "TIFF")
DECIDED_STATUSES = ("labelled", "rejected")
# `changed` (per mille of windows) of images that could not be aligned.
_NOT_ALIGNED = 1000.0
# Bytes per pixel that count for quality; the last two clip those of other lossy formats.
_LOSSLESS_BYTES, _GIF_BYTES, _MIN_BYTES, _MAX_BYTES = 2.0, 0.1, 0.05, 1.0


def order_pair(a: int, b: int) -> Pair:
    """Return two samples (rows) in the order of stored pairs."""
    return min(a, b), max(a, b)


def find_duplicate_sets(
    members: Mapping[int, DuplicateSetMember],
    same: Mapping[Pair, float],
    by_person: Mapping[Pair, bool],
    may_join: MayJoin,
) -> list[list[DuplicateSetMember]]:
    """Return sets of two or more copies, the hub first, ordered by the hubs' keys.

    `same` maps pairs (rows, a < b) to their similarity; `by_person` are those that a person judged.
    """
    similarities: dict[int, dict[int, float]] = defaultdict(dict)
    for (a, b), similarity in same.items():
        similarities[a][b] = similarities[b][a] = similarity
    units = _join_by_person(similarities, by_person)
    remaining = set(similarities)

    def rank(row: int) -> tuple[float, float, float, str]:
        others, member = similarities[row].values(), members[row]
        mean = round(20 * sum(others) / len(others))
        return -len(others), -mean, -quality_score(member), member.key

    def neighbours(hub: int, row: int) -> list[int]:
        nearest = similarities[hub]
        return sorted(
            similarities[row].keys() & remaining,
            key=lambda other: (-nearest.get(other, 0.0), members[other].key),
        )

    def joins(copies: list[int], unit: list[int]) -> bool:
        return not _is_refused(unit, copies, by_person) and may_join(copies, unit)

    sets: list[list[DuplicateSetMember]] = []
    for hub in sorted(similarities, key=rank):
        if hub in remaining:
            copies = _collect_copies(hub, units, neighbours, joins)
            remaining.difference_update(copies)
            if len(copies) > 1:
                sets.append([members[row] for row in copies])
    return sorted(sets, key=lambda copies: copies[0].key)


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
    return any(by_person.get(order_pair(row, other)) is False for row in rows for other in others)


def find_contested_pairs(same: Mapping[Pair, Relation], compare: CompareRows) -> set[Pair]:
    """Return pairs of copies (rows, a < b) that another copy of either contradicts.

    `compare` is called for pairs that show more than a third sample, as few as possible.
    """
    additions: dict[int, list[int]] = defaultdict(list)
    for (a, b), relation in sorted(same.items()):
        if relation.b_adds_content:
            additions[a].append(b)
        if relation.swapped.b_adds_content:
            additions[b].append(a)
    return {
        order_pair(contained, row)
        for contained, rows in additions.items()
        for row in _find_contradicted(rows, compare)
    }


def _find_contradicted(rows: Sequence[int], compare: CompareRows) -> set[int]:
    contradicted, distinct, equal = set[int](), list[int](), dict[int, int]()
    for row in rows:
        for other in distinct:
            verdict = compare(*order_pair(row, other))
            if verdict is None:
                break
            if verdict.verdict != SAME:
                contradicted |= {row, other}
            elif not (verdict.relation.b_adds_content or verdict.relation.swapped.b_adds_content):
                equal[row] = other
                break
        else:
            distinct.append(row)
    return contradicted | {row for row, other in equal.items() if other in contradicted}


def is_refusal(verdict: PairVerdict) -> bool:
    """Return whether two copies of one image differ in the part that both show.

    Crops that only overlap do not contradict each other, nor do small details.
    """
    aligned = verdict.changed < _NOT_ALIGNED and verdict.overlap >= MIN_SHARED_PART
    return verdict.verdict == NOT_SAME and aligned


def possible_refusals(
    relations: Mapping[Pair, Relation], members: Sequence[int], row: int
) -> list[Pair]:
    """Return the pairs of a sample and set members that may not be copies of each other.

    The set begins with its hub. Two samples that are practically equal to the hub are copies.
    """
    hub = members[0]

    def differs(other: int) -> bool:
        relation = relations.get(order_pair(hub, other), Relation.CHANGED)
        return bool(relation & ~Relation.MIRRORED)

    return [order_pair(member, row) for member in members[1:] if differs(row) or differs(member)]


def quality_score(member: DuplicateSetMember) -> float:
    """Return the quality of a copy by its metadata; one more means twice the pixels.

    Uniform borders do not count as pixels.
    """
    pixels = max(1.0, member.width * member.height * member.filled)
    stored = min(_MAX_BYTES, max(_MIN_BYTES, member.bytes_per_pixel))
    stored = {"GIF": _GIF_BYTES}.get(member.format, stored)
    stored = _LOSSLESS_BYTES if member.format in LOSSLESS_FORMATS else stored
    decided = 0.3 * (member.status in DECIDED_STATUSES)
    credit = 0.2 * bool(member.licence) + 0.1 * bool(member.source)
    return log2(pixels) + 0.5 * log2(stored) + decided + credit
