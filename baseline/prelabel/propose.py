"""Suggestions, similarity order and clusters from vectors: a pure function of its inputs."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from baseline.evaluation.intervals import bound_share
from baseline.evaluation.outputs import calibration_error
from curation.similarity.class_learning import (
    LearnedClasses,
    OutOfFold,
    learn_classes,
    round_confidences,
)
from curation.similarity.clustering import (
    Indices,
    Rows,
    cluster_rows,
    refine_with_tracks,
)
from curation.similarity.unknown_classes import Floats
from gleanset.db.journal import HINT, TOGETHER, classify_provenance
from gleanset.db.proposals import PrelabelledSample, PrelabelSample


def choose_label_next(
    prelabelled: Sequence[PrelabelledSample], pending: Collection[str], limit: int = 10
) -> list[str]:
    """Return keys of `pending` samples whose labels are the most informative.

    These are the least confident samples of each cluster in turn; without suggestions, the most
    typical ones of the largest clusters (TypiClust: Hacohen, Dekel and Weinshall, "Active Learning
    on a Budget", 2022).
    """
    sizes = Counter(sample.cluster for sample in prelabelled)

    def rank(sample: PrelabelledSample) -> tuple[float, float]:
        if sample.proposals:
            return sample.proposals[0].confidence, 0.0
        return -sizes[sample.cluster], sample.outlier or 0.0

    turns: Counter[int | None] = Counter()
    keys_by_turn: dict[int, list[str]] = defaultdict(list)
    for sample in sorted(
        (each for each in prelabelled if each.sample in pending), key=rank
    ):
        keys_by_turn[turns[sample.cluster]].append(sample.sample)
        turns[sample.cluster] += 1
    return [key for keys in keys_by_turn.values() for key in keys][:limit]


def outlier_scores(vectors: Rows, kind: Indices) -> Floats:
    """Return the outlier score (N, 0 typical to 1) of vectors (N x D) within their kinds (N).

    It is based on the distance from the mean of the kind in robust standard deviations (median,
    1.4826 MAD) above the median of the kind, or of all samples for a kind of fewer than 5.
    """
    members = _members(kind) if len(kind) else []
    distance = np.zeros(len(vectors))
    for rows in members:
        middle_of_kind = vectors[rows].mean(0, dtype=np.float64)
        distance[rows] = np.linalg.norm(vectors[rows] - middle_of_kind, axis=1)
    middle, spread = _spread(distance)
    middles, spreads = np.full(len(kind), middle), np.full(len(kind), spread)
    for rows in members:
        if len(rows) >= 5:
            middles[rows], spreads[rows] = _spread(distance[rows])
    far = np.maximum(distance - middles, 0) / np.maximum(spreads, spread / 4 + 1e-9)
    score: Floats = far**2 / (far**2 + 9.0)
    return score


def _spread(values: Floats) -> tuple[float, float]:
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(values - middle)))


PROBABILITY_WEIGHT = 0.7
"""Weight of the predicted probabilities in the order by similarity."""


class SimilarityOrder(NamedTuple):
    """Positions of samples in an order by similarity, and their cluster numbers."""

    position: Indices
    cluster: Indices


class PrelabelResult(NamedTuple):
    """The prelabelled samples, metrics as JSON values, and whether classes were learned."""

    prelabelled: list[PrelabelledSample]
    facts: dict[str, object]
    has_classes: bool


def propose(
    samples: Sequence[PrelabelSample],
    vectors: Rows,
    groups: Mapping[str, str],
    unseen: Collection[str] = (),
) -> PrelabelResult:
    """Suggest classes for samples with vectors (N x D, of length 1), and order them by similarity.

    Rejected samples and labelled duplicates are used for training, but are not in the result.
    `groups` are groups of the training samples (`list_training_keys`), by key. Labels of `unseen`
    keys are not used for evaluation.
    """
    model = learn_classes(samples, vectors, groups, unseen, open_set=True)
    order = _order_by_similarity(samples, vectors, model)
    if model is None:
        facts: dict[str, object] = {"clusters": len(np.unique(order.cluster))}
        outliers = outlier_scores(vectors, order.cluster)
    else:
        facts = _collect_facts(model)
        facts["given_together"] = _count_given_together(samples, model)
        facts["of_no_class_at_most"] = _max_rejected_share(samples, groups)
        pending = [
            row for row, s in enumerate(samples) if s.status == "queue" and s.kept
        ]
        facts["of_other_classes"] = round(
            float((1 - model.probabilities[pending].sum(1)).sum())
        )
        outliers = _label_outlier_scores(model, vectors)
    prelabelled = _collect_prelabelled(samples, order, outliers, model)
    facts |= {
        "samples": len(prelabelled),
        "labelled": sum(bool(s.label) for s in samples),
    }
    return PrelabelResult(prelabelled, facts, model is not None)


def _label_outlier_scores(model: LearnedClasses, vectors: Rows) -> Floats:
    """Return outlier scores within classes; for labels, 1 - their out-of-fold probability."""
    rows = model.training.rows
    y = model.training.y
    leave_group_out = model.leave_group_out
    kind = model.probabilities.argmax(1)
    kind[rows] = y
    outliers = outlier_scores(vectors, kind)
    outliers[rows[leave_group_out.at]] = (
        1
        - leave_group_out.probabilities[
            np.arange(len(leave_group_out.at)), y[leave_group_out.at]
        ]
    )
    return outliers


def _order_by_similarity(
    samples: Sequence[PrelabelSample], vectors: Rows, model: LearnedClasses | None
) -> SimilarityOrder:
    names = np.array([sample.track or sample.key for sample in samples])
    _, firsts, track = np.unique(names, return_index=True, return_inverse=True)
    pulled = refine_with_tracks(vectors, _members(track))
    if model is not None:
        weighted = PROBABILITY_WEIGHT * np.sqrt(model.probabilities)
        pulled = np.concatenate([pulled, weighted], axis=1).astype(np.float32)
    position = np.zeros(len(pulled), np.int64)
    subset = pulled[:: max(1, -(-len(pulled) // MAX_DIRECTION_ROWS))]
    directions = np.linalg.svd(subset - subset.mean(axis=0), full_matrices=False)[2][
        :DIRECTIONS
    ]
    position[order_by_proximity(pulled @ directions.T)] = np.arange(len(pulled))
    # A track is in one cluster and counts once there.
    return SimilarityOrder(position, assign_clusters(pulled[firsts])[track])


def _members(numbers: Indices) -> list[Indices]:
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)


def _max_rejected_share(
    samples: Sequence[PrelabelSample], groups: Mapping[str, str]
) -> float | None:
    """Return the upper limit (95 %) of the share of samples of no class; None without any."""
    decided_samples = [
        sample for sample in samples if sample.label or sample.status == "rejected"
    ]
    rejected = np.array([sample.status == "rejected" for sample in decided_samples])
    if not rejected.any():
        return None
    return bound_share(rejected, [groups[sample.key] for sample in decided_samples])


def _collect_prelabelled(
    samples: Sequence[PrelabelSample],
    order: SimilarityOrder,
    outliers: Floats,
    model: LearnedClasses | None,
) -> list[PrelabelledSample]:
    suggestions = model.likeliest if model is not None else [[]] * len(samples)
    return [
        PrelabelledSample(
            sample.key,
            int(order.position[row]),
            round_confidences(suggestions[row]) if sample.status == "queue" else (),
            int(order.cluster[row]),
            round(float(outliers[row]), 2),
        )
        for row, sample in enumerate(samples)
        if sample.kept and sample.status != "rejected"
    ]


def _collect_facts(model: LearnedClasses) -> dict[str, object]:
    classes = len(model.classes)
    training = model.training
    return {
        "classes": classes,
        "groups": len(np.unique(training.groups)),
        **_evaluate_held_out(model.leave_group_out, training.y),
        "beside": _evaluate_held_out(model.leave_sample_out, training.y),
        "rejected": int((training.y >= classes).sum()),
    }


def _count_given_together(
    samples: Sequence[PrelabelSample], model: LearnedClasses
) -> int:
    """Count evaluated labels that a weak label, or a label of a whole cluster, gave."""
    rows = model.training.rows[model.leave_group_out.at].tolist()
    provenances = [samples[row].label_by for row in rows]
    return sum(p == TOGETHER or classify_provenance(p) == HINT for p in provenances)


def _evaluate_held_out(held_out: OutOfFold, y: Indices) -> dict[str, object]:
    if not len(held_out.at):
        return {"held_out": 0, "accuracy": None, "ece": None}
    labels = y[held_out.at]
    probabilities = held_out.probabilities
    return {
        "held_out": len(labels),
        "held_out_classes": len(np.unique(labels)),
        "accuracy": float((probabilities.argmax(1) == labels).mean()),
        "ece": calibration_error(probabilities, labels).ece,
    }


MAX_CLUSTERED_ROWS = 1200
"""Maximum rows to cluster, in quadratic time. Others join the nearest cluster."""
MAX_DIRECTION_ROWS, DIRECTIONS = 600, 24
"""Rows from which principal directions are computed, and directions used for an order."""
MAX_WALKED_POINTS = 32
"""Maximum points that are ordered from nearest to nearest, in quadratic time."""


def assign_clusters(vectors: Rows) -> Indices:
    """Return the cluster number of each row; also for very many rows."""
    length = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    rows: Rows = vectors / length.astype(np.float32)
    subset = np.arange(len(rows))[:: max(1, -(-len(rows) // MAX_CLUSTERED_ROWS))]
    clusters = cluster_rows(rows[subset])
    if len(subset) < len(rows):
        centers = np.stack([rows[subset[cluster]].mean(axis=0) for cluster in clusters])
        centers /= np.maximum(np.linalg.norm(centers, axis=1, keepdims=True), 1e-9)
        return np.asarray((rows @ centers.T).argmax(axis=1), np.int64)
    numbers = np.zeros(len(rows), np.int64)
    for number, cluster in enumerate(clusters):
        numbers[cluster] = number
    return numbers


def order_by_proximity(points: Rows) -> Indices:
    """Return an order of points (N x D) with similar ones adjacent.

    Points are halved along their first principal direction until at most `MAX_WALKED_POINTS` are
    left, which are ordered from nearest to nearest. Takes time N log N.
    """
    order: list[Indices] = []
    end = points[0] if len(points) else np.zeros(0, np.float32)
    todo = [np.arange(len(points))] if len(points) else []
    while todo:
        rows = todo.pop()
        if len(rows) > MAX_WALKED_POINTS:
            near, far = _halves(points, rows, end)
            todo += [far, near]
        else:
            order.append(np.array(list(_walk(points, rows, end)), np.int64))
            end = points[order[-1][-1]]
    return np.concatenate(order) if order else np.zeros(0, np.int64)


def _halves(points: Rows, rows: Indices, end: Rows) -> tuple[Indices, Indices]:
    apart = points[rows] - points[rows].mean(axis=0)
    _, directions = np.linalg.eigh(apart.T @ apart)
    order = rows[np.argsort(apart @ directions[:, -1], kind="stable")]
    first = order[: len(order) // 2]
    second = order[len(order) // 2 :]
    gaps = [
        float(np.sum((points[half].mean(axis=0) - end) ** 2))
        for half in (first, second)
    ]
    return (first, second) if gaps[0] <= gaps[1] else (second, first)


def _walk(points: Rows, rows: Indices, end: Rows) -> Iterator[int]:
    left = list(rows)
    while left:
        gaps = np.sum((points[left] - end) ** 2, axis=1)
        nearest = int(left.pop(int(np.argmin(gaps))))
        end = points[nearest]
        yield nearest
