"""What every registered detector must do, and how they are looked up."""

import multiprocessing
import pickle

import numpy as np
import pytest
from PIL import Image

from facecrop.detectors import DETECTORS, Detector, DetectorSpec, Pixels, detector_named
from facecrop.detectors.animeface_library import SELFTEST_PICTURE
from gleanset.errors import UsageError
from gleanset.records import Face

NAMES = [detector.name for detector in DETECTORS]


@pytest.fixture(params=NAMES)
def detector(request: pytest.FixtureRequest) -> Detector:
    return detector_named(request.param)


@pytest.fixture(scope="module")
def scene() -> Pixels:
    """One large face on the right and one small face on the left."""
    canvas = Image.new("RGB", (900, 600), (120, 160, 190))
    face = Image.open(SELFTEST_PICTURE).convert("RGB")
    canvas.paste(face.resize((400, 400)), (480, 30))
    canvas.paste(face.resize((240, 240)), (20, 300))
    return np.asarray(canvas)


def detect_elsewhere(spec: DetectorSpec, pixels: Pixels) -> list[Face]:
    return spec.build().detect(pixels)


def test_names_are_unique() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert {"animeface", "whole"} <= set(NAMES)


def test_faces_are_well_formed(detector: Detector, scene: Pixels) -> None:
    faces = detector.detect(scene)
    assert faces, "the scene has two faces"
    for face in faces:
        assert face.detector == detector.name
        assert all(type(number) is int for number in face.box)
        assert face.box.x >= 0
        assert face.box.y >= 0
        assert 0 < face.box.width <= 900 - face.box.x
        assert 0 < face.box.height <= 600 - face.box.y
        assert type(face.score) is float
        assert 0 <= face.score <= 1
        assert all(0 <= mark.x <= 900 and 0 <= mark.y <= 600 for mark in face.landmarks)


def test_faces_come_left_to_right(detector: Detector, scene: Pixels) -> None:
    places = [(face.box.x, face.box.y) for face in detector.detect(scene)]
    assert places == sorted(places)


def test_the_same_picture_gives_the_same_faces(detector: Detector, scene: Pixels) -> None:
    before = scene.copy()
    assert detector.detect(scene) == detector.detect(scene.copy())
    assert np.array_equal(scene, before), "the picture is not written to"


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 2000), (2000, 3), (57, 57), (63, 58)])
def test_tiny_pictures_are_no_problem(detector: Detector, width: int, height: int) -> None:
    faces = detector.detect(np.full((height, width, 3), 200, np.uint8))
    assert len(faces) == (1 if detector.name == "whole" else 0)


def test_views_of_other_memory_are_no_problem(detector: Detector, scene: Pixels) -> None:
    wide = np.concatenate([scene, scene], axis=2)
    assert detector.detect(wide[:, :, :3]) == detector.detect(scene)


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_a_stable_line(name: str) -> None:
    settings = detector_named(name).settings
    assert "\n" not in settings
    assert settings == detector_named(name).settings


def test_specs_travel_to_another_process(scene: Pixels) -> None:
    """Spawned, not forked: nothing but the pickled spec gets there."""
    specs = [DetectorSpec.of(name) for name in NAMES]
    assert all(len(pickle.dumps(spec)) < 300 for spec in specs)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.starmap(detect_elsewhere, [(spec, scene) for spec in specs])
    assert there == [spec.build().detect(scene) for spec in specs]


def test_a_detector_is_built_once() -> None:
    assert detector_named("animeface") is detector_named("animeface")
    assert detector_named("animeface") is not detector_named("animeface", threshold=0.9)


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(UsageError, match="did you mean 'animeface'"):
        detector_named("anime-face")
    with pytest.raises(UsageError, match="there are: animeface"):
        detector_named("zzz")


def test_unknown_settings_get_a_suggestion() -> None:
    with pytest.raises(UsageError, match="did you mean 'threshold'"):
        detector_named("animeface", treshold=0.7)
    with pytest.raises(UsageError, match="it has none"):
        detector_named("whole", threshold=0.7)


@pytest.mark.parametrize("threshold", ["many", "nan", 0.3, 1.5, -1])
def test_thresholds_without_effect_are_refused(threshold: str | float) -> None:
    with pytest.raises(UsageError, match=r"from 0\.5 to 1"):
        detector_named("animeface", threshold=threshold)


def test_thresholds_may_be_text() -> None:
    assert detector_named("animeface").settings == "threshold=0.5"
    assert detector_named("animeface", threshold="0.70").settings == "threshold=0.7"
