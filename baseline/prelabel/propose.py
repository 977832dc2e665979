"""Suggestions, similarity order and clusters from vectors: a pure function of its inputs."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
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
from curation.similarity.clustering import cluster_rows, refine_with_tracks
from gleanset.arrays import (
    Float32Array,
    Float64Array,
    IntArray,
    normalize_rows,
    split_by_number,
    thin_out,
)
from gleanset.db.journal import HINT, TOGETHER, classify_provenance
from gleanset.db.proposals import PrelabelledSample, PrelabelSample


def choose_label_next(
    all_samples: Sequence[PrelabelledSample], pending: Collection[str], limit: int = 10
) -> list[str]:
    """Return keys of `pending` samples whose labels are the most informative.

    These are the least confident samples of each cluster in turn; without suggestions, the most
    typical ones of the largest clusters (TypiClust: Hacohen, Dekel and Weinshall, "Active Learning
    on a Budget", 2022).
    """
    sizes = Counter(sample.cluster for sample in all_samples)

    def rank(sample: PrelabelledSample) -> tuple[float, float]:
        if sample.proposals:
            return sample.proposals[0].confidence, 0.0
        # The most typical image of a cluster has the lowest outlier score.
        return -sizes[sample.cluster], sample.outlier or 0.0

    # In the order of `rank`, the first sample of each cluster has turn 0, the second turn 1. As
    # turn 0 occurs before turn 1, the keys of `keys_by_turn` ascend.
    samples = [sample for sample in all_samples if sample.sample in pending]
    turns = Counter[int | None]()
    keys_by_turn = defaultdict[int, list[str]](list)
    for sample in sorted(samples, key=rank):
        keys_by_turn[turns[sample.cluster]].append(sample.sample)
        turns[sample.cluster] += 1

    return list(chain.from_iterable(keys_by_turn.values()))[:limit]


def compute_outlier_scores(vectors: Float32Array, kind: IntArray) -> Float64Array:
    """Return the outlier score (N, 0 typical to 1) of vectors (N x D) within their kinds (N).

    It is based on the distance from the mean of the kind in robust standard deviations (median,
    1.4826 MAD) above the median of the kind, or of all samples for a kind of fewer than 5.
    """
    members = split_by_number(kind)
    distances = np.zeros(len(vectors))
    for rows in members:
        mean = vectors[rows].mean(0, dtype=np.float64)
        distances[rows] = np.linalg.norm(vectors[rows] - mean, axis=1)

    median, spread = _measure_spread(distances)
    medians = np.full(len(kind), median)
    spreads = np.full(len(kind), spread)
    for rows in members:
        if len(rows) >= MIN_KIND_SIZE:
            medians[rows], spreads[rows] = _measure_spread(distances[rows])

    # A kind of nearly equal images would make outliers of slightly different ones.
    spreads = np.maximum(spreads, spread / 4 + 1e-9)
    deviations = np.maximum(distances - medians, 0) / spreads
    # Half at three deviations.
    return np.asarray(deviations**2 / (deviations**2 + 9.0))


MIN_KIND_SIZE = 5


class _Spread(NamedTuple):
    """Median, and standard deviation as estimated from the median absolute deviation."""

    median: float
    deviation: float


def _measure_spread(values: Float64Array) -> _Spread:
    median = float(np.median(values))
    deviation = float(np.median(np.abs(values - median)))
    return _Spread(median, 1.4826 * deviation)


PROBABILITY_WEIGHT = 0.7
"""Weight of the predicted probabilities in the order by similarity."""


class SimilarityOrder(NamedTuple):
    """Positions of samples in an order by similarity, and their cluster numbers."""

    position: IntArray
    cluster: IntArray


class PrelabelResult(NamedTuple):
    """The prelabelled samples, metrics as JSON values, and whether classes were learned."""

    prelabelled: list[PrelabelledSample]
    facts: dict[str, object]
    has_classes: bool


def propose(
    samples: Sequence[PrelabelSample],
    vectors: Float32Array,
    groups: Mapping[str, str],
    unseen: Collection[str],
) -> PrelabelResult:
    """Suggest classes for samples with vectors (N x D, of length 1), and order them by similarity.

    Rejected samples and labelled duplicates are used for training, but are not in the result.
    `groups` are groups of the training samples (`list_training_keys`), by key. Labels of `unseen`
    keys are not used for evaluation.
    """
    model = learn_classes(
        samples,
        vectors,
        groups,
        unseen,
        open_set=True,
    )
    order = _order_by_similarity(samples, vectors, model)

    if model is None:
        facts: dict[str, object] = {"clusters": len(np.unique(order.cluster))}
        outliers = compute_outlier_scores(vectors, order.cluster)
    else:
        facts = _collect_facts(model)
        facts["given_together"] = _count_given_together(samples, model)
        facts["of_no_class_at_most"] = _max_rejected_share(samples, groups)
        facts["of_other_classes"] = _count_of_other_classes(samples, model)
        outliers = _score_outliers(model, vectors)

    results = _collect_prelabelled(samples, order, outliers, model)
    facts |= {
        "samples": len(results),
        "labelled": sum(bool(sample.label) and sample.kept for sample in samples),
    }
    return PrelabelResult(results, facts, model is not None)


def _count_of_other_classes(
    samples: Sequence[PrelabelSample], model: LearnedClasses
) -> int:
    """Return the expected number of pending samples of classes without labels."""
    rows = [
        row
        for row, sample in enumerate(samples)
        if sample.status == "queue" and sample.kept
    ]
    # What the probabilities of the classes lack to 1 is that of other classes.
    of_classes = model.probabilities[rows].sum(1)
    return round(float((1 - of_classes).sum()))


def _score_outliers(model: LearnedClasses, vectors: Float32Array) -> Float64Array:
    """Return outlier scores within classes; for labels, 1 - their out-of-fold probability."""
    rows = model.training.rows
    y = model.training.y
    # The class of each sample: predicted, or its label if it has one.
    kind = model.probabilities.argmax(1)
    kind[rows] = y
    outliers = compute_outlier_scores(vectors, kind)

    out_of_fold = model.leave_group_out
    labels = y[out_of_fold.indices]
    label_probabilities = out_of_fold.probabilities[np.arange(len(labels)), labels]
    outliers[rows[out_of_fold.indices]] = 1 - label_probabilities
    return outliers


def _order_by_similarity(
    samples: Sequence[PrelabelSample],
    vectors: Float32Array,
    model: LearnedClasses | None,
) -> SimilarityOrder:
    # `track` (N) has the number of each sample's track, `firsts` a row of each track.
    names = np.array([sample.track or sample.key for sample in samples])
    _, firsts, track = np.unique(names, return_index=True, return_inverse=True)
    # All rows of a track are its mean now.
    points = refine_with_tracks(vectors, split_by_number(track))
    if model is not None:
        # Roots of probabilities have length 1, as the vectors have.
        probabilities = PROBABILITY_WEIGHT * np.sqrt(model.probabilities)
        points = np.concatenate([points, probabilities], axis=1).astype(np.float32)

    # Proximity in a few principal directions.
    subset = thin_out(points, MAX_DIRECTION_ROWS)
    deviations = subset - subset.mean(axis=0)
    _, _, directions = np.linalg.svd(deviations, full_matrices=False)
    order = order_by_proximity(points @ directions[:DIRECTIONS].T)
    position = np.zeros(len(points), np.int64)
    position[order] = np.arange(len(points))

    # A track is in one cluster and counts once there.
    return SimilarityOrder(position, assign_clusters(points[firsts])[track])


def _max_rejected_share(
    samples: Sequence[PrelabelSample], groups: Mapping[str, str]
) -> float | None:
    """Return the upper limit (95 %) of the share of samples of no class; None without any."""
    decisions = [
        sample for sample in samples if sample.label or sample.status == "rejected"
    ]
    is_rejected = np.array([sample.status == "rejected" for sample in decisions])
    if not is_rejected.any():
        return None
    return bound_share(is_rejected, [groups[sample.key] for sample in decisions])


def _collect_prelabelled(
    samples: Sequence[PrelabelSample],
    order: SimilarityOrder,
    outliers: Float64Array,
    model: LearnedClasses | None,
) -> list[PrelabelledSample]:
    results = []
    proposals = model.list_proposals() if model else [[]] * len(samples)
    for row, sample in enumerate(samples):
        if not sample.kept or sample.status == "rejected":
            continue
        is_pending = sample.status == "queue"
        results.append(
            PrelabelledSample(
                sample.key,
                position=int(order.position[row]),
                proposals=round_confidences(proposals[row]) if is_pending else (),
                cluster=int(order.cluster[row]),
                outlier=round(float(outliers[row]), 2),
            )
        )
    return results


def _collect_facts(model: LearnedClasses) -> dict[str, object]:
    classes = len(model.classes)
    training = model.training
    return {
        "classes": classes,
        "groups": len(np.unique(training.groups)),
        **_evaluate_held_out(model.leave_group_out, training.y),
        # Rejected samples have the number after the last class.
        "rejected": int((training.y >= classes).sum()),
    }


def _count_given_together(
    samples: Sequence[PrelabelSample], model: LearnedClasses
) -> int:
    """Count evaluated labels that a weak label, or a label of a whole cluster, gave."""
    rows = model.training.rows[model.leave_group_out.indices].tolist()
    provenances = [samples[row].label_by for row in rows]
    return sum(
        provenance == TOGETHER or classify_provenance(provenance) == HINT
        for provenance in provenances
    )


def _evaluate_held_out(out_of_fold: OutOfFold, y: IntArray) -> dict[str, object]:
    if not len(out_of_fold.indices):
        return {"held_out": 0, "accuracy": None, "ece": None}
    labels = y[out_of_fold.indices]
    probabilities = out_of_fold.probabilities
    return {
        "held_out": len(labels),
        "held_out_classes": len(np.unique(labels)),
        "accuracy": float((probabilities.argmax(1) == labels).mean()),
        "ece": calibration_error(probabilities, labels).ece,
    }


MAX_CLUSTERED_ROWS = 1200
"""Maximum rows to cluster, in quadratic time. Others join the nearest cluster."""
MAX_DIRECTION_ROWS = 600
"""Maximum rows from which principal directions are computed."""
DIRECTIONS = 24
"""Principal directions by which rows are ordered."""
MAX_WALKED_POINTS = 32
"""Maximum points that are ordered from nearest to nearest, in quadratic time."""


def assign_clusters(vectors: Float32Array) -> IntArray:
    """Return the cluster number of each row; also for very many rows."""
    rows = normalize_rows(vectors)
    subset = thin_out(np.arange(len(rows)), MAX_CLUSTERED_ROWS)
    clusters = cluster_rows(rows[subset])

    # Others join the cluster with the nearest mean.
    if len(subset) < len(rows):
        means = [rows[subset[cluster]].mean(axis=0) for cluster in clusters]
        similarity = rows @ normalize_rows(np.stack(means)).T
        return np.asarray(similarity.argmax(axis=1), np.int64)

    numbers = np.zeros(len(rows), np.int64)
    for number, cluster in enumerate(clusters):
        numbers[cluster] = number
    return numbers


def order_by_proximity(points: Float32Array) -> IntArray:
    """Return an order of points (N x D) with similar ones adjacent.

    Points are halved along their first principal direction until at most `MAX_WALKED_POINTS` are
    left, which are ordered from nearest to nearest. Takes time N log N.
    """
    if not len(points):
        return np.zeros(0, np.int64)

    # A stack of rows to order, the next ones last.
    order: list[int] = []
    stack = [np.arange(len(points))]
    last_point = points[0]
    while stack:
        rows = stack.pop()
        if len(rows) > MAX_WALKED_POINTS:
            # The half that is nearer to the last point comes first.
            halves = _split_in_half(points, rows)
            halves.sort(key=partial(_measure_gap, points, last_point))
            stack += reversed(halves)
        else:
            order += _walk(points, rows, last_point)
            last_point = points[order[-1]]

    return np.array(order, np.int64)


def _split_in_half(points: Float32Array, rows: IntArray) -> list[IntArray]:
    """Split rows along the direction in which their points vary most."""
    deviations = points[rows] - points[rows].mean(axis=0)
    # Eigenvalues ascend: the last vector is the first principal direction.
    _, directions = np.linalg.eigh(deviations.T @ deviations)
    positions = deviations @ directions[:, -1]
    order = rows[np.argsort(positions, kind="stable")]
    middle = len(order) // 2
    return [order[:middle], order[middle:]]


def _measure_gap(points: Float32Array, point: Float32Array, rows: IntArray) -> float:
    """Return the squared distance of a point from the mean of rows."""
    mean = points[rows].mean(axis=0)
    return float(np.sum((mean - point) ** 2))


def _walk(
    points: Float32Array, rows: IntArray, last_point: Float32Array
) -> Iterator[int]:
    """Yield the rows from nearest to nearest."""
    remaining = list(rows)
    while remaining:
        gaps = np.sum((points[remaining] - last_point) ** 2, axis=1)
        nearest = int(remaining.pop(int(np.argmin(gaps))))
        last_point = points[nearest]
        yield nearest
