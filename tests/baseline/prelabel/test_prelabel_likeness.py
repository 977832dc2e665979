"""What a prelabeling compares by, and how many proposals are expected to be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_dataset import put_whole
from filled import fill

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
from gleanset.db.proposals import PrelabelSample, Proposal
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


def test_the_vectors_of_the_newest_prelabel_are_there_for_every_room(tmp_path: Path) -> None:
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
        vectors, there = space.get_vectors([*names, b"unknown" * 2])
        assert there.tolist() == [True] * len(names) + [False]
        assert np.allclose(np.linalg.norm(vectors[:-1], axis=1), 1, atol=1e-5)
        assert not vectors[-1].any()

        given = prelabel(dataset, load_preset("transfer", QUICK | {"part_weights": "0.25"}))
        newer = EmbeddingSpace.from_dataset(dataset)
        assert newer is not None
        assert newer.name != space.name
        assert [path.name for path in (tmp_path / "cache" / "likeness").iterdir()] == [newer.name]
        assert given["parts"] == {"efficientnet_lite0": 1.0, "colours": 0.25}


def test_drawings_and_photographs_are_told_apart(tmp_path: Path) -> None:
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


def test_colours_count_less_in_drawings_far_from_square(tmp_path: Path) -> None:
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


def points(seed: int, spread: float = 1.0) -> tuple[Rows, np.ndarray]:
    """`EACH` vectors of length 1 about the middle of each kind, and which kind they are of."""
    random = np.random.default_rng(seed)
    middles = np.random.default_rng(0).normal(size=(CLASSES + STRANGE, WIDTH))
    kind = np.repeat(np.arange(CLASSES + STRANGE), EACH)
    result = middles[kind] + random.normal(0, spread, (len(kind), WIDTH))
    result /= np.linalg.norm(result, axis=1, keepdims=True)
    return result.astype(np.float32), kind


def proposed(vectors: Rows, kind: np.ndarray, decided: np.ndarray) -> PrelabelResult:
    """What is proposed where these rows are labelled by their kind, or rejected."""
    status = np.where(decided, np.where(kind < CLASSES, "labelled", "rejected"), "queue")
    samples = [
        PrelabelSample(
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
    made: PrelabelResult, kind: np.ndarray, waits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The confidences of the first proposals of these rows, and which are right."""
    none = (Proposal("", 0.0),)
    first = {one.sample: (one.proposals or none)[0] for one in made.prelabelled}
    rows = np.flatnonzero(waits)
    names = [first[f"{row:05}"].label for row in rows]
    sure = np.array([first[f"{row:05}"].confidence for row in rows])
    return sure, np.array(names) == np.char.add("class ", kind[waits].astype(str))


@pytest.mark.parametrize("groups", [12, 36])
def test_no_more_are_wrong_than_is_told_where_those_of_no_class_were_rejected(groups: int) -> None:
    most, were, expected = [], [], []
    for seed in range(12):
        vectors, kind = points(seed)
        decided = np.zeros(len(kind), np.bool_)
        decided[np.random.default_rng(seed).permutation(len(kind))[:groups]] = True
        made = proposed(vectors, kind, decided)
        sure, right = sure_and_right(made, kind, ~decided)
        most.append(max_wrong_count(float(str(made.facts["of_no_class_at_most"])), sure.tolist()))
        were.append(int((~right).sum()))
        expected.append(float((1 - sure).sum()))
    assert np.mean(np.array(were) <= most) >= 0.9
    assert np.mean(most) < 0.9 * (len(kind) - groups)
    if groups == 12:
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
