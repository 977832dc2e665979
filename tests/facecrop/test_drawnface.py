"""The drawnface network: its results, weights and training data."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from annotated_faces import CRITERIA, match_faces, read_annotations, sum_tallies
from built_detectors import build_detector
from facecrop_scenes import face_at, scene
from PIL import Image

from facecrop.detectors import Detector
from facecrop.detectors.drawnface import MODEL, FaceNetwork
from gleanset.errors import MissingComponent
from gleanset.files.store import hash_bytes
from gleanset.images.cropping import crop_region, expand_box
from gleanset.images.decode import decode
from gleanset.records import overlap
from tools.sample.character import CAST
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


def test_face_between_ranges_of_scales(drawnface: Detector) -> None:
    """Its side is about .4 of the image's, where the last scale takes over from the others."""
    hits = 0
    for seed in range(20):
        image, (face,) = draw_scene([CAST[3]], seed, (256, 256))
        hits += [
            overlap(found.box, face) > 0.5
            for found in drawnface.detect(np.asarray(image))
        ] == [True]
    assert hits >= 19


def test_hair_ornament_is_not_a_face(drawnface: Detector) -> None:
    assert CAST[3].accessory == "flower"
    counts = []
    for seed, size in [
        (23, (256, 256)),
        (14, (320, 180)),
        (20, (240, 240)),
        (2, (200, 150)),
    ]:
        image, _ = draw_scene([CAST[3]], seed, size)
        counts.append(len(drawnface.detect(np.asarray(image))))
    assert counts == [1, 1, 1, 1]


def draw_head(number: int, side: int) -> Image.Image:
    """Draw the upper half of a portrait: a face fills most of the square."""
    image, (face,) = draw_scene([random_character(number)], number, (320, 180))
    head = crop_region(np.asarray(image), expand_box(face, 0.2))
    return head.resize((side, side))


@pytest.mark.parametrize(("columns", "rows", "side"), [(12, 12, 50), (10, 1, 120)])
def test_faces_side_by_side(
    drawnface: Detector, columns: int, rows: int, side: int
) -> None:
    """All faces that are found alone; at the scales of ordinary images it found few."""
    heads = [draw_head(number, side) for number in range(min(48, columns * rows))]
    is_found_alone = [bool(drawnface.detect(np.asarray(head))) for head in heads]
    sheet = Image.new("RGB", (columns * side, rows * side))
    places = set()
    for number in range(columns * rows):
        place = number % columns, number // columns
        which = number % len(heads)
        sheet.paste(heads[which], (place[0] * side, place[1] * side))
        if is_found_alone[which]:
            places.add(place)

    centers = [
        (face.box.x + face.box.width // 2, face.box.y + face.box.height // 2)
        for face in drawnface.detect(np.asarray(sheet))
    ]
    assert len(centers) == len(set(centers))
    found = {(x // side, y // side) for x, y in centers}
    assert len(places) >= 0.9 * columns * rows
    assert len(places - found) <= 0.05 * len(places)


@pytest.mark.long
def test_recall_and_precision_on_annotated_images(
    drawnface: Detector, shared_data: Path
) -> None:
    """animeface finds 27 of these 124."""
    tallies = defaultdict(list)
    for entry in read_annotations(shared_data / "faces" / "faces.json"):
        pixels = np.asarray(decode(entry.path.read_bytes()).pixels)
        tallies[entry.kind].append(
            match_faces(drawnface.detect(pixels), entry.boxes, IOU)
        )
    total = sum_tallies(tally for confident in tallies.values() for tally in confident)
    assert total.faces == 124
    assert total.recall >= 0.84
    assert total.precision >= 0.85
    assert total.f1 >= 0.85
    assert sum_tallies(tallies["simpsons"]).recall >= 0.48


def test_close_ups_have_one_face(drawnface: Detector, shared_data: Path) -> None:
    """At a single scale it found 11 of these 30 faces, and 13 eyes and ornaments."""
    faces = 0
    others = 0
    for path in sorted((shared_data / "characters").glob("*/*"))[::9][:30]:
        pixels = np.asarray(decode(path.read_bytes()).pixels)
        fill = [
            2 * face.box.width > 0.6 * len(pixels) for face in drawnface.detect(pixels)
        ]
        faces = faces + any(fill)
        others = others + fill.count(False)
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
