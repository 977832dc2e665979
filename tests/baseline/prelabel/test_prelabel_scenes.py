"""Prelabel among scenes: what is counted, what is promised, and what is printed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest

from baseline.evaluation.calibration import calibration_error
from baseline.evaluation.outputs import Floats, Indices
from baseline.prelabel.propose import PrelabelResult, propose
from curation.similarity.class_learning import TrainingRows, vote_by_name
from gleanset.db.proposals import PrelabelSample

CLASSES = ("ann", "bea", "cid", "dot")
SHARES = (0.4, 0.3, 0.2, 0.1)
NUMBER = {name: place for place, name in enumerate(CLASSES)}
WIDTH = 16
FRAMES = 4


def scenes(
    count: int, pure: float, spread: float, seed: int
) -> tuple[np.ndarray, Indices, Indices]:
    """Vectors, classes and scenes of frames; `pure` is the share that is of its scene's class.

    A scene has a look of its own, as wide as `spread`, that its frames share.
    """
    random = np.random.default_rng(seed)
    scene = np.repeat(np.arange(count), FRAMES)
    kind = random.choice(len(CLASSES), count, p=SHARES)[scene]
    others = random.choice(len(CLASSES), len(scene), p=SHARES)
    truth = np.where(random.random(len(scene)) < pure, kind, others)
    look = random.normal(0, spread, (count, WIDTH))[scene]
    points = np.eye(WIDTH)[truth] + look + random.normal(0, 0.25, (len(scene), WIDTH))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points.astype(np.float32), truth, scene


def told(
    vectors: np.ndarray,
    truth: Indices,
    scene: Indices,
    known: Iterable[int],
    hints: Sequence[str | None] | None = None,
) -> PrelabelResult:
    """A prelabeling with these rows labelled."""
    labelled = set(known)
    samples = [
        PrelabelSample(
            f"{row:05}",
            "labelled" if row in labelled else "queue",
            CLASSES[truth[row]] if row in labelled else None,
            None,
            (f"scene {scene[row]}",),
            hints[row] if hints else None,
            frozenset(),
        )
        for row in range(len(truth))
    ]
    groups = {one.key: f"group {scene[row]}" for row, one in enumerate(samples)}
    return propose(samples, vectors, groups)


def probabilities(found: PrelabelResult, rows: Sequence[int]) -> Floats:
    """What is proposed for these rows, N x classes."""
    by_row = {int(one.sample): one.proposals for one in found.prelabelled}
    table = np.zeros((len(rows), len(CLASSES)))
    for place, row in enumerate(rows):
        for one in by_row[row]:
            table[place, NUMBER[one.label]] = one.confidence
    return table


def test_four_labelled_frames_of_one_scene_are_one_witness() -> None:
    """In b four frames are of ann, in c three of ann and one of bea; one in each waits."""
    names = [(scene,) for scene in "b" * 5 + "c" * 5 + "d"]
    rows, y = np.array([0, 1, 2, 3, 5, 6, 7, 8]), np.array([0, 0, 0, 0, 0, 0, 0, 1])
    groups = np.array([0] * 4 + [1] * 4)
    taught = TrainingRows(rows, y, groups, np.ones(8, np.bool_), 2)
    ties = vote_by_name(names, taught)
    assert ties.votes[4].tolist() == [1, 0]
    assert ties.votes[9].tolist() == [0.75, 0.25]
    assert ties.votes[10].tolist() == [0, 0]
    # Of a labelled one the others speak, and a scene is one case: all right, and half.
    assert ties.votes[5] == pytest.approx([2 / 3, 1 / 3])
    assert ties.votes[8].tolist() == [1, 0]
    waits = ties.gains(taught)[4, 0]
    right = (1 + 0.5 + 1) / (2 + 2)
    assert waits == pytest.approx(np.log(right / (1 - right)))
    own = (0.5 + 1) / (1 + 2)
    assert ties.gains(taught)[0, 0] == pytest.approx(np.log(own / (1 - own)), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("pure", [0.6, pytest.param(0.97, marks=pytest.mark.long)])
def test_what_is_proposed_beside_labelled_frames_holds_for_each_class(pure: float) -> None:
    """Over many datasets: confidence is no greater than the share right, and classes add up."""
    sure: list[Floats] = []
    true: list[Indices] = []
    for seed in range(5):
        vectors, truth, scene = scenes(120, pure, 0.5, seed)
        # Two frames of each of 60 scenes.
        known = [4 * n + k for n in range(60) for k in (0, 1)]
        rows = [4 * n + k for n in range(60) for k in (2, 3)]
        result = told(vectors, truth, scene, known)
        sure.append(probabilities(result, rows))
        true.append(truth[rows])
    p, y = np.concatenate(sure), np.concatenate(true)
    right = (p.argmax(1) == y).mean()
    assert right - 0.06 < p.max(1).mean() < right + 0.015
    for place in range(len(CLASSES)):
        assert abs(p[:, place].mean() - (y == place).mean()) < 0.025


def test_what_is_printed_is_what_is_served() -> None:
    """Also where hints make proposals far better than looks alone."""
    printed, served = [], []
    for seed in range(3):
        vectors, truth, scene = scenes(200, 0.6, 0.9, seed)
        random = np.random.default_rng(seed)
        honest = random.random(len(truth)) < 0.9
        hints = [CLASSES[t if h else (t + 1) % 4] for t, h in zip(truth, honest, strict=True)]
        known = np.arange(0, 400)  # whole scenes: of the others nothing is labelled
        result = told(vectors, truth, scene, known, hints)
        rows = list(range(400, 800))
        p = probabilities(result, rows)
        served.append(
            (float((p.argmax(1) == truth[rows]).mean()), calibration_error(p, truth[rows]).ece)
        )
        printed.append((result.facts["accuracy"], result.facts["ece"]))
    (right, ece), (told_right, told_ece) = np.mean(served, axis=0), np.mean(printed, axis=0)
    assert right > 0.88
    assert told_right == pytest.approx(right, abs=0.03)
    assert told_ece == pytest.approx(ece, abs=0.02)


def test_folds_keep_groups_whole_whichever_tie_makes_them() -> None:
    """Copies of noise with labels by chance: whoever has seen the other half knows the label."""
    random = np.random.default_rng(0)
    pair = np.repeat(np.arange(80), 2)
    vectors = random.normal(size=(80, 128)).astype(np.float32)[pair]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    truth = random.integers(0, 4, 80)[pair]
    samples = [
        PrelabelSample(
            f"{row:05}",
            "labelled",
            CLASSES[truth[row]],
            None,
            (f"a post of its own {row}", f"pair {pair[row]}"),
            None,
            frozenset(),
        )
        for row in range(160)
    ]
    groups = {one.key: f"m{pair[row]}" for row, one in enumerate(samples)}
    result = propose(samples, vectors, groups)
    assert result.facts["groups"] == 80
    assert isinstance(result.facts["accuracy"], float)
    assert result.facts["accuracy"] < 0.45
    leave_sample_out = result.facts["beside"]
    assert isinstance(leave_sample_out, dict)
    assert (
        leave_sample_out["accuracy"] > 0.8
    )  # beside its copy a sample is known, and that is told apart
