"""`POST /api/v1/faces`: faces found by the detector of the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from color_model import write_model
from server_helpers import Serve, make_settings, solid_image
from starlette.testclient import TestClient
from tools_for_tests import run_here

from baseline.use.crops import PartReader
from facecrop.detectors import DetectorSpec, Pixels
from facecrop.detectors.drawnface import DrawnFace
from gleanset import Dataset
from gleanset.db.faces import CropMethod
from gleanset.images.decode import decode
from gleanset.records import Box, Face, overlap
from webapp.box_styles import BOX_STYLES, detect_with_both
from webapp.loaded_model import load_model
from webapp.settings import ServeSettings

FACES = "/api/v1/faces"


@pytest.fixture
def settings(tmp_path: Path, dataset: Dataset) -> ServeSettings:
    """Return settings of a server whose model was trained on faces of drawnface."""
    file = write_model(tmp_path / "faced.onnx", crops=(CropMethod("drawnface", "", "", 10),))
    return make_settings(file, dataset.root)


def test_faces_match_detector(client: TestClient, two_faces: Path) -> None:
    files = [("files", ("two.png", two_faces.read_bytes())), ("files", ("bad.png", b"no image"))]
    two, bad = client.post(FACES, files=files).json()["images"]
    expected = DrawnFace().detect(np.asarray(decode(two_faces.read_bytes()).pixels))
    assert sorted(one["box"] for one in two["faces"]) == sorted(list(one.box) for one in expected)
    assert {one["found_by"] for one in two["faces"]} == {"drawnface"}
    assert [one["score"] for one in two["faces"]] == sorted(
        (w.score for w in expected), reverse=True
    )
    assert (two["width"], two["height"]) == (720, 400)
    assert bad["error"]["reason"] == "not an image"


class FakeDetector:
    """Detector with the name of animeface that always returns the same faces."""

    name, settings = "animeface", ""

    def __init__(self, *boxes: Box) -> None:
        self.faces = [Face(self.name, box, 0.9) for box in boxes]

    def detect(self, pixels: Pixels) -> list[Face]:
        return self.faces


def test_boxes_of_two_detectors_are_merged(two_faces: Path) -> None:
    pixels = np.asarray(decode(two_faces.read_bytes()).pixels)
    second, first = sorted(detect_with_both(FakeDetector(), pixels), key=lambda face: face.score)
    assert {face.detector for face in (first, second)} == {"drawnface"}
    assert 1 >= first.score >= second.score >= 0.5
    drawn_as = BOX_STYLES["animeface"]
    detection = next(one for one in DrawnFace().detect(pixels) if overlap(one.box, first.box) > 0.3)
    assert first.box.height == pytest.approx(drawn_as.height * detection.box.height, abs=1)
    # The box of the model's detector wins; its other faces stay with lower scores.
    own, corner = Box(*first.box)._replace(x=first.box.x + 4), Box(0, 0, 50, 50)
    result = detect_with_both(FakeDetector(own, corner), pixels)
    assert [face.box for face in result] == sorted([own, second.box, corner])
    scores = {face.box: face.score for face in result}
    assert scores[own] > first.score > scores[corner] > 0.5
    # Faces that only drawnface finds within a face of the model's detector are dropped.
    assert [face.box for face in detect_with_both(FakeDetector(Box(0, 0, 720, 400)), pixels)] == [
        Box(0, 0, 720, 400)
    ]
    # An image without boxes is processed in the same way.
    read = PartReader(16, DetectorSpec("drawnface"))
    parts = read.parts(
        decode(two_faces.read_bytes()).pixels,
        lambda _, detection: detect_with_both(FakeDetector(own), detection),
    )
    assert [part.box for part in parts] == sorted([own, second.box])


def test_whole_image_model_has_no_faces(serve: Serve, tmp_path: Path) -> None:
    client = serve(model=str(write_model(tmp_path / "whole.onnx")))
    answer = client.post(FACES, files=[("files", ("a.png", solid_image("red")))])
    assert answer.status_code == 409
    assert answer.json()["reason"] == "no faces"


def test_removed_detector_needs_replacement(tmp_path: Path) -> None:
    file = write_model(tmp_path / "old.onnx", crops=(CropMethod("ensemble", "", "", 10),))
    refused = run_here("webapp.cli", "serve", file, "--port", "0", "-d", tmp_path)
    assert (refused.code, refused.stdout) == (2, "")
    assert "detector removed: ensemble" in refused.stderr
    assert "--detector drawnface" in refused.stderr
    loaded = load_model(ServeSettings(str(file), detector="drawnface"))
    assert loaded.model.cropping.read.detector == DetectorSpec.create("drawnface")
