"""How many proposals are said to be wrong holds, with pictures of no class among them as well."""

from __future__ import annotations

import numpy as np
import pytest

from baseline.presort.propose import PresortResult, propose
from baseline.presort.words import wrong_at_most
from curation.likeness.recommend import Rows
from gleanset.db.proposals import PresortSample, Proposal

WIDTH, CLASSES, STRANGE, EACH = 24, 4, 2, 30


def points(seed: int, spread: float = 1.0) -> tuple[Rows, np.ndarray]:
    """`EACH` vectors of length 1 about the middle of each kind, and which kind they are of."""
    random = np.random.default_rng(seed)
    middles = np.random.default_rng(0).normal(size=(CLASSES + STRANGE, WIDTH))
    kind = np.repeat(np.arange(CLASSES + STRANGE), EACH)
    found = middles[kind] + random.normal(0, spread, (len(kind), WIDTH))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found.astype(np.float32), kind


def proposed(vectors: Rows, kind: np.ndarray, decided: np.ndarray) -> PresortResult:
    """What is proposed where these rows are labelled by their kind, or rejected."""
    status = np.where(decided, np.where(kind < CLASSES, "labelled", "rejected"), "queue")
    samples = [
        PresortSample(
            f"{row:05}",
            str(status[row]),
            f"class {kind[row]}" if status[row] == "labelled" else None,
            None,
            (),
            None,
            frozenset(),
        )
        for row in range(len(kind))
    ]
    return propose(samples, vectors, {s.key: s.key for s in samples})


def sure_and_right(
    made: PresortResult, kind: np.ndarray, waits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The confidences of the first proposals of these rows, and which are right."""
    none = (Proposal("", 0.0),)
    first = {one.sample: (one.proposals or none)[0] for one in made.presorted}
    rows = np.flatnonzero(waits)
    names = [first[f"{row:05}"].label for row in rows]
    sure = np.array([first[f"{row:05}"].confidence for row in rows])
    return sure, np.array(names) == np.char.add("class ", kind[waits].astype(str))


@pytest.mark.parametrize("moments", [12, 36])
def test_no_more_are_wrong_than_is_told_where_those_of_no_class_were_rejected(moments: int) -> None:
    most, were, expected = [], [], []
    for seed in range(12):
        vectors, kind = points(seed)
        decided = np.zeros(len(kind), np.bool_)
        decided[np.random.default_rng(seed).permutation(len(kind))[:moments]] = True
        made = proposed(vectors, kind, decided)
        sure, right = sure_and_right(made, kind, ~decided)
        most.append(wrong_at_most(float(str(made.facts["of_no_class_at_most"])), sure.tolist()))
        were.append(int((~right).sum()))
        expected.append(float((1 - sure).sum()))
    assert np.mean(np.array(were) <= most) >= 0.9
    assert np.mean(most) < 0.9 * (len(kind) - moments)
    if moments == 12:
        assert np.mean(were) > 1.1 * np.mean(expected), "a figure without them is too low"


def test_of_those_of_a_class_no_more_are_wrong_than_expected() -> None:
    known, expected, strange = 0, 0.0, 0
    for seed in range(12):
        vectors, kind = points(seed)
        decided = np.zeros(len(kind), np.bool_)
        of_class = np.flatnonzero(kind < CLASSES)
        decided[np.random.default_rng(seed).permutation(of_class)[:12]] = True
        made = proposed(vectors, kind, decided)
        assert made.facts["of_no_class_at_most"] is None, "nothing was rejected"
        sure, right = sure_and_right(made, kind, ~decided & (kind < CLASSES))
        known, expected = known + int((~right).sum()), expected + float((1 - sure).sum())
        strange += len(sure_and_right(made, kind, kind >= CLASSES)[0])
    assert 0.3 * expected < known < expected
    assert known + strange > 1.5 * expected, "that is why it is told for those of a class alone"
