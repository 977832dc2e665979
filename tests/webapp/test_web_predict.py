"""`POST /api/v1/predict` and `/api/v1/faces`: predictions, boxes and refused requests."""

import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from color_model import CLASSES, write_model
from PIL import Image
from server_helpers import Serve, solid_image
from starlette.testclient import TestClient
from tools_for_tests import encode, run_here

from facecrop.detectors import DetectorSpec
from facecrop.detectors.drawnface import DrawnFace
from facecrop.detectors.tiling import sort_in_reading_order
from gleanset.arrays import Pixels
from gleanset.db.faces import CropMethod
from gleanset.errors import InputUnusable
from gleanset.images.decode import decode
from gleanset.records import Box, Face
from webapp.box_styles import BOX_STYLES, detect_for_page
from webapp.loaded_model import load_model
from webapp.serving import load_facts
from webapp.settings import ServeSettings

PREDICT = "/api/v1/predict"


@pytest.fixture
def client(shared_client: TestClient) -> TestClient:
    """Return the client that the tests of this module share."""
    return shared_client


def upload_files(
    *pictures: bytes, names: tuple[str, ...] = ()
) -> list[tuple[str, tuple[str, bytes]]]:
    named = names or tuple(f"{number}.png" for number in range(len(pictures)))
    return [("files", one) for one in zip(named, pictures, strict=True)]


def get_parts(answer: Any, number: int = 0) -> list[dict[str, Any]]:
    """Return the parts of one image of a response."""
    return answer.json()["images"][number]["parts"]


def test_predictions_keep_order(client: TestClient) -> None:
    answer = client.post(
        PREDICT, files=upload_files(*map(solid_image, ("red", "blue", "lime")))
    )
    assert (answer.status_code, answer.json()["run"]) == (200, "colours")
    assert [get_parts(answer, n)[0]["answer"] for n in range(3)] == [
        "red",
        "blue",
        "green",
    ]
    best = get_parts(answer)[0]["predictions"]
    assert best[0]["label"] == "red"
    assert sum(one["confidence"] for one in best) == pytest.approx(1)


def test_unsure_prediction_has_null_answer(client: TestClient) -> None:
    pictures = solid_image("#828080"), solid_image("red")  # 34 and nearly 100 % red
    unsure, sure = (
        get_parts(client.post(PREDICT, files=upload_files(*pictures)), n)[0]
        for n in (0, 1)
    )
    assert (unsure["answer"], unsure["unsure"], unsure["best"]) == (None, True, "red")
    assert unsure["confidence"] == unsure["predictions"][0]["confidence"] < 0.5
    assert (sure["answer"], sure["unsure"], sure["best"]) == ("red", False, "red")


@pytest.mark.parametrize(
    "body", [b"", b"a text", solid_image("red")[:60], b"\xff\xd8\xff\xe0"]
)
@pytest.mark.parametrize("path", [PREDICT, "/api/v1/faces"])
def test_body_without_image_is_refused(
    settings: ServeSettings, serve: Serve, body: bytes, path: str
) -> None:
    file = write_model(
        Path(settings.model), crops=(CropMethod("drawnface", "", "", 10),)
    )
    client = serve(model=str(file))
    answer = client.post(path, content=body, headers={"content-type": "image/png"})
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (
        422,
        "application/problem+json",
    )
    assert problem["reason"]
    assert problem["hint"].startswith("send an image")
    # In a form only that image has an error.
    form = client.post(path, files=upload_files(body or b" ", solid_image("red")))
    assert form.status_code == 200
    unreadable, readable = form.json()["images"]
    assert unreadable["error"]["reason"] == problem["reason"] or not body
    assert readable.get("error", {}).get("reason") in (None, "no face found")


def test_each_box_is_predicted(client: TestClient) -> None:
    picture = Image.new("RGB", (100, 50), "red")
    picture.paste("blue", (50, 0, 100, 50))
    boxes = [[[60, 10, 20, 20], [10, 10, 20, 20]], None, [[500, 500, 9, 9]]]
    pictures = encode(picture, "PNG"), solid_image("lime"), solid_image("red")
    data = {"boxes": json.dumps(boxes)}
    answer = client.post(PREDICT, files=upload_files(*pictures), data=data)
    answers = [(part["answer"], part["box"]) for part in get_parts(answer)]
    assert answers == [("blue", [60, 10, 20, 20]), ("red", [10, 10, 20, 20])]
    assert get_parts(answer, 1)[0]["answer"] == "green"
    assert get_parts(answer, 1)[0]["box"] is None
    assert answer.json()["images"][2]["error"]["reason"] == "box outside the image"


def test_json_and_image_bodies_match_form(client: TestClient) -> None:
    red = solid_image("red")
    encoded = base64.encodebytes(red).decode()
    form = client.post(PREDICT, files=upload_files(red)).json()
    named = {"data": f"data:image/png;base64,{encoded}", "name": "0.png"}
    marked = {"data": encoded, "boxes": [[5, 5, 20, 20]]}
    answer = client.post(PREDICT, json={"images": [named, marked]})
    assert answer.json()["images"][0] == form["images"][0]
    assert get_parts(answer, 1)[0]["box"] == [5, 5, 20, 20]
    for kind in ("image/jpeg", "image/png; q=1"):
        raw = client.post(PREDICT, content=red, headers={"content-type": kind})
        assert get_parts(raw) == form["images"][0]["parts"]
    assert (
        form["model_version"]
        == raw.headers["model-version"]
        == raw.json()["model_version"]
    )


def test_malformed_json_is_refused(client: TestClient) -> None:
    for image, detail in (
        ({"data": "*"}, "$.images[0].data"),
        ({"data": "AA,A"}, "$.images[0].data"),
        ({"data": "", "path": "/etc/passwd"}, "unknown field `path`"),
        ({"data": "", "boxes": [[0, 0, 0, 5]]}, "$.images[0].boxes[0][2]"),
        ({"data": "", "boxes": [[0, 0, 1, 1]] * 51}, "limit: 50"),
    ):
        answer = client.post(PREDICT, json={"images": [image]})
        assert answer.status_code == (413 if "limit" in detail else 422)
        assert detail in answer.json()["detail"]
        assert answer.json()["hint"]
    assert client.post(PREDICT, json={"images": []}).json()["reason"] == "no image"


def test_unreadable_image_does_not_fail_others(client: TestClient) -> None:
    answer = client.post(
        PREDICT, files=upload_files(b"no image", solid_image("red"), b"")
    )
    first, second, third = answer.json()["images"]
    assert first["error"]["reason"] == "not an image"
    assert (second["parts"][0]["answer"], third["error"]["reason"]) == ("red", "empty")


def test_image_is_converted_to_jpeg(client: TestClient) -> None:
    upload_files = {"file": ("scan.tiff", solid_image("red", (5000, 50), "TIFF"))}
    answer = client.post("/api/v1/jpeg", files=upload_files)
    assert answer.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (4096, 41))
    refused = client.post("/api/v1/jpeg", files={"file": ("a.tiff", b"no image")})
    assert (refused.status_code, refused.json()["reason"]) == (422, "not an image")


def test_malformed_boxes_are_refused(client: TestClient) -> None:
    many = json.dumps([[[0, 0, 1, 1]] * 51])
    for boxes in (
        "nonsense",
        "[[[1, 2, 3]]]",
        "[[[0, 0, 0, 5]]]",
        "[[], []]",
        "[" * 5000,
        many,
    ):
        answer = client.post(
            PREDICT, files=upload_files(solid_image("red")), data={"boxes": boxes}
        )
        assert answer.status_code == (413 if boxes == many else 422), boxes
        assert answer.json()["reason"]


def test_request_limits(serve: Serve) -> None:
    for limits, images, status, reason in (
        ({"body_bytes": 100}, 1, 413, "too large"),
        ({"images": 2}, 3, 413, "too many images"),
        ({}, 0, 422, "no image"),
    ):
        files = [*upload_files(*[solid_image("red")] * images), ("other", (None, b"x"))]
        answer = serve(limits=limits).post(PREDICT, files=files)
        assert (answer.status_code, answer.json()["reason"]) == (status, reason)


def test_oversized_image_is_not_decoded(serve: Serve) -> None:
    answer = serve(limits={"pixels": 1000}).post(
        PREDICT, files=upload_files(solid_image("red"))
    )
    assert answer.json()["images"][0]["error"]["reason"] == "too large"


def test_invalid_form_is_refused(client: TestClient) -> None:
    answer = client.post(PREDICT, content=b"{}", headers={"content-type": "text/plain"})
    assert (answer.status_code, answer.json()["reason"]) == (415, "wrong content type")
    assert "image/jpeg" in answer.json()["hint"]
    broken = {"content-type": "multipart/form-data; boundary=x"}
    answer = client.post(PREDICT, content=b"--x\r\nrubbish", headers=broken)
    assert (answer.status_code, answer.json()["reason"]) == (422, "no image")
    answer = client.post(
        PREDICT, content=b"x", headers={"content-type": "multipart/form-data"}
    )
    assert (answer.status_code, answer.json()["reason"]) == (400, "not a form")


def test_hostile_file_names_are_harmless(client: TestClient, root: Path) -> None:
    before = sorted(root.rglob("*"))
    for name in (
        "../../../etc/passwd",
        "a\0b.png",
        "\u202egnp.exe",
        "x" * 3_000,
        "<b>.png",
    ):
        answer = client.post(
            PREDICT, files=upload_files(solid_image("red"), names=(name,))
        )
        assert get_parts(answer)[0]["answer"] == "red"
        result = answer.json()["images"][0]["name"]
        assert len(result) <= 200
        assert result.isprintable()
    assert sorted(root.rglob("*")) == before


def test_model_with_wrong_labels_is_refused(tmp_path: Path) -> None:
    other = write_model(tmp_path / "others.onnx", ("a", "b", "c", "d"))
    with pytest.raises(InputUnusable, match="it has 3 outputs and 4 labels"):
        load_facts(ServeSettings(model=str(other)))


def test_model_folder_with_undecodable_name(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    settings = ServeSettings(model=str(write_model(folder / "colours.onnx")))
    facts = load_facts(settings)
    assert (facts.run, list(facts.page["classes"])) == ("colours", list(CLASSES))


FACES = "/api/v1/faces"


def test_faces_match_detector(serve: Serve, two_faces: Path, tmp_path: Path) -> None:
    crops = (CropMethod("drawnface", "", "", 10),)
    client = serve(model=str(write_model(tmp_path / "faces.onnx", crops=crops)))
    files = [
        ("files", ("two.png", two_faces.read_bytes())),
        ("files", ("bad.png", b"no image")),
    ]
    two, bad = client.post(FACES, files=files).json()["images"]
    expected = DrawnFace().detect(np.asarray(decode(two_faces.read_bytes()).pixels))
    assert sorted(one["box"] for one in two["faces"]) == sorted(
        list(one.box) for one in expected
    )
    assert {one["found_by"] for one in two["faces"]} == {"drawnface"}
    scores = [one["score"] for one in two["faces"]]
    assert scores == sorted((one.score for one in expected), reverse=True)
    assert (two["width"], two["height"]) == (720, 400)
    assert bad["error"]["reason"] == "not an image"


class FakeDetector:
    """Detector with the name of animeface that always returns the same faces."""

    name = "animeface"
    settings = ""

    def __init__(self, *boxes: Box) -> None:
        self.faces = [Face(self.name, box, 0.9) for box in boxes]

    def detect(self, pixels: Pixels) -> list[Face]:
        return self.faces


def test_browser_detector_fills_in_missing_faces(two_faces: Path) -> None:
    pixels = np.asarray(decode(two_faces.read_bytes()).pixels)
    faces = detect_for_page(FakeDetector(), pixels)
    drawn = sort_in_reading_order(DrawnFace().detect(pixels))
    assert [face.detector for face in faces] == ["drawnface"] * len(drawn)
    drawn_as = BOX_STYLES["animeface"]
    for face, own in zip(faces, drawn, strict=True):
        assert face.box.height == pytest.approx(drawn_as.height * own.box.height, abs=1)
    # Not where the detector of the model finds any.
    corner = Box(0, 0, 50, 50)
    assert [face.box for face in detect_for_page(FakeDetector(corner), pixels)] == [
        corner
    ]


def test_faces_are_in_reading_order() -> None:
    rows = [
        (10, 50),
        (300, 20),
        (400, 55),
        (0, 70),
        (200, 95),
    ]  # the first row ends at 100
    detector = FakeDetector(*(Box(x, y, 80, 80) for x, y in sorted(rows)))
    faces = detect_for_page(detector, np.zeros((200, 500, 3), np.uint8))
    assert [(face.box.x, face.box.y) for face in faces] == rows


def test_whole_image_model_has_no_faces(serve: Serve, tmp_path: Path) -> None:
    client = serve(model=str(write_model(tmp_path / "whole.onnx")))
    answer = client.post(FACES, files=[("files", ("a.png", solid_image("red")))])
    assert (answer.status_code, answer.json()["reason"]) == (409, "no faces")


def test_removed_detector_needs_replacement(tmp_path: Path) -> None:
    file = write_model(
        tmp_path / "old.onnx", crops=(CropMethod("ensemble", "", "", 10),)
    )
    refused = run_here("webapp.cli", "serve", file, "--port", "0", "-d", tmp_path)
    assert (refused.code, refused.stdout) == (2, "")
    assert "detector removed: ensemble" in refused.stderr
    assert "--detector drawnface" in refused.stderr
    loaded = load_model(ServeSettings(model=str(file), detector="drawnface"))
    assert loaded.predictor.cropping.reader.detector == DetectorSpec.create("drawnface")
