"""Suggestions for points whose classes are known, and for frames of scenes."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from prelabel_samples import make_sample

from baseline.evaluation.outputs import calibration_error
from baseline.prelabel.prelabeling import PrelabelReport, max_wrong_count
from baseline.prelabel.propose import (
    PrelabelResult,
    choose_label_next,
    compute_outlier_scores,
)
from baseline.prelabel.propose import propose as propose_by_groups
from curation.similarity.class_learning import (
    MIN_BACKGROUND_SAMPLES,
    TrainingRows,
    vote_by_name,
)
from gleanset.arrays import Float64Array, IntArray
from gleanset.db.proposals import PrelabelledSample, PrelabelSample, Proposal

CLASSES = ("ann", "bea", "cid", "dot")
WIDTH = 16


def draw_blobs(
    count: int, noise: float = 0.35, seed: int = 0
) -> tuple[np.ndarray, list[str]]:
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
    groups = {
        sample.key: sample.group or (sample.ties or (sample.key,))[0]
        for sample in samples
    }
    return propose_by_groups(samples, vectors, groups, ())


def by_key(result: PrelabelResult) -> dict[int, PrelabelledSample]:
    return {int(sample.sample): sample for sample in result.prelabelled}


def every_nth(step: int, truth: list[str]) -> set[int]:
    return set(range(0, len(truth), step))


def test_confidence_is_calibrated() -> None:
    vectors, truth = draw_blobs(150)
    result = by_key(propose(make_samples(truth, every_nth(6, truth)), vectors))
    pending = {row: sample for row, sample in result.items() if row % 6}
    right = np.array(
        [sample.proposals[0].label == truth[row] for row, sample in pending.items()]
    )
    confidences = np.array(
        [sample.proposals[0].confidence for sample in pending.values()]
    )
    assert 0.6 < right.mean() < 1
    assert abs(right.mean() - confidences.mean()) < 0.06
    high = confidences > np.median(confidences)
    assert right[high].mean() > right[~high].mean()
    assert all(
        sum(p.confidence for p in one.proposals) <= 1 + 1e-9 for one in pending.values()
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
    in_order = [
        truth[row] for row in sorted(result, key=lambda row: result[row].position)
    ]
    assert sum(a != b for a, b in pairwise(in_order)) < 12  # 119 in random order
    groups: dict[int | None, set[str]] = {}
    for row, sample in result.items():
        groups.setdefault(sample.cluster, set()).add(truth[row])
    assert sorted(map(sorted, groups.values())) == [[name] for name in sorted(CLASSES)]
    suggested = choose_label_next(
        results.prelabelled, {sample.sample for sample in results.prelabelled}, 12
    )
    for turn in range(3):  # one of each cluster in turn
        assert {truth[int(row)] for row in suggested[4 * turn : 4 * turn + 4]} == set(
            CLASSES
        )


def test_labelled_duplicates_are_counted_with_their_copy() -> None:
    vectors, truth = draw_blobs(10)
    facts = propose(make_samples(truth, {0, 1}, kept={1: False}), vectors).facts
    assert (facts["samples"], facts["labelled"]) == (39, 1), "and 38 are unlabelled"


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
    result = by_key(
        propose(make_samples(truth, every_nth(5, truth), refused=refused), vectors)
    )
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
    alone = by_key(propose(make_samples(truth, every_nth(5, truth)), vectors))
    assert alone[1].proposals[0].label != truth[0]


@pytest.mark.parametrize("honest", [True, False])
def test_scenes_and_weak_labels_are_weighted_by_accuracy(honest: bool) -> None:
    vectors, truth = draw_blobs(60, noise=0.9, seed=2)
    random = np.random.default_rng(1)
    weak_labels = {
        row: truth[row] if honest else str(random.choice(CLASSES)) for row in range(240)
    }
    labelled = every_nth(6, truth)
    plain = propose(make_samples(truth, labelled), vectors)
    hinted = propose(make_samples(truth, labelled, hint=weak_labels), vectors)
    # Two labelled frames in each of twenty scenes: evidence is counted by scene.
    scenes = {row: (f"scene {weak_labels[row]} {row // 12}",) for row in range(240)}
    tied = propose(make_samples(truth, labelled, ties=scenes), vectors)
    before, after, shared = (
        compute_accuracy(sample, truth) for sample in (plain, hinted, tied)
    )
    if honest:
        assert after > 0.95
        assert shared > before + 0.15
    else:
        assert after > before - 0.05
        assert shared > before - 0.05


def compute_accuracy(result: PrelabelResult, truth: list[str]) -> float:
    rows = {row: sample for row, sample in by_key(result).items() if sample.proposals}
    return float(
        np.mean(
            [sample.proposals[0].label == truth[row] for row, sample in rows.items()]
        )
    )


def test_rejected_samples_lower_confidence() -> None:
    vectors, truth = draw_blobs(40, noise=0.2)
    labelled = {row for row in every_nth(10, truth) if truth[row] != "dot"}
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
    clusters = Counter(result[row].cluster for row in suggested)
    assert clusters.keys() == {result[int(key)].cluster for key in pending}
    assert (len(suggested), max(clusters.values())) == (10, 2), "clusters take turns"
    confidences = [result[row].proposals[0].confidence for row in suggested]
    first = confidences[: len(clusters)]
    second = confidences[len(clusters) :]
    assert (first, second) == (sorted(first), sorted(second))
    assert confidences[-1] < np.mean(
        [result[int(row)].proposals[0].confidence for row in pending]
    )
    assert choose_label_next(results.prelabelled, ()) == []


def test_outlier_scores() -> None:
    vectors, truth = draw_blobs(30, noise=0.1)
    vectors[7] = -vectors[7]
    odd = compute_outlier_scores(
        vectors, np.array([CLASSES.index(label) for label in truth])
    )
    assert odd[7] > 0.9
    assert np.median(odd) < 0.1
    assert odd.argmax() == 7
    # A wrong label is an outlier out of fold.
    wrong = list(truth)
    wrong[40] = "cid"
    result = by_key(propose(make_samples(wrong, set(range(120))), vectors))
    assert result[40].outlier > 0.8


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_propose_with_few_samples(count: int) -> None:
    vectors, truth = draw_blobs(count)
    result = propose(make_samples(truth[:count], set()), vectors[:count])
    assert sorted(sample.position for sample in result.prelabelled) == list(
        range(count)
    )


def test_propose_with_many_samples() -> None:
    vectors, truth = draw_blobs(700, noise=0.15)
    result = by_key(propose(make_samples(truth, set()), vectors))
    assert sorted(sample.position for sample in result.values()) == list(range(2800))
    in_order = [
        truth[row] for row in sorted(result, key=lambda row: result[row].position)
    ]
    assert sum(a != b for a, b in pairwise(in_order)) < 60  # 2,100 in random order
    pairs = Counter((sample.cluster, truth[row]) for row, sample in result.items())
    clusters = {cluster for cluster, _ in pairs}
    largest = [
        max(n for pair, n in pairs.items() if pair[0] == sample) for sample in clusters
    ]
    assert sum(largest) > 0.99 * 2800


def test_many_samples_get_proposals_in_seconds() -> None:
    vectors, truth = draw_blobs(700)
    samples = make_samples(truth, every_nth(10, truth))
    begin = time.process_time()
    result = by_key(propose(samples, vectors))
    # 0.3 s; minutes if the proposals of all samples are listed for each of them.
    assert time.process_time() - begin < 10
    assert all(
        bool(sample.proposals) == bool(row % 10) for row, sample in result.items()
    )


def test_accepted_predictions_do_not_raise_confidence() -> None:
    vectors, truth = draw_blobs(150, noise=0.5)
    # Two classes: of more, those that wait may as well be of another one.
    is_used = np.isin(truth, CLASSES[:2])
    vectors = vectors[is_used]
    truth = [name for name in truth if name in CLASSES[:2]]
    labelled = every_nth(12, truth)
    first = by_key(propose(make_samples(truth, labelled), vectors))
    confidences = {n: one.proposals[0] for n, one in first.items() if one.proposals}
    accepted = {n: one.label for n, one in confidences.items() if one.confidence > 0.7}
    assert len(accepted) > 2 * len(labelled)
    samples = make_samples(
        [accepted.get(n, name) for n, name in enumerate(truth)],
        labelled | accepted.keys(),
    )
    groups = {sample.key: sample.key for sample in samples}
    unseen = {samples[n].key for n in accepted}
    result = propose_by_groups(samples, vectors, groups, unseen=unseen)
    assert result.facts["held_out"] == len(labelled)
    pending = {n: one for n, one in by_key(result).items() if one.proposals}
    right = np.mean([one.proposals[0].label == truth[n] for n, one in pending.items()])
    confidence = np.mean([wait.proposals[0].confidence for wait in pending.values()])
    all_reviewed = by_key(propose_by_groups(samples, vectors, groups, ()))
    before = np.mean([all_reviewed[n].proposals[0].confidence for n in pending])
    assert confidence < before - 0.03
    assert abs(confidence - right) < abs(before - right)


@pytest.mark.parametrize("label_by", ["hint", "import"])
def test_weak_labels_do_not_judge_their_own_labels(label_by: str) -> None:
    vectors, truth = draw_blobs(60, noise=0.3)
    random = np.random.default_rng(0)
    wrong = set(np.flatnonzero(random.random(len(truth)) < 0.3).tolist())
    turned = dict(zip(CLASSES, [*CLASSES[1:], CLASSES[0]], strict=True))
    weak = [turned[name] if n in wrong else name for n, name in enumerate(truth)]
    labelled = set(range(0, len(truth), 2))
    samples = [
        sample._replace(label_by=label_by if sample.label else "person")
        for sample in make_samples(weak, labelled, hint=dict(enumerate(weak)))
    ]
    facts = propose(samples, vectors).facts
    true_share = 1 - len(wrong & labelled) / len(labelled)
    assert facts["held_out"] == len(labelled)
    assert facts["accuracy"] == pytest.approx(true_share, abs=0.08)
    assert facts["given_together"] == (len(labelled) if label_by == "hint" else 0)
    result = by_key(propose(samples, vectors))
    pending = [n for n in range(len(truth)) if n not in labelled]
    expected = sum(1 - result[n].proposals[0].confidence for n in pending)
    errors = sum(result[n].proposals[0].label != truth[n] for n in pending)
    assert errors - 6 < expected


SHARES = (0.4, 0.3, 0.2, 0.1)
NUMBER = {name: place for place, name in enumerate(CLASSES)}
FRAMES = 4


def draw_scenes(
    count: int, pure: float, spread: float, seed: int
) -> tuple[np.ndarray, IntArray, IntArray]:
    """Draw frames: vectors, classes and scenes.

    A share of `pure` has the scene's class; frames of a scene share an offset of size `spread`.
    """
    random = np.random.default_rng(seed)
    scene = np.repeat(np.arange(count), FRAMES)
    kind = random.choice(len(CLASSES), count, p=SHARES)[scene]
    others = random.choice(len(CLASSES), len(scene), p=SHARES)
    truth = np.where(random.random(len(scene)) < pure, kind, others)
    offset = random.normal(0, spread, (count, WIDTH))[scene]
    points = np.eye(WIDTH)[truth] + offset + random.normal(0, 0.25, (len(scene), WIDTH))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points.astype(np.float32), truth, scene


def prelabel_rows(
    vectors: np.ndarray,
    truth: IntArray,
    scene: IntArray,
    labelled_rows: Iterable[int],
    hints: Sequence[str | None] | None = None,
) -> PrelabelResult:
    labelled = set(labelled_rows)
    samples = [
        make_sample(
            row,
            CLASSES[truth[row]] if row in labelled else None,
            ties=(f"scene {scene[row]}",),
            hint=hints[row] if hints else None,
        )
        for row in range(len(truth))
    ]
    groups = {sample.key: f"group {scene[row]}" for row, sample in enumerate(samples)}
    return propose_by_groups(samples, vectors, groups, ())


def probabilities_of(result: PrelabelResult, rows: Sequence[int]) -> Float64Array:
    """Return the suggested probabilities of these rows (N x classes)."""
    by_row = {
        int(prediction.sample): prediction.proposals
        for prediction in result.prelabelled
    }
    table = np.zeros((len(rows), len(CLASSES)))
    for place, row in enumerate(rows):
        for prediction in by_row[row]:
            table[place, NUMBER[prediction.label]] = prediction.confidence
    return table


def test_scene_votes_count_groups() -> None:
    # Scene b: four frames of ann; c: three of ann, one of bea; one pending in each.
    names = [(scene,) for scene in "b" * 5 + "c" * 5 + "d"]
    rows = np.array([0, 1, 2, 3, 5, 6, 7, 8])
    y = np.array([0, 0, 0, 0, 0, 0, 0, 1])
    groups = np.array([0] * 4 + [1] * 4)
    train = TrainingRows(
        rows, y, groups, np.ones(8, np.bool_), 2, np.zeros(8, np.bool_)
    )
    ties = vote_by_name(names, train)
    assert (ties.votes[4].tolist(), ties.votes[9].tolist()) == ([1, 0], [0.75, 0.25])
    assert ties.votes[10].tolist() == [0, 0]
    # A labelled frame is voted on by the others; each scene counts once.
    assert ties.votes[5] == pytest.approx([2 / 3, 1 / 3])
    assert ties.votes[8].tolist() == [1, 0]
    waits = ties.compute_gains(train, train.reviewed)[4, 0]
    right = (1 + 0.5 + 1) / (2 + 2)
    assert waits == pytest.approx(np.log(right / (1 - right)))
    own = (0.5 + 1) / (1 + 2)
    assert ties.compute_gains(train, train.reviewed)[0, 0] == pytest.approx(
        np.log(own / (1 - own)), abs=1e-9
    )


@pytest.mark.slow
@pytest.mark.parametrize("pure", [0.6, pytest.param(0.97, marks=pytest.mark.long)])
def test_confidence_in_partly_labelled_scenes_is_calibrated(pure: float) -> None:
    probabilities: list[Float64Array] = []
    labels: list[IntArray] = []
    for seed in range(5):
        vectors, truth, scene = draw_scenes(120, pure, 0.5, seed)
        labelled_rows = [4 * n + k for n in range(60) for k in (0, 1)]
        rows = [4 * n + k for n in range(60) for k in (2, 3)]
        result = prelabel_rows(vectors, truth, scene, labelled_rows)
        probabilities.append(probabilities_of(result, rows))
        labels.append(truth[rows])
    p = np.concatenate(probabilities)
    y = np.concatenate(labels)
    right = (p.argmax(1) == y).mean()
    # Of four classes, a few samples may as well be of another one.
    assert right - 0.08 < p.max(1).mean() < right + 0.015
    for place in range(len(CLASSES)):
        assert abs(p[:, place].mean() - (y == place).mean()) < 0.035


def test_printed_accuracy_matches_unlabelled_scenes() -> None:
    # With weak labels, which improve suggestions a lot.
    printed = []
    served = []
    for seed in range(3):
        vectors, truth, scene = draw_scenes(200, 0.6, 0.9, seed)
        random = np.random.default_rng(seed)
        honest = random.random(len(truth)) < 0.9
        hints = [
            CLASSES[t if h else (t + 1) % 4] for t, h in zip(truth, honest, strict=True)
        ]
        labelled_rows = np.arange(0, 400)  # 100 of 200 scenes
        result = prelabel_rows(vectors, truth, scene, labelled_rows, hints)
        rows = list(range(400, 800))
        p = probabilities_of(result, rows)
        served.append(
            (
                float((p.argmax(1) == truth[rows]).mean()),
                calibration_error(p, truth[rows]).ece,
            )
        )
        printed.append((result.facts["accuracy"], result.facts["ece"]))
    (right, ece) = np.mean(served, axis=0)
    (told_right, told_ece) = np.mean(printed, axis=0)
    assert right > 0.88
    assert told_right == pytest.approx(right, abs=0.03)
    assert told_ece == pytest.approx(ece, abs=0.02)


def test_folds_keep_groups_together() -> None:
    # Pairs of equal noise with random labels: only the other one of a pair tells the label.
    random = np.random.default_rng(0)
    pair = np.repeat(np.arange(80), 2)
    vectors = random.normal(size=(80, 128)).astype(np.float32)[pair]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    truth = random.integers(0, 4, 80)[pair]
    samples = [
        make_sample(row, CLASSES[truth[row]], ties=(f"post {row}", f"pair {pair[row]}"))
        for row in range(160)
    ]
    groups = {sample.key: f"m{pair[row]}" for row, sample in enumerate(samples)}
    result = propose_by_groups(samples, vectors, groups, ())
    assert result.facts["groups"] == 80
    assert result.facts["accuracy"] < 0.45


KNOWN = 4
OTHERS = 2
EACH = 30
KIND = np.repeat(np.arange(KNOWN + OTHERS), EACH)


def prelabel_points(
    seed: int, count: int, kinds: int
) -> tuple[PrelabelResult, np.ndarray]:
    """Prelabel `EACH` points per class; `count` of the first `kinds` classes are decided.

    Those of known classes are labelled, others rejected. Return the mask of decided points, too.
    """
    random = np.random.default_rng(seed)
    middles = np.random.default_rng(0).normal(size=(KNOWN + OTHERS, 24))
    vectors = middles[KIND] + random.normal(0, 1.0, (len(KIND), 24))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    decided = np.zeros(len(KIND), np.bool_)
    order = np.random.default_rng(seed).permutation(np.flatnonzero(kinds > KIND))
    decided[order[:count]] = True
    samples = []
    for row, number in enumerate(KIND):
        label = f"class {number}" if decided[row] and number < KNOWN else None
        status = {"status": "rejected"} if decided[row] and label is None else {}
        samples.append(make_sample(row, label, **status))
    groups = {sample.key: sample.key for sample in samples}
    return propose_by_groups(samples, vectors.astype(np.float32), groups, ()), decided


def confidence_and_correctness(
    result: PrelabelResult, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the confidence and correctness of the first suggestions of these points."""
    suggested = by_key(result)
    first = [
        (*suggested[row].proposals, Proposal("", 0.0))[0]
        for row in np.flatnonzero(mask)
    ]
    names = np.array([proposal.label for proposal in first])
    right = names == np.char.add("class ", KIND[mask].astype(str))
    return np.array([proposal.confidence for proposal in first]), right


@pytest.mark.parametrize("groups", [12, 36])
def test_max_wrong_count_covers_unknown_classes(groups: int) -> None:
    bounds = []
    wrong = []
    expected = []
    for seed in range(12):
        result, decided = prelabel_points(seed, groups, KNOWN + OTHERS)
        confidences, right = confidence_and_correctness(result, ~decided)
        of_no_class = float(str(result.facts["of_no_class_at_most"]))
        bounds.append(max_wrong_count(of_no_class, confidences.tolist()))
        wrong.append(int((~right).sum()))
        expected.append(float((1 - confidences).sum()))
    assert np.mean(np.array(wrong) <= bounds) >= 0.9
    assert np.mean(bounds) < 0.9 * (len(KIND) - groups)
    if groups == 12:
        assert np.mean(wrong) > 1.1 * np.mean(expected), (
            "a figure without them is too low"
        )


def test_expected_errors_hold_for_known_classes() -> None:
    wrong = 0
    expected = 0.0
    unknown = 0
    for seed in range(12):
        result, decided = prelabel_points(seed, 12, KNOWN)
        assert result.facts["of_no_class_at_most"] is None, "nothing was rejected"
        confidences, right = confidence_and_correctness(
            result, ~decided & (KIND < KNOWN)
        )
        wrong = wrong + int((~right).sum())
        expected = expected + float((1 - confidences).sum())
        unknown += int((KIND >= KNOWN).sum())
    assert 0.3 * expected < wrong < expected
    assert wrong + unknown > 1.5 * expected


def test_classes_in_one_group_only_are_not_held_out() -> None:
    vectors, truth = draw_blobs(12)
    samples = make_samples(truth, set(range(len(truth))))
    groups = {s.key: s.key if s.label == CLASSES[0] else str(s.label) for s in samples}
    facts = propose_by_groups(samples, vectors, groups, ()).facts
    assert (facts["held_out"], facts["held_out_classes"]) == (12, 1)

    report = PrelabelReport(prelabel=1, facts=facts, label_next=[], seconds={})
    tested = (
        f"12 of {len(truth)} labelled samples, images of 1 of {len(CLASSES)} classes"
    )
    assert tested in report.summary()["out-of-fold accuracy"]
