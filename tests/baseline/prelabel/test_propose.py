"""Suggestions for points whose classes are known."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from prelabel_samples import make_sample

from baseline.prelabel.propose import PrelabelResult, choose_label_next, outlier_scores
from baseline.prelabel.propose import propose as propose_by_groups
from curation.similarity.class_learning import MIN_BACKGROUND_SAMPLES
from gleanset.db.proposals import PrelabelledSample, PrelabelSample

CLASSES = ("ann", "bea", "cid", "dot")
WIDTH = 16


def draw_blobs(count: int, noise: float = 0.35, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Draw `count` unit vectors per class around its axis."""
    random = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(CLASSES)), count)
    centres = np.eye(WIDTH)[: len(CLASSES)]
    points = centres[truth] + random.normal(0, noise, (len(truth), WIDTH))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points.astype(np.float32), [CLASSES[t] for t in truth]


def make_samples(
    truth: list[str], labelled: set[int], **fields: dict[int, object]
) -> list[PrelabelSample]:
    """Return samples, some labelled; `fields` sets fields of some rows."""
    return [
        make_sample(
            row,
            label if row in labelled else None,
            **{name: values[row] for name, values in fields.items() if row in values},
        )
        for row, label in enumerate(truth)
    ]


def propose(samples: list[PrelabelSample], vectors: np.ndarray) -> PrelabelResult:
    """Propose with groups by duplicate set, scene or post."""
    groups = {sample.key: sample.group or (sample.ties or (sample.key,))[0] for sample in samples}
    return propose_by_groups(samples, vectors, groups)


def by_key(result: PrelabelResult) -> dict[int, PrelabelledSample]:
    return {int(sample.sample): sample for sample in result.prelabelled}


def every_nth(step: int, truth: list[str]) -> set[int]:
    return set(range(0, len(truth), step))


def test_confidence_is_calibrated() -> None:
    vectors, truth = draw_blobs(150)
    result = by_key(propose(make_samples(truth, every_nth(6, truth)), vectors))
    pending = {row: sample for row, sample in result.items() if row % 6}
    right = np.array([sample.proposals[0].label == truth[row] for row, sample in pending.items()])
    confidences = np.array([sample.proposals[0].confidence for sample in pending.values()])
    assert 0.6 < right.mean() < 1
    assert abs(right.mean() - confidences.mean()) < 0.06
    assert (
        right[confidences > np.median(confidences)].mean()
        > right[confidences <= np.median(confidences)].mean()
    )
    assert all(
        sum(p.confidence for p in sample.proposals) <= 1 + 1e-9 for sample in pending.values()
    )
    assert all(not result[row].proposals for row in every_nth(6, truth))


def test_propose_is_deterministic() -> None:
    vectors, truth = draw_blobs(20)
    samples = make_samples(truth, every_nth(4, truth))
    first, second = (propose(samples, vectors) for _ in range(2))
    assert (first.prelabelled, first.facts) == (second.prelabelled, second.facts)


def test_unlabelled_samples_are_ordered_and_clustered() -> None:
    vectors, truth = draw_blobs(40, noise=0.15)
    results = propose(make_samples(truth, set()), vectors)
    result = by_key(results)
    assert not any(sample.proposals for sample in result.values())
    assert sorted(sample.position for sample in result.values()) == list(range(160))
    in_order = [truth[row] for row in sorted(result, key=lambda row: result[row].position)]
    assert sum(a != b for a, b in pairwise(in_order)) < 12  # 119 in random order
    groups: dict[int | None, set[str]] = {}
    for row, sample in result.items():
        groups.setdefault(sample.cluster, set()).add(truth[row])
    assert sorted(map(sorted, groups.values())) == [[name] for name in sorted(CLASSES)]
    suggested = choose_label_next(
        results.prelabelled, {sample.sample for sample in results.prelabelled}, 12
    )
    for turn in range(3):  # one of each cluster in turn
        assert {truth[int(row)] for row in suggested[4 * turn : 4 * turn + 4]} == set(CLASSES)


def test_single_class_gives_no_predictions() -> None:
    vectors, truth = draw_blobs(10)
    result = propose(make_samples(truth, {0, 1}), vectors)
    assert not any(sample.proposals for sample in result.prelabelled)
    assert result.facts["labelled"] == 2


def test_single_label_per_class_is_enough() -> None:
    vectors, truth = draw_blobs(10, noise=0.1)
    results = propose(make_samples(truth, {0, 10, 20, 30}), vectors)
    result = by_key(results)
    rows = [row for row in result if row % 10]
    assert np.mean([result[row].proposals[0].label == truth[row] for row in rows]) > 0.9
    assert results.facts["accuracy"] is None


def test_refused_class_is_never_suggested() -> None:
    vectors, truth = draw_blobs(20)
    refused = {row: frozenset({truth[row]}) for row in range(1, 80, 3)}
    refused[2] = frozenset(CLASSES)
    result = by_key(propose(make_samples(truth, every_nth(5, truth), refused=refused), vectors))
    for row, names in refused.items():
        assert not names & {proposal.label for proposal in result[row].proposals}
    assert result[2].proposals == ()
    assert result[4].proposals


def test_copies_get_label_of_duplicate() -> None:
    vectors, truth = draw_blobs(20)
    vectors[1] = vectors[26]  # looks like another class
    group = {0: "twins", 1: "twins"}
    samples = make_samples(truth, every_nth(5, truth), group=group)
    result = by_key(propose(samples, vectors))
    assert result[1].proposals[0].label == truth[0]
    assert (
        by_key(propose(make_samples(truth, every_nth(5, truth)), vectors))[1].proposals[0].label
        != (truth[0])
    )


@pytest.mark.parametrize("honest", [True, False])
def test_scenes_and_weak_labels_are_weighted_by_accuracy(honest: bool) -> None:
    vectors, truth = draw_blobs(60, noise=0.9, seed=2)
    random = np.random.default_rng(1)
    weak_labels = {row: truth[row] if honest else str(random.choice(CLASSES)) for row in range(240)}
    labelled = every_nth(6, truth)
    plain = propose(make_samples(truth, labelled), vectors)
    hinted = propose(make_samples(truth, labelled, hint=weak_labels), vectors)
    # Two labelled frames in each of twenty scenes: evidence is counted by scene.
    scenes = {row: (f"scene {weak_labels[row]} {row // 12}",) for row in range(240)}
    tied = propose(make_samples(truth, labelled, ties=scenes), vectors)
    before, after, shared = (compute_accuracy(sample, truth) for sample in (plain, hinted, tied))
    if honest:
        assert after > 0.95
        assert shared > before + 0.15
    else:
        assert after > before - 0.05
        assert shared > before - 0.05


def compute_accuracy(result: PrelabelResult, truth: list[str]) -> float:
    rows = {row: sample for row, sample in by_key(result).items() if sample.proposals}
    return float(np.mean([sample.proposals[0].label == truth[row] for row, sample in rows.items()]))


def test_rejected_samples_lower_confidence() -> None:
    vectors, truth = draw_blobs(40, noise=0.2)
    labelled = {row for row in every_nth(4, truth) if truth[row] != "dot"}
    junk = [row for row, label in enumerate(truth) if label == "dot"]
    plain = by_key(propose(make_samples(truth, labelled), vectors))
    status = dict.fromkeys(junk[: MIN_BACKGROUND_SAMPLES * 2], "rejected")
    result = by_key(propose(make_samples(truth, labelled, status=status), vectors))
    assert not set(status) & set(result)
    rest = junk[MIN_BACKGROUND_SAMPLES * 2 :]
    before = np.mean([plain[row].proposals[0].confidence for row in rest])
    after = np.mean([sum(p.confidence for p in result[row].proposals) for row in rest])
    assert after < before / 2


def test_label_next_is_uncertain_and_diverse() -> None:
    vectors, truth = draw_blobs(60, noise=0.6)
    results = propose(make_samples(truth, every_nth(7, truth)), vectors)
    result = by_key(results)
    pending = {sample.sample for sample in results.prelabelled if sample.proposals}
    suggested = [int(key) for key in choose_label_next(results.prelabelled, pending)]
    assert len({result[row].cluster for row in suggested}) == len(suggested) == 10
    confidences = [result[row].proposals[0].confidence for row in suggested]
    assert confidences == sorted(confidences)
    assert confidences[-1] < np.mean([result[int(row)].proposals[0].confidence for row in pending])
    assert choose_label_next(results.prelabelled, ()) == []


def test_outlier_scores() -> None:
    vectors, truth = draw_blobs(30, noise=0.1)
    vectors[7] = -vectors[7]
    odd = outlier_scores(vectors, np.array([CLASSES.index(label) for label in truth]))
    assert odd[7] > 0.9
    assert np.median(odd) < 0.1
    assert odd.argmax() == 7
    # A wrong label is an outlier out of fold.
    wrong = list(truth)
    wrong[40] = "cid"
    result = by_key(propose(make_samples(wrong, set(range(120))), vectors))
    assert result[40].outlier is not None
    assert result[40].outlier > 0.8


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_propose_with_few_samples(count: int) -> None:
    vectors, truth = draw_blobs(count)
    result = propose(make_samples(truth[:count], set()), vectors[:count])
    assert sorted(sample.position for sample in result.prelabelled) == list(range(count))


def test_propose_with_many_samples() -> None:
    vectors, truth = draw_blobs(700, noise=0.15)
    result = by_key(propose(make_samples(truth, set()), vectors))
    assert sorted(sample.position for sample in result.values()) == list(range(2800))
    in_order = [truth[row] for row in sorted(result, key=lambda row: result[row].position)]
    assert sum(a != b for a, b in pairwise(in_order)) < 60  # 2,100 in random order
    pairs = Counter((sample.cluster, truth[row]) for row, sample in result.items())
    clusters = {cluster for cluster, _ in pairs}
    largest = [max(n for pair, n in pairs.items() if pair[0] == sample) for sample in clusters]
    assert sum(largest) > 0.99 * 2800


def test_accepted_predictions_do_not_raise_confidence() -> None:
    vectors, truth = draw_blobs(150, noise=0.5)
    labelled = every_nth(12, truth)
    first = by_key(propose(make_samples(truth, labelled), vectors))
    confidences = {n: one.proposals[0] for n, one in first.items() if one.proposals}
    accepted = {n: one.label for n, one in confidences.items() if one.confidence > 0.7}
    assert len(accepted) > 2 * len(labelled)
    samples = make_samples(
        [accepted.get(n, name) for n, name in enumerate(truth)], labelled | accepted.keys()
    )
    groups = {sample.key: sample.key for sample in samples}
    unseen = {samples[n].key for n in accepted}
    result = propose_by_groups(samples, vectors, groups, unseen=unseen)
    assert result.facts["held_out"] == len(labelled)
    pending = {n: one for n, one in by_key(result).items() if one.proposals}
    right = np.mean([one.proposals[0].label == truth[n] for n, one in pending.items()])
    confidence = np.mean([wait.proposals[0].confidence for wait in pending.values()])
    all_reviewed = by_key(propose_by_groups(samples, vectors, groups))
    before = np.mean([all_reviewed[n].proposals[0].confidence for n in pending])
    assert confidence < before - 0.03
    assert abs(confidence - right) < abs(before - right)
