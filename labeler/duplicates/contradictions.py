"""Copies that contradict each other, so that a person has to decide.

A blank template is contained in every captioned one, a crop without the mouth in faces with
different mouths. Two images that each show more than a third one and are not copies of each other
cannot both be copies of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from gleanset.db.duplicates import NOT_SAME, SAME, PairVerdict, Relation
from labeler.duplicates.duplicate_sets import Pair

MIN_SHARED_PART = 0.35
"""Copies share at least this part of each image."""

# `changed` (per mille of windows) of images that could not be aligned.
_NOT_ALIGNED = 1000.0

CompareRows = Callable[[int, int], PairVerdict | None]
"""Returns the verdict on two samples (rows, a < b); None where they cannot be compared."""


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
        (min(contained, row), max(contained, row))
        for contained, rows in additions.items()
        for row in _find_contradicted(rows, compare)
    }


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
        relation = relations.get((min(hub, other), max(hub, other)), Relation.CHANGED)
        return bool(relation & ~Relation.MIRRORED)

    return [
        (min(member, row), max(member, row))
        for member in members[1:]
        if differs(row) or differs(member)
    ]


def _find_contradicted(rows: Sequence[int], compare: CompareRows) -> set[int]:
    contradicted, distinct, equal = set[int](), list[int](), dict[int, int]()
    for row in rows:
        for other in distinct:
            verdict = compare(min(row, other), max(row, other))
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
