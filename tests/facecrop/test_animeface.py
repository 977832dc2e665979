"""The animeface detector on images of every size."""

import sys
from pathlib import Path

import numpy as np
import pytest
from built_detectors import build_detector
from facecrop_scenes import face_at, paste
from PIL import Image

from facecrop.detectors.animeface import AnimeFace
from facecrop.detectors.animeface_library import (
    SELFTEST_FACE,
    SELFTEST_IMAGE,
    load_tested_search,
    self_test,
)
from gleanset.arrays import Pixels
from gleanset.errors import MissingComponent
from gleanset.records import Box, overlap

# Results of animeface 2.0.3 with Pillow 11.3, whose memory layout it knows.
OLD_PILLOW: dict[str, list[Box]] = {
    "ng_ahagon_umiko_11.jpg": [Box(143, 107, 286, 286)],
    "ng_takimoto_hifumi_37.jpg": [Box(328, 238, 239, 239)],
    "simpsons_1033648.jpg": [],
    "ng_lijima_yun_74.jpg": [Box(409, 113, 182, 182), Box(551, 773, 61, 61)],
    "southpark_s19e03_60.jpg": [Box(31, 79, 127, 127), Box(514, 92, 106, 106)],
}


def draw(size: tuple[int, int], *faces: tuple[int, int, int]) -> Pixels:
    return np.asarray(paste(size, *faces))


@pytest.mark.parametrize(
    ("canvas", "places"),
    [
        ((960, 540), [(30, 200, 180), (500, 20, 400)]),
        ((3840, 2160), [(200, 900, 600), (2900, 100, 700)]),
        ((5000, 1000), [(900, 300, 400), (4300, 500, 400)]),
        ((700, 3000), [(150, 700, 300), (100, 2500, 300)]),
    ],
    ids=lambda value: (
        "x".join(map(str, value)) if isinstance(value, tuple) else len(value)
    ),
)
def test_faces_are_found_at_their_positions(
    canvas: tuple[int, int], places: list[tuple[int, int, int]]
) -> None:
    faces = build_detector("animeface").detect(draw(canvas, *places))
    expected_boxes = sorted(face_at(x, side, y) for x, y, side in places)
    assert len(faces) == len(expected_boxes)
    for face, box in zip(faces, expected_boxes, strict=True):
        assert overlap(face.box, box) > 0.5, (face.box, box)


@pytest.mark.parametrize("x", [950, 1450])
def test_face_on_tile_border_is_found_once(x: int) -> None:
    faces = build_detector("animeface").detect(draw((3000, 700), (x, 100, 450)))
    assert len(faces) == 1
    assert overlap(faces[0].box, face_at(x, 450, 100)) > 0.5


@pytest.mark.parametrize(("canvas", "side"), [((500, 500), 400), ((2400, 900), 700)])
def test_landmarks_are_inside_face(canvas: tuple[int, int], side: int) -> None:
    face = build_detector("animeface").detect(draw(canvas, (60, 50, side)))[0]
    marks = {mark.name: mark for mark in face.landmarks}
    assert list(marks) == ["left_eye", "right_eye", "nose", "mouth"]
    assert marks["right_eye"].x < marks["nose"].x < marks["left_eye"].x, (
        "from the character's view"
    )
    assert marks["left_eye"].y < marks["nose"].y < marks["mouth"].y
    for mark in face.landmarks:
        assert face.box.x < mark.x < face.box.x + face.box.width
        assert face.box.y < mark.y < face.box.y + face.box.height


def test_plain_and_noisy_images_have_no_face() -> None:
    detector = build_detector("animeface")
    assert detector.detect(np.zeros((270, 480, 3), np.uint8)) == []
    noise = np.random.default_rng(0).integers(0, 256, (150, 200, 3), np.uint8)
    assert detector.detect(noise) == []


def test_threshold_drops_low_scores() -> None:
    pixels = draw((960, 540), (100, 60, 200), (500, 100, 300))
    scores = [face.score for face in AnimeFace().detect(pixels)]
    between = AnimeFace(threshold=max(scores)).detect(pixels)
    assert [face.score for face in between] == [s for s in scores if s == max(scores)]


@pytest.mark.parametrize("name", OLD_PILLOW)
def test_real_images_match_old_pillow(shared_data: Path, name: str) -> None:
    pixels = np.asarray(Image.open(shared_data / "faces" / name).convert("RGB"))
    assert [
        face.box for face in build_detector("animeface").detect(pixels)
    ] == OLD_PILLOW[name]


def test_missing_package_has_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "animeface", None)  # importing it fails
    with pytest.raises(MissingComponent, match="cannot be loaded") as caught:
        load_tested_search.__wrapped__()
    assert "pip install" in caught.value.fix


def test_self_test_fails_without_faces(tmp_path: Path) -> None:
    blank = tmp_path / "blank.png"
    Image.new("RGB", (256, 256), "silver").save(blank)
    with pytest.raises(MissingComponent, match="found 0 faces") as caught:
        self_test(load_tested_search(), blank, SELFTEST_FACE)
    assert "pip install" in caught.value.fix
    assert "animeface 2" in caught.value.what
    assert "pillow" in caught.value.what


def test_self_test_fails_on_wrong_position() -> None:
    elsewhere = SELFTEST_FACE._replace(x=SELFTEST_FACE.x + SELFTEST_FACE.width // 2)
    with pytest.raises(MissingComponent, match="instead of"):
        self_test(load_tested_search(), SELFTEST_IMAGE, elsewhere)
