"""Copies that contradict each other: what only a common part ties is a question for a person.

A blank template is contained in every captioned one, a crop without the mouth in faces with
different mouths. Two images that each show more than a third and are not copies of each other
cannot both be copies of it, and nothing tells which of them is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from gleanset.db.duplicates import NOT, SAME, PairVerdict, Relation
from labeler.duplicates.grouping import Pair

DETAIL = 0.35
"""Copies share at least so much of each image."""
# What makes copies of one image refuse each other: all but that one is mirrored.
_DIFFERENT = ~Relation.MIRRORED
_UNKNOWN = Relation.CHANGED
# All windows (per mille) differ where images are not laid on each other.
_NOT_ALIGNED = 1000.0
# The verdict on two samples (rows, a < b); None where they are not compared.
Judge = Callable[[int, int], PairVerdict | None]


def contested_pairs(same: Mapping[Pair, Relation], judge: Judge) -> set[Pair]:
    """Return those pairs of copies (rows, a < b) that another copy of one of both contradicts.

    `judge` is asked for pairs that show more than a third sample, as few as possible.
    """
    additions: dict[int, list[int]] = defaultdict(list)
    for (a, b), relation in sorted(same.items()):
        if relation.added_to_b:
            additions[a].append(b)
        if relation.swapped.added_to_b:
            additions[b].append(a)
    return {
        (min(part, row), max(part, row))
        for part, rows in additions.items()
        for row in _refused(rows, judge)
    }


def is_refusal(verdict: PairVerdict) -> bool:
    """Tell whether two copies of one image show different things in the part that both have.

    Two crops that only overlap do not contradict each other, nor does a small detail.
    """
    aligned = verdict.changed < _NOT_ALIGNED and verdict.overlap >= DETAIL
    return verdict.verdict == NOT and aligned


def suspects(relations: Mapping[Pair, Relation], group: Sequence[int], row: int) -> list[Pair]:
    """Return the pairs of a sample and members of a group that may refuse each other.

    `group` begins with its centre. Two that are as good as equal to the centre are copies.
    """
    centre = group[0]

    def differs(other: int) -> bool:
        return bool(relations.get((min(centre, other), max(centre, other)), _UNKNOWN) & _DIFFERENT)

    return [
        (min(member, row), max(member, row))
        for member in group[1:]
        if differs(row) or differs(member)
    ]


def _refused(rows: Sequence[int], judge: Judge) -> set[int]:
    """Return the samples that are not copies of each of the others."""
    refused: list[int] = []
    fine: list[int] = []
    equal: dict[int, int] = {}
    for row in rows:
        contradicted = False
        for other in (*refused, *fine):
            if contradicted and other in refused:
                continue
            verdict = judge(min(row, other), max(row, other))
            if verdict is None:
                break
            if verdict.verdict != SAME:
                contradicted = True
                if other in fine:
                    fine.remove(other)
                    refused.append(other)
            elif not (verdict.relation.added_to_b or verdict.relation.swapped.added_to_b):
                equal[row] = other
                break
        else:
            (refused if contradicted else fine).append(row)
    return {*refused, *(row for row, other in equal.items() if other in refused)}
