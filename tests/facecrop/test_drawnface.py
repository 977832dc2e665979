"""The drawnface network: its results, weights and training data."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from annotated_faces import CRITERIA, match_faces, read_annotations, sum_tallies
from facecrop_scenes import face_at, scene

from facecrop.detectors import Detector, build_detector
from facecrop.detectors.drawnface import MODEL, FaceNetwork
from gleanset.errors import MissingComponent
from gleanset.files.store import hash_bytes
from gleanset.images.decode import decode
from gleanset.records import overlap
from tools.sample.scene import draw_scene, random_character

CARD = MODEL.with_suffix(".json")
IOU, _, CENTRE = CRITERIA


@pytest.fixture(scope="module")
def drawnface() -> Detector:
    return build_detector("drawnface")


def test_faces_of_unseen_drawing_style(drawnface: Detector) -> None:
    """The training data has no scenes of the sample's drawing code."""
    tallies = []
    for seed in range(6):
        cast = [random_character(seed), random_character(seed + 100)]
        image, truth = draw_scene(cast, seed, (480, 270))
        tallies.append(match_faces(drawnface.detect(np.asarray(image)), truth, CENTRE))
    total = sum_tallies(tallies)
    assert total.faces == 12
    assert total.hits >= 11
    assert len(total.false_positives) <= 1


@pytest.mark.parametrize("side", [60, 160, 330, 800])
def test_faces_of_many_sizes(drawnface: Detector, side: int) -> None:
    image = scene(20, size=(round(side * 1.5), round(side * 1.5) + 50), side=side)
    faces = drawnface.detect(np.asarray(image))
    assert any(overlap(face.box, face_at(20, side)) > 0.5 for face in faces)


@pytest.mark.long
def test_recall_and_precision_on_annotated_images(drawnface: Detector, shared_data: Path) -> None:
    """animeface finds 27 of these 124."""
    tallies = defaultdict(list)
    for entry in read_annotations(shared_data / "faces" / "faces.json"):
        pixels = np.asarray(decode(entry.path.read_bytes()).pixels)
        tallies[entry.kind].append(match_faces(drawnface.detect(pixels), entry.boxes, IOU))
    total = sum_tallies(tally for confident in tallies.values() for tally in confident)
    assert total.faces == 124
    assert total.recall >= 0.73
    assert total.precision >= 0.9
    assert sum_tallies(tallies["simpsons"]).recall >= 0.45


def test_close_ups_have_one_face(drawnface: Detector, shared_data: Path) -> None:
    """At a single scale it found 11 of these 30 faces, and 13 eyes and ornaments."""
    faces, others = 0, 0
    for path in sorted((shared_data / "characters").glob("*/*"))[::9][:30]:
        pixels = np.asarray(decode(path.read_bytes()).pixels)
        fill = [2 * face.box.width > 0.6 * len(pixels) for face in drawnface.detect(pixels)]
        faces, others = faces + any(fill), others + fill.count(False)
    assert faces >= 28
    assert others <= 4


def test_threshold_selects_boxes() -> None:
    pixels = np.asarray(scene(20, 230))
    low_threshold = build_detector("drawnface", threshold=0.2).detect(pixels)
    confident = build_detector("drawnface", threshold=0.5).detect(pixels)
    assert confident == [face for face in low_threshold if face.score >= 0.5]
    assert confident


def test_card_describes_weights() -> None:
    card = json.loads(CARD.read_text(encoding="utf-8"))
    weights = MODEL.read_bytes()
    assert card["sha256"] == hash_bytes(weights)
    assert len(weights) <= 2_000_000
    for source in card["learnt_from"]:
        assert source["licence"] in {"MIT", "CC BY 2.0", "CC BY 3.0"}
        assert source.get("author") or source["authors"]


@pytest.mark.parametrize("content", [None, b"", b"no model"])
def test_unreadable_weights_raise_error(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "weights.onnx"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(MissingComponent, match="cannot be loaded"):
        FaceNetwork(file)
