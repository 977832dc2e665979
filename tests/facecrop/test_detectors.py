"""Contracts of all registered detectors, their lookup, plugins, tiles of large images."""

import json
import multiprocessing
import pickle
from collections.abc import Iterator
from inspect import signature
from multiprocessing.pool import Pool
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from built_detectors import build_detector
from facecrop_scenes import paste
from tools_for_tests import ROOT

from facecrop.detector_names import DETECTORS
from facecrop.detectors import Detector, DetectorSpec
from facecrop.detectors.options import parse_detector
from facecrop.detectors.recorded import FILES, RecordedDetector
from facecrop.detectors.tiling import (
    FloatBox,
    RawFace,
    drop_overlapping_faces,
    plan_tiles,
    search_tiles,
)
from facecrop.plugin_detector import PluginDetector
from gleanset.arrays import Pixels
from gleanset.errors import MissingComponent, Unreadable, UsageError
from gleanset.records import Box, Face, Landmark

NAMES = list(DETECTORS)
CONTAINER = "animeface-docker"
OF_CONTAINER = [pytest.mark.docker, pytest.mark.timeout(900)]
WIDTH = 630
HEIGHT = 420


@pytest.fixture(
    params=[
        pytest.param(name, marks=OF_CONTAINER if name == CONTAINER else [])
        for name in NAMES
    ]
)
def name(request: pytest.FixtureRequest) -> str:
    """Return each detector's name; the container's needs an engine."""
    if request.param == CONTAINER:
        request.getfixturevalue("container_engine")
    return str(request.param)


@pytest.fixture
def spec(
    name: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> DetectorSpec:
    """Return the detector with its files, or skip without them."""
    if name == "lbpcascade":
        data: Path = request.getfixturevalue("shared_data")
        return DetectorSpec.create(name, cascade=str(data / "lbpcascade_animeface.xml"))
    if name == "onnx":
        models = pytest.importorskip("onnx_models", reason="needs the package onnx")
        model = tmp_path_factory.getbasetemp() / "red.onnx"
        if not model.exists():
            models.red_model(model, layout="v8")
        return DetectorSpec.create(name, model=str(model), threshold=0.1)
    return DetectorSpec.create(name)


@pytest.fixture
def detector(spec: DetectorSpec) -> Detector:
    return spec.build()


@pytest.fixture(scope="module")
def scene() -> Pixels:
    """Draw a large face on the right and a small one on the left."""
    return np.asarray(paste((WIDTH, HEIGHT), (330, 20, 280), (20, 210, 190)))


def build_and_detect(spec: DetectorSpec, pixels: Pixels) -> list[Face]:
    return spec.build().detect(pixels)


def test_faces_are_well_formed(detector: Detector, scene: Pixels) -> None:
    faces = detector.detect(scene)
    assert faces, "the scene has two faces"
    assert [face.box for face in faces] == sorted(face.box for face in faces)
    for face in faces:
        assert face.detector == detector.name
        assert all(type(number) is int for number in face.box)
        assert face.box.x >= 0
        assert face.box.y >= 0
        assert 0 < face.box.width <= WIDTH - face.box.x
        assert 0 < face.box.height <= HEIGHT - face.box.y
        assert type(face.score) is float
        assert 0 <= face.score <= 1
        assert all(
            0 <= mark.x <= WIDTH and 0 <= mark.y <= HEIGHT for mark in face.landmarks
        )


def test_detection_is_deterministic(detector: Detector, scene: Pixels) -> None:
    before = scene.copy()
    assert detector.detect(scene) == detector.detect(scene.copy())
    assert np.array_equal(scene, before), "the image is not changed"


def test_tiny_images(detector: Detector) -> None:
    for width, height in ((1, 1), (3, 2000), (2000, 3), (57, 57), (63, 58)):
        faces = detector.detect(np.full((height, width, 3), 200, np.uint8))
        assert len(faces) == (detector.name == "whole"), "flat grey has no face"


def test_recorded_settings_rebuild_detector(spec: DetectorSpec) -> None:
    own = dict(spec.settings)
    if "threshold" in signature(type(spec.build())).parameters:
        own["threshold"] = 0.77
    settings = DetectorSpec.create(spec.name, **own).build().settings
    assert settings == " ".join(settings.split()), "separated by single spaces"
    files = {name: own[name] for name in FILES if name in own}
    assert (
        RecordedDetector.from_text(spec.name, settings).spec(files).build().settings
        == settings
    )


@pytest.fixture(scope="module")
def spawned_process() -> Iterator[Pool]:
    """Yield a spawned process, which gets nothing but the pickled spec."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        yield pool


def test_spec_works_in_another_process(
    spec: DetectorSpec, scene: Pixels, spawned_process: Pool
) -> None:
    if spec.name == CONTAINER:
        pytest.skip("every process has its own container: see test_animeface_docker")
    assert len(pickle.dumps(spec)) < 500
    assert spawned_process.apply(
        build_and_detect, (spec, scene)
    ) == spec.build().detect(scene)


def test_unknown_name_has_suggestion() -> None:
    with pytest.raises(UsageError, match="did you mean 'animeface'"):
        build_detector("anime-face")
    with pytest.raises(UsageError, match=r"use one of: .*animeface"):
        build_detector("zzz")


def test_unknown_setting_has_suggestion() -> None:
    with pytest.raises(UsageError, match="did you mean 'threshold'"):
        build_detector("animeface", treshold=0.7)
    with pytest.raises(UsageError, match="it has none"):
        build_detector("whole", threshold=0.7)


@pytest.mark.parametrize("threshold", ["many", "nan", 0.3, 1.5, -1])
def test_threshold_out_of_range_is_rejected(threshold: str | float) -> None:
    with pytest.raises(UsageError, match=r"from 0\.5 to 1"):
        build_detector("animeface", threshold=threshold)


def test_settings_follow_the_name(tmp_path: Path) -> None:
    path = str(tmp_path / "a.xml")
    spec = parse_detector(f"lbpcascade:cascade={path},neighbors=2", neighbors=3)
    assert spec == DetectorSpec.create("lbpcascade", cascade=path, neighbors="2")
    assert parse_detector("animeface", threshold=0.9) == DetectorSpec.create(
        "animeface", threshold=0.9
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lbpcascade:neighbors", "not SETTING=VALUE"),
        ("lbpcascade:neighbours=3", "did you mean 'neighbors'"),
        ("lbpcascades:neighbors=3", "did you mean 'lbpcascade'"),
    ],
)
def test_invalid_setting_is_rejected(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_detector(text)


def test_docs_example_is_a_detector(scene: Pixels) -> None:
    page = (ROOT / "docs" / "detectors.md").read_text(encoding="utf-8")
    text = page.partition("```python facecrop/detectors/skin.py\n")[2].partition("```")[
        0
    ]
    namespace: dict[str, Any] = {"__name__": "skin"}
    exec(compile(text, "skin.py", "exec"), namespace)
    skin_detector: Detector = namespace["SkinColor"]("0.1")
    assert (skin_detector.name, skin_detector.settings) == ("skin", "threshold=0.1")
    (face,) = skin_detector.detect(scene)
    assert 0.1 <= face.score <= 1
    assert skin_detector.detect(scene) == [face]
    with pytest.raises(UsageError, match="threshold"):
        namespace["SkinColor"]("2")


PIXELS = np.zeros((240, 320, 3), np.uint8)
BOX = Box(0, 0, 9, 9)


def detect_with(answer: Any) -> list[Face]:
    """Search with a plugin that returns the answer, or raises it."""
    mine: Any = SimpleNamespace(
        name="mine", settings="", detect=Mock(side_effect=[answer])
    )
    return PluginDetector(mine, "gleanset-mine 1.0").detect(PIXELS)


def test_valid_faces_are_returned() -> None:
    face = Face(
        "mine",
        Box(300, 200, 20, 40),
        1.0,
        (Landmark("nose", 310.5, 220),),
        {"sure": [1]},
    )
    assert (detect_with([face]), detect_with([face])[0].evidence) == (
        [face],
        {"sure": [1]},
    )


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "TypeError: 'NoneType' object is not iterable"),
        ([1], "ValidationError: Expected `object`, got `int`"),
        (
            [RawFace(FloatBox(0, 0, 9, 9), 1)],
            "ValidationError: Expected `object`, got `array`",
        ),
        ([Face("other", BOX, 1)], "ValueError: wrong detector name: 'other'"),
        (
            [Face("mine", Box(300, 0, 21, 9), 1)],
            "ValueError: box (300, 0, 21, 9) is not within",
        ),
        (
            [Face("mine", Box(-1, 0, 21, 9), 1)],
            "ValueError: box (-1, 0, 21, 9) is not within",
        ),
        (
            [Face("mine", Box(0, 0, 9, 0), 1)],
            "ValueError: box (0, 0, 9, 0) is not within",
        ),
        ([Face("mine", Box(0, 0, 9.5, 9), 1)], "ValidationError: "),  # type: ignore[arg-type]
        ([Face("mine", BOX, 1.1)], "ValueError: score not in 0..1: 1.1"),
        ([Face("mine", BOX, float("nan"))], "ValueError: score not in 0..1: nan"),
        ([Face("mine", BOX, np.float32(1))], "TypeError: "),  # type: ignore[arg-type]
        ([Face("mine", BOX, 1, evidence={"map": PIXELS})], "TypeError: "),
        (ZeroDivisionError("oh\x1b[1m"), "ZeroDivisionError: oh?[1m"),
    ],
)
def test_invalid_faces_reject_image(answer: Any, why: str) -> None:
    with pytest.raises(Unreadable) as caught:
        detect_with(answer)
    assert caught.value.reason == "detector failed"
    assert caught.value.detail.startswith(f"gleanset-mine 1.0: {why}")


def test_missing_component_is_raised() -> None:
    with pytest.raises(MissingComponent):
        detect_with(MissingComponent("no container", "start it"))


@pytest.mark.parametrize(
    "size", [(1, 1), (1920, 1), (1920, 1920), (4000, 3000), (3840, 1920), (1, 1920)]
)
def test_common_sizes_are_one_tile(size: tuple[int, int]) -> None:
    assert plan_tiles(*size, 1920) == [Box(0, 0, *size)]


@pytest.mark.parametrize(
    "size",
    [(7000, 1000), (1000, 7000), (1921, 60), (20000, 57), (3841, 1920), (1500, 30001)],
)
def test_every_square_is_inside_a_tile(size: tuple[int, int]) -> None:
    places = plan_tiles(*size, 1920)
    wide = size[0] > size[1]
    short = min(size)
    spans = [(b.x, b.x + b.width) if wide else (b.y, b.y + b.height) for b in places]
    for start in range(max(size) - short + 1):
        assert any(first <= start and start + short <= last for first, last in spans)
    assert all(b.x + b.width <= size[0] and b.y + b.height <= size[1] for b in places)
    assert len(set(places)) == len(places)


def test_long_strip_has_few_tiles() -> None:
    assert len(plan_tiles(100_000, 100, 1920)) < 60


def face(box: Box, score: float) -> Face:
    return Face("animeface", box, score)


def test_highest_score_wins_among_duplicates() -> None:
    full = face(Box(100, 100, 80, 80), 0.9)
    part = face(Box(120, 110, 40, 60), 0.7)
    far = face(Box(300, 100, 80, 80), 0.6)
    assert drop_overlapping_faces([part, far, full]) == [full, far]


def test_scores_are_python_floats() -> None:
    def scored(score: float) -> float:
        pixels = np.zeros((40, 40, 3), np.uint8)
        find = [RawFace(FloatBox(2.0, 2.0, 9.0, 9.0), score)]
        return search_tiles("theirs", pixels, lambda _: find, 100)[0].score

    assert json.dumps([scored(np.float32(0.5)), scored(1.7)]) == "[0.5, 1.0]"
    with pytest.raises(ValueError, match="not a number"):
        scored(np.float32("nan"))
