"""Contracts of all registered detectors, and their lookup."""

import multiprocessing
import pickle
from collections.abc import Iterator
from inspect import signature
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tools_for_tests import ROOT

from facecrop.detector_names import DETECTORS
from facecrop.detectors import Detector, DetectorSpec, Pixels, build_detector
from facecrop.detectors.animeface_library import SELFTEST_IMAGE
from facecrop.detectors.options import check_options, parse_detector
from facecrop.detectors.recorded import FILES, RecordedDetector
from gleanset.errors import UsageError
from gleanset.records import Face

NAMES = list(DETECTORS)
CONTAINER = "animeface-docker"
OF_CONTAINER = [pytest.mark.docker, pytest.mark.timeout(900)]
WIDTH, HEIGHT = 630, 420


@pytest.fixture(
    params=[pytest.param(name, marks=OF_CONTAINER if name == CONTAINER else []) for name in NAMES]
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
    canvas = Image.new("RGB", (WIDTH, HEIGHT), (120, 160, 190))
    face = Image.open(SELFTEST_IMAGE).convert("RGB")
    canvas.paste(face.resize((280, 280)), (330, 20))
    canvas.paste(face.resize((190, 190)), (20, 210))
    return np.asarray(canvas)


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
        assert all(0 <= mark.x <= WIDTH and 0 <= mark.y <= HEIGHT for mark in face.landmarks)


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
    assert RecordedDetector.from_text(spec.name, settings).spec(files).build().settings == settings


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
    assert spawned_process.apply(build_and_detect, (spec, scene)) == spec.build().detect(scene)


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


def test_settings_from_name_options_and_arguments(tmp_path: Path) -> None:
    options = ["lbpcascade.scale=1.05", "lbpcascade.neighbors=3", "animeface.threshold=0.6"]
    spec = parse_detector("lbpcascade:neighbors=2", options, str(tmp_path / "a.xml"))
    assert spec == DetectorSpec.create(
        "lbpcascade", cascade=str(tmp_path / "a.xml"), neighbors="2", scale="1.05"
    )
    assert parse_detector("animeface", options, str(tmp_path)) == DetectorSpec.create(
        "animeface", threshold="0.6"
    )
    assert parse_detector("animeface", options, threshold=0.9) == DetectorSpec.create(
        "animeface", threshold=0.9
    )


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("neighbors=3", "invalid option"),
        ("lbpcascade.neighbors", "invalid option"),
        ("lbpcascade.neighbours=3", "did you mean 'neighbors'"),
        ("lbpcascades.neighbors=3", "did you mean 'lbpcascade'"),
    ],
)
def test_invalid_option_is_rejected(option: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_options([option])
    with pytest.raises(UsageError, match="not SETTING=VALUE"):
        parse_detector("lbpcascade:neighbors")


def test_docs_example_is_a_detector(scene: Pixels) -> None:
    page = (ROOT / "docs" / "detectors.md").read_text(encoding="utf-8")
    text = page.partition("```python facecrop/detectors/skin.py\n")[2].partition("```")[0]
    namespace: dict[str, Any] = {"__name__": "skin"}
    exec(compile(text, "skin.py", "exec"), namespace)
    skin_detector: Detector = namespace["SkinColor"]("0.1")
    assert (skin_detector.name, skin_detector.settings) == ("skin", "threshold=0.1")
    (face,) = skin_detector.detect(scene)
    assert 0.1 <= face.score <= 1
    assert skin_detector.detect(scene) == [face]
    with pytest.raises(UsageError, match="threshold"):
        namespace["SkinColor"]("2")
