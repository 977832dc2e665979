"""From vectors and what is known of samples to what a presort says of them: no dataset, no clock.

The same samples and vectors give the same answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from baseline.evaluation.calibration import calibration_error
from baseline.evaluation.intervals import share_at_most
from curation.similarity.class_learning import (
    Floats,
    HeldOut,
    Indices,
    LearnedClasses,
    Rows,
    learn_classes,
    round_confidences,
)
from curation.similarity.clustering import (
    SOME,
    assign_clusters,
    find_main_directions,
    order_by_proximity,
    refine_with_tracks,
)
from gleanset.db.proposals import PresortedSample, PresortSample


def choose_label_next(
    presorted: Sequence[PresortedSample], waiting: Collection[str], most: int = 10
) -> list[str]:
    """Return samples (keys) that are `waiting` and whose labels would teach the most.

    Of each cluster the one whose first proposal is least sure; with nothing proposed the least odd
    one, of the largest clusters first (TypiClust: Hacohen, Dekel and Weinshall, "Active Learning on
    a Budget", 2022).
    """
    sizes = Counter(sample.cluster for sample in presorted)

    def rank(sample: PresortedSample) -> tuple[float, float]:
        if sample.proposals:
            return sample.proposals[0].confidence, 0.0
        return -sizes[sample.cluster], sample.outlier or 0.0

    firsts: dict[int | None, str] = {}
    for sample in sorted((each for each in presorted if each.sample in waiting), key=rank):
        firsts.setdefault(sample.cluster, sample.sample)
    return list(firsts.values())[:most]


def outlier_scores(vectors: Rows, kind: Indices) -> Floats:
    """Return how far each sample is from the middle of its kind: 0 typical, 0.5 far out, up to 1.

    The distance in robust standard deviations (median, 1.4826 MAD) above the median of its kind,
    or of all samples for a kind of fewer than 5.
    """
    counts = np.bincount(kind)
    ends = np.cumsum(counts)
    members = np.split(np.argsort(kind, kind="stable"), ends[:-1])
    distance = np.zeros(len(vectors))
    for rows in members:
        if len(rows):
            middle_of_kind = vectors[rows].mean(0, dtype=np.float64)
            distance[rows] = np.linalg.norm(vectors[rows] - middle_of_kind, axis=1)
    middle, spread = _spread(distance)
    middles, spreads = np.full(len(counts), middle), np.full(len(counts), spread)
    for number in np.flatnonzero(counts >= 5):
        middles[number], spreads[number] = _spread(distance[members[number]])
    far = np.maximum(distance - middles[kind], 0) / np.maximum(spreads[kind], spread / 4 + 1e-9)
    score: Floats = far**2 / (far**2 + 9.0)
    return score


def _spread(values: Floats) -> tuple[float, float]:
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(values - middle)))


PULL = 0.7
"""How far what a model thinks draws samples together in the order of likeness."""
MOST_GROUPS = 300
"""More than a person wants to go through."""


class LikenessOrder(NamedTuple):
    """Places of samples along an order of likeness, and the number of the group of each."""

    place: Indices
    group: Indices


class PresortResult(NamedTuple):
    """What is said of the samples, and figures for a person (JSON values)."""

    presorted: list[PresortedSample]
    facts: dict[str, object]


def propose(
    samples: Sequence[PresortSample],
    vectors: Rows,
    moments: Mapping[str, str],
    unseen: Collection[str] = (),
) -> PresortResult:
    """Propose classes for samples with vectors N x D of length 1, and order them by likeness.

    Rejected samples and labelled copies that were set aside teach, but are not in it.
    `moments` are those of what teaches (`teaching`), by key. Labels of samples (keys) that are
    `unseen` judge nothing.
    """
    learnt = learn_classes(samples, vectors, moments, unseen)
    order = _ordered(samples, vectors, learnt)
    if learnt is None:
        facts: dict[str, object] = {"clusters": len(np.unique(order.group))}
        odd = outlier_scores(vectors, order.group)
    else:
        facts = _facts(learnt)
        facts["of_no_class_at_most"] = _rejected_share_at_most(samples, moments)
        odd = _doubts(learnt, vectors)
    presorted = _presorted(samples, order, odd, learnt)
    facts |= {"samples": len(presorted), "labelled": sum(bool(one.label) for one in samples)}
    return PresortResult(presorted, facts)


def _doubts(learnt: LearnedClasses, vectors: Rows) -> Floats:
    """Return how odd each sample is for its class, or how little is thought of its label."""
    rows, y, alone = learnt.taught.rows, learnt.taught.y, learnt.alone
    kind = learnt.probabilities.argmax(1)
    kind[rows] = y
    odd = outlier_scores(vectors, kind)
    odd[rows[alone.at]] = 1 - alone.probabilities[np.arange(len(alone.at)), y[alone.at]]
    return odd


def _ordered(
    samples: Sequence[PresortSample], vectors: Rows, learnt: LearnedClasses | None
) -> LikenessOrder:
    names = np.array([sample.track or sample.key for sample in samples])
    _, firsts, track = np.unique(names, return_index=True, return_inverse=True)
    pulled = refine_with_tracks(vectors, _members(track))
    if learnt is not None:
        thought = PULL * np.sqrt(learnt.probabilities)
        pulled = np.concatenate([pulled, thought], axis=1).astype(np.float32)
    place = np.zeros(len(pulled), np.int64)
    some = pulled[:: max(1, -(-len(pulled) // SOME))]
    place[order_by_proximity(pulled @ find_main_directions(some))] = np.arange(len(pulled))
    # A track is in one group, and counts as one there.
    return LikenessOrder(place, assign_clusters(pulled[firsts], MOST_GROUPS)[track])


def _members(numbers: Indices) -> list[Indices]:
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)


def _rejected_share_at_most(
    samples: Sequence[PresortSample], moments: Mapping[str, str]
) -> float | None:
    """Return the share of no class that is not exceeded with 95 % confidence, if known."""
    decided = [one for one in samples if one.label or one.status == "rejected"]
    rejected = np.array([one.status == "rejected" for one in decided])
    if not rejected.any():
        return None
    return share_at_most(rejected, [moments[one.key] for one in decided])


def _presorted(
    samples: Sequence[PresortSample],
    order: LikenessOrder,
    odd: Floats,
    learnt: LearnedClasses | None,
) -> list[PresortedSample]:
    proposed = learnt.likeliest if learnt is not None else [[]] * len(samples)
    return [
        PresortedSample(
            sample.key,
            int(order.place[row]),
            round_confidences(proposed[row]) if sample.status == "queue" else (),
            int(order.group[row]),
            round(float(odd[row]), 2),
        )
        for row, sample in enumerate(samples)
        if sample.kept and sample.status != "rejected"
    ]


def _facts(learnt: LearnedClasses) -> dict[str, object]:
    classes, taught = len(learnt.classes), learnt.taught
    return {
        "classes": classes,
        "moments": len(np.unique(taught.moments)),
        **_judged(learnt.alone, taught.y),
        "beside": _judged(learnt.beside, taught.y),
        "rejected": int((taught.y >= classes).sum()),
    }


def _judged(held: HeldOut, y: Indices) -> dict[str, object]:
    if not len(held.at):
        return {"held_out": 0, "accuracy": None, "ece": None}
    own, probabilities = y[held.at], held.probabilities
    right = float((probabilities.argmax(1) == own).mean())
    return {
        "held_out": len(own),
        "accuracy": right,
        "ece": calibration_error(probabilities, own).ece,
    }
