"""Prelabeling frames of scenes: votes, calibration and reported accuracy by group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from prelabel_samples import make_sample

from baseline.evaluation.calibration import calibration_error
from baseline.evaluation.outputs import Floats, Indices
from baseline.prelabel.propose import PrelabelResult, propose
from curation.similarity.class_learning import TrainingRows, vote_by_name

CLASSES = ("ann", "bea", "cid", "dot")
SHARES = (0.4, 0.3, 0.2, 0.1)
NUMBER = {name: place for place, name in enumerate(CLASSES)}
WIDTH = 16
FRAMES = 4


def draw_scenes(
    count: int, pure: float, spread: float, seed: int
) -> tuple[np.ndarray, Indices, Indices]:
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
    truth: Indices,
    scene: Indices,
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
    return propose(samples, vectors, groups)


def probabilities_of(result: PrelabelResult, rows: Sequence[int]) -> Floats:
    """Return the suggested probabilities of these rows (N x classes)."""
    by_row = {int(prediction.sample): prediction.proposals for prediction in result.prelabelled}
    table = np.zeros((len(rows), len(CLASSES)))
    for place, row in enumerate(rows):
        for prediction in by_row[row]:
            table[place, NUMBER[prediction.label]] = prediction.confidence
    return table


def test_scene_votes_count_groups() -> None:
    # Scene b: four frames of ann; c: three of ann, one of bea; one pending in each.
    names = [(scene,) for scene in "b" * 5 + "c" * 5 + "d"]
    rows, y = np.array([0, 1, 2, 3, 5, 6, 7, 8]), np.array([0, 0, 0, 0, 0, 0, 0, 1])
    groups = np.array([0] * 4 + [1] * 4)
    train = TrainingRows(rows, y, groups, np.ones(8, np.bool_), 2)
    ties = vote_by_name(names, train)
    assert ties.votes[4].tolist() == [1, 0]
    assert ties.votes[9].tolist() == [0.75, 0.25]
    assert ties.votes[10].tolist() == [0, 0]
    # A labelled frame is voted on by the others; each scene counts once.
    assert ties.votes[5] == pytest.approx([2 / 3, 1 / 3])
    assert ties.votes[8].tolist() == [1, 0]
    waits = ties.gains(train)[4, 0]
    right = (1 + 0.5 + 1) / (2 + 2)
    assert waits == pytest.approx(np.log(right / (1 - right)))
    own = (0.5 + 1) / (1 + 2)
    assert ties.gains(train)[0, 0] == pytest.approx(np.log(own / (1 - own)), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("pure", [0.6, pytest.param(0.97, marks=pytest.mark.long)])
def test_confidence_in_partly_labelled_scenes_is_calibrated(pure: float) -> None:
    probabilities: list[Floats] = []
    labels: list[Indices] = []
    for seed in range(5):
        vectors, truth, scene = draw_scenes(120, pure, 0.5, seed)
        labelled_rows = [4 * n + k for n in range(60) for k in (0, 1)]
        rows = [4 * n + k for n in range(60) for k in (2, 3)]
        result = prelabel_rows(vectors, truth, scene, labelled_rows)
        probabilities.append(probabilities_of(result, rows))
        labels.append(truth[rows])
    p, y = np.concatenate(probabilities), np.concatenate(labels)
    right = (p.argmax(1) == y).mean()
    assert right - 0.06 < p.max(1).mean() < right + 0.015
    for place in range(len(CLASSES)):
        assert abs(p[:, place].mean() - (y == place).mean()) < 0.025


def test_printed_accuracy_matches_unlabelled_scenes() -> None:
    # With weak labels, which improve suggestions a lot.
    printed, served = [], []
    for seed in range(3):
        vectors, truth, scene = draw_scenes(200, 0.6, 0.9, seed)
        random = np.random.default_rng(seed)
        honest = random.random(len(truth)) < 0.9
        hints = [CLASSES[t if h else (t + 1) % 4] for t, h in zip(truth, honest, strict=True)]
        labelled_rows = np.arange(0, 400)  # 100 of 200 scenes
        result = prelabel_rows(vectors, truth, scene, labelled_rows, hints)
        rows = list(range(400, 800))
        p = probabilities_of(result, rows)
        served.append(
            (float((p.argmax(1) == truth[rows]).mean()), calibration_error(p, truth[rows]).ece)
        )
        printed.append((result.facts["accuracy"], result.facts["ece"]))
    (right, ece), (told_right, told_ece) = np.mean(served, axis=0), np.mean(printed, axis=0)
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
    result = propose(samples, vectors, groups)
    assert result.facts["groups"] == 80
    assert isinstance(result.facts["accuracy"], float)
    assert result.facts["accuracy"] < 0.45
    leave_sample_out = result.facts["beside"]
    assert isinstance(leave_sample_out, dict)
    assert leave_sample_out["accuracy"] > 0.8  # reported separately
