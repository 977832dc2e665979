"""Vectors and block weights of a prelabeling, and its expected errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_dataset import put_whole
from filled import fill
from prelabel_samples import make_sample

from baseline.features.backbone import FeaturePart
from baseline.features.texture import (
    DRAWING_WEIGHTS,
    ELONGATED_WEIGHTS,
    PHOTO_WEIGHTS,
    get_prior_weights,
    has_drawings,
)
from baseline.prelabel.prelabeling import max_wrong_count, prelabel
from baseline.prelabel.propose import PrelabelResult, propose
from baseline.settings import load_preset
from curation.similarity.class_learning import Rows
from curation.similarity.vectors import EmbeddingSpace, make_sample_vector_name
from gleanset import Dataset
from gleanset.db.proposals import Proposal
from gleanset.records import Region
from gleanset.work.progress import Progress
from tools.sample.character import CAST
from tools.sample.scene import paint_scene, plan_scene

QUICK = {"backbone": "efficientnet_lite0+colours", "weights": "none", "size": "32"}
PARTS = (
    FeaturePart("network", True, (6,)),
    FeaturePart("colours", False, (4,)),
    FeaturePart("faces", False, (2,)),
)


def test_prelabel_stores_vectors(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        fill(dataset, 10, labelled=False)
        assert EmbeddingSpace.from_dataset(dataset) is None
        first = prelabel(dataset, load_preset("transfer", QUICK))
        assert "these are photographs" in str(first["parts_by"])
        assert first["parts"] == {"efficientnet_lite0": 1.0, "colours": PHOTO_WEIGHTS["colours"]}
        space = EmbeddingSpace.from_dataset(dataset)
        assert space is not None
        names = [
            make_sample_vector_name(s.key, Region(s.box, s.angle))
            for s in dataset.samples.iter_by_key()
        ]
        vectors, is_present = space.get_vectors([*names, b"unknown" * 2])
        assert is_present.tolist() == [True] * len(names) + [False]
        assert np.allclose(np.linalg.norm(vectors[:-1], axis=1), 1, atol=1e-5)
        assert not vectors[-1].any()

        repeated = prelabel(dataset, load_preset("transfer", QUICK | {"part_weights": "0.25"}))
        newer = EmbeddingSpace.from_dataset(dataset)
        assert newer is not None
        assert newer.name != space.name
        assert [path.name for path in (tmp_path / "cache" / "likeness").iterdir()] == [newer.name]
        assert repeated["parts"] == {"efficientnet_lite0": 1.0, "colours": 0.25}


def test_drawings_and_photographs_get_own_weights(tmp_path: Path) -> None:
    with Dataset.create(tmp_path / "drawn") as dataset:
        for seed in range(4):
            picture = paint_scene(plan_scene([CAST[seed]], seed, (160, 120))).convert("RGB")
            put_whole(dataset, picture.crop((0, 0, 120, 110)), f"{seed}")
        samples = list(dataset.samples.iter_by_key())
        expected = get_prior_weights(PARTS, dataset, samples, Progress())
        assert expected == ((1.0, *DRAWING_WEIGHTS.values()), "these are drawings", {})
    with Dataset.create(tmp_path / "grainy") as dataset:
        fill(dataset, 4, labelled=False)
        samples = list(dataset.samples.iter_by_key())
        assert not has_drawings(dataset, samples, Progress())
        photographs = get_prior_weights(PARTS, dataset, samples, Progress())
        assert photographs == ((1.0, *PHOTO_WEIGHTS.values()), "these are photographs", {})
        two = (PARTS[0], PARTS[0]._replace(name="another"))
        assert get_prior_weights(two, dataset, [], Progress()).weights == (1.0, 1.0)


def test_elongated_drawings_get_own_weights(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        for seed, size in enumerate([(160, 90), (80, 150), (100, 100), (160, 90)]):
            picture = paint_scene(plan_scene([CAST[seed]], seed, size))
            put_whole(dataset, picture.convert("RGB"), f"{seed}")
        samples = list(dataset.samples.iter_by_key())
        expected = get_prior_weights(PARTS, dataset, samples, Progress())
        assert expected == (
            (1.0, *ELONGATED_WEIGHTS.values()),
            "these are drawings far from square",
            {},
        )
        squares = [sample for sample in samples if sample.box.width == sample.box.height]
        expected = get_prior_weights(PARTS, dataset, squares, Progress())
        assert expected.weights == (1.0, *DRAWING_WEIGHTS.values())


WIDTH, CLASSES, STRANGE, EACH = 24, 4, 2, 30


def draw_points(seed: int, spread: float = 1.0) -> tuple[Rows, np.ndarray]:
    """Draw `EACH` unit vectors per class, and their classes."""
    random = np.random.default_rng(seed)
    middles = np.random.default_rng(0).normal(size=(CLASSES + STRANGE, WIDTH))
    kind = np.repeat(np.arange(CLASSES + STRANGE), EACH)
    result = middles[kind] + random.normal(0, spread, (len(kind), WIDTH))
    result /= np.linalg.norm(result, axis=1, keepdims=True)
    return result.astype(np.float32), kind


def propose_rows(vectors: Rows, kind: np.ndarray, decided: np.ndarray) -> PrelabelResult:
    """Prelabel with the `decided` rows labelled, or rejected if of no known class."""
    samples = []
    for row, number in enumerate(kind):
        label = f"class {number}" if decided[row] and number < CLASSES else None
        status = {"status": "rejected"} if decided[row] and label is None else {}
        samples.append(make_sample(row, label, **status))
    return propose(samples, vectors, {s.key: s.key for s in samples})


def confidence_and_correctness(
    result: PrelabelResult, kind: np.ndarray, rows_mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the confidence and correctness of the first suggestions of these rows."""
    none = (Proposal("", 0.0),)
    first = {
        prediction.sample: (prediction.proposals or none)[0] for prediction in result.prelabelled
    }
    rows = np.flatnonzero(rows_mask)
    names = [first[f"{row:05}"].label for row in rows]
    confidences = np.array([first[f"{row:05}"].confidence for row in rows])
    return confidences, np.array(names) == np.char.add("class ", kind[rows_mask].astype(str))


@pytest.mark.parametrize("groups", [12, 36])
def test_max_wrong_count_covers_unknown_classes(groups: int) -> None:
    bounds, wrong, expected = [], [], []
    for seed in range(12):
        vectors, kind = draw_points(seed)
        decided = np.zeros(len(kind), np.bool_)
        decided[np.random.default_rng(seed).permutation(len(kind))[:groups]] = True
        result = propose_rows(vectors, kind, decided)
        confidences, right = confidence_and_correctness(result, kind, ~decided)
        bounds.append(
            max_wrong_count(float(str(result.facts["of_no_class_at_most"])), confidences.tolist())
        )
        wrong.append(int((~right).sum()))
        expected.append(float((1 - confidences).sum()))
    assert np.mean(np.array(wrong) <= bounds) >= 0.9
    assert np.mean(bounds) < 0.9 * (len(kind) - groups)
    if groups == 12:
        assert np.mean(wrong) > 1.1 * np.mean(expected), "a figure without them is too low"


def test_expected_errors_hold_for_known_classes() -> None:
    wrong, expected, unknown = 0, 0.0, 0
    for seed in range(12):
        vectors, kind = draw_points(seed)
        decided = np.zeros(len(kind), np.bool_)
        of_class = np.flatnonzero(kind < CLASSES)
        decided[np.random.default_rng(seed).permutation(of_class)[:12]] = True
        result = propose_rows(vectors, kind, decided)
        assert result.facts["of_no_class_at_most"] is None, "nothing was rejected"
        confidences, right = confidence_and_correctness(result, kind, ~decided & (kind < CLASSES))
        wrong, expected = wrong + int((~right).sum()), expected + float((1 - confidences).sum())
        unknown += len(confidence_and_correctness(result, kind, kind >= CLASSES)[0])
    assert 0.3 * expected < wrong < expected
    assert wrong + unknown > 1.5 * expected
