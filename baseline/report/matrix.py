"""The confusion matrix as rows of shaded cells, and the pairs that are confused most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PAIRS = 10


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell. `shade` is its share of the true class, 0 to 1."""

    count: int
    shade: float
    right: bool
    words: str


@dataclass(frozen=True, slots=True)
class Row:
    """What the pictures of one true class were taken for; `number` counts from 1."""

    number: int
    name: str
    cells: list[Cell]
    total: int


@dataclass(frozen=True, slots=True)
class Confused:
    """`count` of `total` pictures of class `true` were taken for `answered`."""

    true: str
    answered: str
    count: int
    total: int


def rows(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> list[Row]:
    """One row for each true class."""
    return [_row(i, counts, classes) for i, counts in enumerate(confusion)]


def _row(true: int, counts: Sequence[int], classes: Sequence[str]) -> Row:
    total = sum(counts)
    cells = [
        Cell(
            n,
            n / total if total else 0.0,
            true == j,
            f"{classes[true]} taken for {classes[j]}: {n}",
        )
        for j, n in enumerate(counts)
    ]
    return Row(true + 1, classes[true], cells, total)


def confused(
    confusion: Sequence[Sequence[int]], classes: Sequence[str], most: int = PAIRS
) -> list[Confused]:
    """Mistakes made more than once, the commonest first: a matrix of forty classes hides them."""
    found = [
        Confused(classes[i], classes[j], n, sum(counts))
        for i, counts in enumerate(confusion)
        for j, n in enumerate(counts)
        if i != j and n > 1
    ]
    return sorted(found, key=lambda pair: (-pair.count, pair.true, pair.answered))[:most]
