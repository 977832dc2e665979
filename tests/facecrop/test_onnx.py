"""YOLO-style networks of every layout, from files, URLs and a hub: boxes in pixels."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from built_detectors import build_detector
from facecrop_scenes import put
from onnx_models import other_model, red_model
from PIL import Image
from publisher import Hub, Publisher, serving
from tools_for_tests import run_here

from facecrop.detectors.options import dataset_detector, parse_detector
from facecrop.detectors.recorded import RecordedDetector
from facecrop.detectors.tiling import FloatBox
from gleanset import Dataset
from gleanset.arrays import Pixels
from gleanset.errors import MissingComponent, UsageError
from gleanset.files.hub import load_hub_models
from gleanset.records import Box, overlap
from gleanset.settings import CropSettings

LAYOUTS = ("v8", "v5", "end")


def red_square(width: int, height: int, place: Box) -> Pixels:
    pixels = np.full((height, width, 3), 230, np.uint8)
    pixels[place.y : place.y + place.height, place.x : place.x + place.width] = (
        255,
        0,
        0,
    )
    return pixels


def detect(model: Path, pixels: Pixels, **settings: str | float) -> list[Box]:
    return [
        face.box
        for face in build_detector("onnx", model=str(model), **settings).detect(pixels)
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("width", "height", "place"),
    [
        (320, 320, Box(128, 64, 128, 128)),
        (640, 320, Box(400, 64, 160, 160)),
        (480, 960, Box(60, 600, 300, 300)),
        (3000, 4000, Box(900, 2400, 1200, 1200)),
    ],
)
def test_boxes_match_object_position(
    tmp_path: Path, layout: str, width: int, height: int, place: Box
) -> None:
    model = red_model(tmp_path / "red.onnx", layout)
    result = detect(model, red_square(width, height, place), threshold=0.9)
    assert result, "the red square is found"
    centre = place.x + place.width / 2, place.y + place.height / 2
    nearest = min(
        result,
        key=lambda b: (
            abs(b.x + b.width / 2 - centre[0]) + abs(b.y + b.height / 2 - centre[1])
        ),
    )
    # A cell of the coarsest grid is 32 of 320 input pixels wide.
    slack = 0.11 * max(width, height)
    assert abs(nearest.x + nearest.width / 2 - centre[0]) < slack
    assert abs(nearest.y + nearest.height / 2 - centre[1]) < slack
    for box in result:
        inside = FloatBox(*place)
        assert overlap(FloatBox(*box), inside) > 0, "all boxes are on the square"


def test_half_precision_model(tmp_path: Path) -> None:
    square = red_square(320, 320, Box(128, 64, 128, 128))
    single = detect(red_model(tmp_path / "whole.onnx"), square)
    half = detect(red_model(tmp_path / "half.onnx", half=True), square)
    assert half == single


def test_dynamic_input_size_uses_setting(tmp_path: Path) -> None:
    model = red_model(tmp_path / "open.onnx", size=320, open_size=True)
    square = red_square(320, 320, Box(128, 64, 128, 128))
    assert detect(model, square, size=320) == detect(
        red_model(tmp_path / "fixed.onnx"), square
    )
    with pytest.raises(UsageError, match="not a face model"):
        build_detector("onnx", model=str(model), size=640)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_class_named_face_is_used(tmp_path: Path, layout: str) -> None:
    names = {0: "tree", 1: "anime face"}
    model = red_model(tmp_path / "two.onnx", layout, classes=2, names=names)
    square = red_square(320, 320, Box(128, 64, 128, 128))
    assert detect(model, square)
    assert not detect(model, square, face=0)


@pytest.mark.parametrize("classes", [1, 2])
@pytest.mark.parametrize("layout", ["v8", "v5"])
def test_class_that_the_model_lacks_raises_error(
    tmp_path: Path, layout: str, classes: int
) -> None:
    model = red_model(tmp_path / "red.onnx", layout, classes=classes)
    with pytest.raises(UsageError, match="face is out of range"):
        build_detector("onnx", model=str(model), face=classes)


def test_ambiguous_classes_raise_error(tmp_path: Path) -> None:
    model = red_model(
        tmp_path / "two.onnx", classes=3, names={0: "cat", 1: "dog", 2: "owl"}
    )
    with pytest.raises(UsageError, match="has 3 classes: 0 cat, 1 dog, 2 owl") as error:
        build_detector("onnx", model=str(model))
    assert "onnx:model=FILE,face=0" in error.value.fix


@pytest.mark.parametrize(
    "shape", [[1, 1000], [1, 64, 64, 3], [2, 5, 84], [1, 5, 80], [1, 84, 4]]
)
def test_wrong_output_shape_is_rejected(tmp_path: Path, shape: list[int]) -> None:
    model = other_model(tmp_path / "other.onnx", shape)
    with pytest.raises(
        UsageError, match="not a face model: its output has the shape"
    ) as error:
        build_detector("onnx", model=str(model))
    assert "YOLO" in error.value.fix


@pytest.mark.parametrize("value", [17.0, -3.0, float("nan")])
def test_scores_out_of_range_are_rejected(tmp_path: Path, value: float) -> None:
    """Such as the logits of a truncated model."""
    model = other_model(tmp_path / "other.onnx", [1, 5, 84], value=value)
    with pytest.raises(UsageError, match="scores are not between 0 and 1"):
        build_detector("onnx", model=str(model))


def test_invalid_model_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("<html>404</html>")
    with pytest.raises(UsageError, match="is not an ONNX model"):
        build_detector("onnx", model=str(tmp_path / "model.onnx"))
    single = onnx.load(red_model(tmp_path / "red.onnx"))
    apart = tmp_path / "apart.onnx"
    onnx.save(
        single, apart, save_as_external_data=True, location="w.bin", size_threshold=64
    )
    (tmp_path / "w.bin").unlink()
    with pytest.raises(
        UsageError, match=r"is not an ONNX model: .*[Ee]xternal"
    ) as error:
        build_detector("onnx", model=str(apart))
    assert "in one file" in error.value.fix
    with pytest.raises(UsageError, match="there is no file"):
        build_detector("onnx", model=str(tmp_path / "none.onnx"))
    with pytest.raises(UsageError, match="no model was given"):
        build_detector("onnx")


def test_model_is_fetched_by_url_and_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = red_model(tmp_path / "red.onnx")
    square = red_square(320, 320, Box(128, 64, 128, 128))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    publisher = Publisher()
    publisher.data = model.read_bytes()
    url = publisher.file_url("red.onnx")
    sha256 = hashlib.sha256(publisher.data).hexdigest()
    with serving(publisher, monkeypatch):
        result = build_detector("onnx", model=url, sha256=sha256).detect(square)
        assert [face.box for face in result] == detect(model, square)
        assert list((tmp_path / "cache" / "gleanset").rglob("*red.onnx"))
        with pytest.raises(UsageError, match="needs its SHA-256") as usage:
            build_detector("onnx", model=url)
        assert "onnx:model=FILE,sha256=" in usage.value.fix
        with pytest.raises(MissingComponent, match="not the file it should be"):
            build_detector("onnx", model=url, sha256="0" * 64)


pytest.importorskip("onnx", reason="needs the package onnx, to make networks")


NAME = f"hub:{Hub.repository}/face"


def test_hub_model_is_pinned_on_first_use(
    hub: Hub, dataset: Dataset, tmp_path: Path
) -> None:
    put(dataset, Image.new("RGB", (320, 320), "red"))
    first = hub.commit(
        face_model=red_model(tmp_path / "a.onnx", names={0: "head"}).read_bytes()
    )
    words = ("run", "--detector", f"{NAME}:threshold=0.9", "-d", dataset.root, "--json")
    settings = dataset.root / "dataset.toml"
    assert run_here("facecrop.cli", *words, "--simulate").json["would_search"] == 1
    assert "[hub" not in settings.read_text()
    assert run_here("facecrop.cli", *words, "--workers", "1").json["faces"]
    assert first in settings.read_text()
    hub.commit(face_model=red_model(tmp_path / "b.onnx", brightness=1.0).read_bytes())
    hub.range_headers.clear()
    assert run_here("facecrop.cli", *words).json["images"] == 0
    assert not hub.range_headers
    hub.commits.clear()
    (scan,) = dataset.db.fetch_all("SELECT settings FROM scan")
    recorded = RecordedDetector.from_text("onnx", scan["settings"])
    assert recorded.spec({}).build().settings == scan["settings"]


def test_hub_name_accepts_settings() -> None:
    own = CropSettings(detector=f"{NAME}:size=320", threshold=0.4)
    assert dict(dataset_detector(own, NAME).settings)["threshold"] == 0.4
    assert "threshold" not in dict(dataset_detector(own, f"{NAME}2").settings)
    listed = run_here("facecrop.cli", "detectors", "--json").json["on a hub"]
    for name, line in zip(
        load_hub_models("facecrop.detectors")["names"], listed, strict=True
    ):
        assert parse_detector(name).name == "onnx"
        assert line.startswith(f"{name}: ")
