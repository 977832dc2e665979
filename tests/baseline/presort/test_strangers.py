"""Samples of no class among those that wait: proposed less surely, and counted."""

from __future__ import annotations

import numpy as np
import pytest

from baseline.presort.classify import FeatureRows
from baseline.presort.propose import PresortResult, propose
from baseline.presort.strangers import likelihood_ratio, stranger_share
from gleanset.db.proposals import PresortSample

WIDTH, CLASSES, EACH = 24, 6, 40


def points(kinds: int, seed: int) -> tuple[FeatureRows, np.ndarray]:
    """`EACH` vectors of length 1 about the middle of each kind, and which kind they are of."""
    random = np.random.default_rng(seed)
    middles = np.random.default_rng(0).normal(size=(kinds, WIDTH))
    kind = np.repeat(np.arange(kinds), EACH)
    found = middles[kind] + random.normal(0, 0.7, (len(kind), WIDTH))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found.astype(np.float32), kind


def told(
    strange: int, seed: int, labelled: int = 15, rejected: int = 15
) -> tuple[PresortResult, np.ndarray]:
    """What is proposed where `strange` kinds have no class; the true kinds.

    So many of each class are labelled, and so many of each other kind rejected.
    """
    vectors, kind = points(CLASSES + strange, seed)
    decided = np.arange(len(kind)) % EACH < np.where(kind < CLASSES, labelled, rejected)
    known = decided & (kind < CLASSES)
    return proposed(vectors, kind, known, decided & ~known, seed), kind


def proposed(
    vectors: FeatureRows,
    kind: np.ndarray,
    known: np.ndarray,
    rejected: np.ndarray,
    seed: int,
    moment: str | None = None,
) -> PresortResult:
    """What is proposed where these rows are labelled by their kind, and those rejected.

    All are of one `moment`, or each of its own.
    """
    status = np.where(known, "labelled", np.where(rejected, "rejected", "queue"))
    samples = [
        PresortSample(
            f"{row:05}",
            str(status[row]),
            f"class {kind[row]}" if known[row] else None,
            None,
            (),
            None,
            frozenset(),
        )
        for row in range(len(kind))
    ]
    return propose(samples, vectors, {s.key: moment or s.key for s in samples}, seed)


def sureness(found: PresortResult, kind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The confidence of the first proposal: of known samples that wait, and of strangers."""
    waits = {int(s.sample): s for s in found.standings if s.proposals or s.ask is not None}
    best = {row: s.proposals[0].confidence if s.proposals else 0.0 for row, s in waits.items()}
    return (
        np.array([sure for row, sure in best.items() if kind[row] < CLASSES]),
        np.array([sure for row, sure in best.items() if kind[row] >= CLASSES]),
    )


def test_strangers_are_proposed_less_surely_and_counted() -> None:
    found, kind = told(3, 1)
    known, strange = sureness(found, kind)
    assert np.mean(strange > 0.5) < 0.15
    assert np.mean(known > 0.5) > 0.85
    assert 0.5 < float(str(found.facts["of_no_class"])) / (3 * (EACH - 15)) < 1.3


def test_who_labels_what_is_easy_first_makes_no_strangers_of_the_rest() -> None:
    vectors, kind = points(CLASSES, 4)
    middles = np.stack([vectors[kind == name].mean(0) for name in range(CLASSES)])
    far = np.linalg.norm(vectors - middles[kind], axis=1)
    known = np.zeros(len(kind), np.bool_)
    for name in range(CLASSES):
        rows = np.flatnonzero(kind == name)
        known[rows[np.argsort(far[rows])[:15]]] = True
    found = proposed(vectors, kind, known, np.zeros(len(kind), np.bool_), 4)
    assert float(str(found.facts["of_no_class"])) < 0.05 * np.sum(~known)


def test_without_strangers_nothing_is_lost() -> None:
    found, kind = told(0, 2)
    known, _ = sureness(found, kind)
    assert float(str(found.facts["of_no_class"])) < 0.05 * len(known)
    assert np.mean(known > 0.5) > 0.95


def test_too_few_labels_say_nothing_of_strangers() -> None:
    found, _ = told(3, 3, labelled=1, rejected=0)
    assert found.facts["of_no_class"] == 0


def test_where_strangers_look_more_familiar_nothing_is_said() -> None:
    random = np.random.default_rng(0)
    known, strange, waits = random.random(80) / 2, 0.4 + random.random(60) / 2, random.random(300)
    assert likelihood_ratio(known, strange, waits) == pytest.approx(np.ones(300))
    ratio = likelihood_ratio(strange, known, waits)
    assert ratio[waits.argmin()] > 1 > ratio[waits.argmax()]


def test_the_share_of_strangers_is_what_samples_surely_show() -> None:
    random = np.random.default_rng(0)
    for known, strange in ((700, 300), (900, 100)):
        x = np.append(random.normal(1, 1, known), random.normal(-1, 1, strange))
        assert 0.4 * strange < 1000 * stranger_share(np.exp(-2 * x)) < strange
    assert stranger_share(np.exp(-2 * random.normal(1, 1, 1000))) == 0
    assert stranger_share(np.ones(500)) == 0


def test_where_all_is_of_one_moment_no_stranger_is_told() -> None:
    vectors, kind = points(CLASSES, 3)
    known = np.arange(len(kind)) % EACH < 10
    found = proposed(vectors, kind, known, np.zeros(len(kind), bool), 3, "one picture")
    assert found.facts["held_out"] == 0
    assert found.facts["of_no_class"] == pytest.approx(0, abs=0.5)
