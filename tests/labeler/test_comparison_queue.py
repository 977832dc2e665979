"""Tests that copies are compared with the best copy, and only as often as needed."""

from __future__ import annotations

import pytest
from duplicate_images import COPIES, add_picture, drawing, encoded

from gleanset import Dataset
from gleanset.db.duplicates import Pairs
from labeler.duplicates.decisions import judge
from labeler.duplicates.finder import DuplicateFinder

KINDS = ("small", "grey", "vivid", "letterbox", "squeezed")


@pytest.fixture
def searched(dataset: Dataset) -> list[str]:
    """Return the keys of an image and its copies, after a search."""
    image = drawing(41)
    keys = [add_picture(dataset, "good", encoded(image, 95))]
    keys += [add_picture(dataset, kind, encoded(COPIES[kind](image), 80)) for kind in KINDS]
    counts = DuplicateFinder(dataset, workers=1).search()
    assert counts.compared == counts.same == len(KINDS)
    return keys


def grouped(dataset: Dataset) -> list[set[str]]:
    return [{g.best_key, *g.others} for g in DuplicateFinder(dataset, workers=1).plan().sets]


def test_copies_stay_together_without_best(dataset: Dataset, searched: list[str]) -> None:
    rest, pairs = set(searched[1:]), Pairs(dataset.db)
    with dataset.db.transaction():
        dataset.db.execute("UPDATE sample SET status='retired' WHERE key=?", (searched[0],))
    possible = pairs.get_possible_duplicates()
    assert all(possible[pair] for pair in pairs.list_implied())
    assert grouped(dataset) == [rest]
    assert DuplicateFinder(dataset, workers=1).search().same >= len(rest) - 1
    assert grouped(dataset) == [rest]


def test_copy_separated_from_best_is_compared_again(dataset: Dataset, searched: list[str]) -> None:
    (copies,) = DuplicateFinder(dataset, workers=1).plan().sets
    best, other = copies.best_key, copies.others[0]
    judge(dataset, best, other, same=False)
    assert DuplicateFinder(dataset, workers=1).search().compared >= 1
    assert grouped(dataset) == [set(searched) - {other}]
