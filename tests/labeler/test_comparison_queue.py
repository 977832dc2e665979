"""Copies are compared with the best of them, and no more often than it takes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import pytest
from duplicate_images import COPIES, add_picture, drawing, encoded

from gleanset import Dataset
from gleanset.db.duplicates import Pairs
from labeler.duplicates.decisions import judge
from labeler.duplicates.duplicate_sets import Pair
from labeler.duplicates.finder import DuplicateFinder
from labeler.duplicates.verification import MAX_BATCH_IMAGES, ComparisonQueue

KINDS = ("small", "grey", "vivid", "letterbox", "squeezed")


def looks(comparisons: ComparisonQueue, same: Callable[[int, int], bool]) -> list[Pair]:
    """The pairs that are compared when `same` tells what comparing them says."""
    made = []
    while stars := comparisons.next_round():
        for star in stars:
            for a, b in star:
                if comparisons.set_number(a) != comparisons.set_number(b):
                    made.append((a, b))
                    if same(a, b):
                        comparisons.join(a, b)
    return made


def test_copies_are_compared_with_best_only() -> None:
    copies = list(range(100, 114))
    pairs = list(combinations(copies, 2))
    made = looks(ComparisonQueue(list(reversed(copies)), pairs, []), lambda a, b: True)
    assert made == [(other, 113) for other in reversed(copies[:-1])]
    assert looks(ComparisonQueue(copies, pairs, made), lambda a, b: False) == []


def test_image_unlike_hub_is_compared_with_others() -> None:
    order = [1, 2, 3, 4]
    made = looks(
        ComparisonQueue(order, list(combinations(order, 2)), []), lambda a, b: (a, b) != (1, 4)
    )
    assert made == [(1, 2), (1, 3), (1, 4), (2, 4)]


def test_chains_longer_than_a_batch_are_joined() -> None:
    order = list(range(1, 10 * MAX_BATCH_IMAGES))
    comparisons = ComparisonQueue(
        order, [(a, a + b) for a in order for b in (1, 7) if a + b in order], []
    )
    assert len(looks(comparisons, lambda a, b: True)) == len(order) - 1
    assert all(comparisons.set_number(1) == comparisons.set_number(other) for other in order)


def copies(dataset: Dataset) -> list[str]:
    """A picture and copies of it."""
    good = add_picture(dataset, "good", encoded(drawing(41), 95))
    return [
        good,
        *(add_picture(dataset, kind, encoded(COPIES[kind](drawing(41)), 80)) for kind in KINDS),
    ]


@pytest.fixture
def looked(dataset: Dataset) -> list[str]:
    """The keys of a picture and its copies, after a search."""
    keys = copies(dataset)
    counts = DuplicateFinder(dataset, workers=1).search()
    assert counts.compared == counts.same == len(KINDS)
    return keys


def grouped(dataset: Dataset) -> list[set[str]]:
    return [{g.best_key, *g.others} for g in DuplicateFinder(dataset, workers=1).plan().sets]


def verdicts(dataset: Dataset) -> set[str]:
    return {row[0] for row in dataset.db.fetch_all("SELECT verdict FROM pair")}


def test_implied_pairs_are_stored(dataset: Dataset, looked: list[str]) -> None:
    assert grouped(dataset) == [set(looked)]
    assert verdicts(dataset) == {"same", "tied"}
    assert DuplicateFinder(dataset, workers=1).search() == (0, 0, 0, 0)


def test_copies_stay_together_without_best(dataset: Dataset, looked: list[str]) -> None:
    """A face that another detector does not find, say."""
    rest, pairs = set(looked[1:]), Pairs(dataset.db)
    with dataset.db.transaction():
        dataset.db.execute("UPDATE sample SET status='retired' WHERE key=?", (looked[0],))
    known = pairs.get_possible_duplicates()
    assert all(known[pair] for pair in pairs.list_implied())
    assert grouped(dataset) == [rest]
    assert DuplicateFinder(dataset, workers=1).search().same >= len(rest) - 1
    assert grouped(dataset) == [rest]


def test_copy_separated_from_best_is_compared_again(dataset: Dataset, looked: list[str]) -> None:
    best, other = grouped_best(dataset)
    judge(dataset, best, other, same=False)
    assert DuplicateFinder(dataset, workers=1).search().compared >= 1
    assert grouped(dataset) == [set(looked) - {other}]


def grouped_best(dataset: Dataset) -> tuple[str, str]:
    (group,) = DuplicateFinder(dataset, workers=1).plan().sets
    return group.best_key, group.others[0]
