"""The lbpcascade detector finds what OpenCV finds, in images of every size."""

from pathlib import Path

import cv2
import numpy as np
import platformdirs
import pytest
from built_detectors import build_detector
from PIL import Image

from facecrop.detectors.weights import LBPCASCADE
from gleanset.arrays import Pixels
from gleanset.errors import MissingComponent, UsageError
from gleanset.files.store import hash_bytes
from gleanset.records import Box, Face, overlap

FACE = "ng_lijima_yun_77.jpg"


@pytest.fixture(scope="module")
def cascade(shared_data: Path) -> str:
    return str(shared_data / "lbpcascade_animeface.xml")


@pytest.fixture(scope="module")
def illustration(shared_data: Path) -> Image.Image:
    """Return a real image with one face, 850 x 1317."""
    with Image.open(shared_data / "faces" / FACE) as image:
        return image.convert("RGB")


FACE_BOX = Box(390, 130, 135, 128)


def detect_with_opencv(cascade: str, pixels: Pixels) -> list[Box]:
    """Detect as the published example script does."""
    classifier = cv2.CascadeClassifier(cascade)
    grey = cv2.equalizeHist(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    result = classifier.detectMultiScale(
        grey, scaleFactor=1.1, minNeighbors=5, minSize=(24, 24)
    )
    return sorted(Box(*map(int, box)) for box in result)


def covers_face(faces: list[Face], truth: Box) -> bool:
    return any(overlap(face.box, truth) > 0.3 for face in faces)


def test_pinned_hash_matches_published_file(cascade: str) -> None:
    assert hash_bytes(Path(cascade).read_bytes()) == LBPCASCADE.sha256


@pytest.mark.parametrize(
    "name",
    ["ng_takimoto_hifumi_85.jpg", "ng_ahagon_umiko_11.jpg", "simpsons_1033648.jpg"],
)
def test_equalized_detection_matches_opencv_script(
    cascade: str, shared_data: Path, name: str
) -> None:
    with Image.open(shared_data / "faces" / name) as image:
        pixels = np.asarray(image.convert("RGB"))
    detector = build_detector(
        "lbpcascade", cascade=cascade, equalize="yes", smallest=24
    )
    assert [face.box for face in detector.detect(pixels)] == detect_with_opencv(
        cascade, pixels
    )


def test_real_face_is_found(cascade: str, illustration: Image.Image) -> None:
    faces = build_detector("lbpcascade", cascade=cascade).detect(
        np.asarray(illustration)
    )
    assert covers_face(faces, FACE_BOX)
    assert all(0.5 < face.score < 1 for face in faces), (
        "each has more than five windows"
    )


def test_long_strip_is_searched_in_tiles(
    cascade: str, illustration: Image.Image
) -> None:
    strip = Image.new("RGB", (7000, 1000), (200, 210, 220))
    part = illustration.crop((150, 0, 750, 800))
    strip.paste(part, (5000, 100))
    faces = build_detector("lbpcascade", cascade=cascade).detect(np.asarray(strip))
    assert covers_face(
        faces,
        Box(FACE_BOX.x - 150 + 5000, FACE_BOX.y + 100, FACE_BOX.width, FACE_BOX.height),
    )


@pytest.mark.parametrize(
    "setting",
    [
        {"scale": 1.0},
        {"scale": "quick"},
        {"neighbors": 0},
        {"neighbors": 2.5},
        {"smallest": 10},
        {"equalize": "perhaps"},
        {"threshold": "nan"},
    ],
)
def test_invalid_setting_is_rejected(
    cascade: str, setting: dict[str, str | float]
) -> None:
    with pytest.raises(UsageError, match=next(iter(setting))):
        build_detector("lbpcascade", cascade=cascade, **setting)


@pytest.mark.parametrize(
    "content", [b"", b"<html>404</html>", b"<?xml version='1.0'?><a/>"]
)
def test_invalid_cascade_file_is_rejected(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.xml").write_bytes(content)
    with pytest.raises(UsageError, match="is not a cascade"):
        build_detector("lbpcascade", cascade=str(tmp_path / "a.xml"))
    with pytest.raises(UsageError, match="there is no file"):
        build_detector("lbpcascade", cascade=str(tmp_path / "b.xml"))


def test_cascade_is_cached(
    cascade: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(MissingComponent, match="could not be fetched") as error:
        build_detector("lbpcascade", threshold=0.01)
    assert "--detector lbpcascade:cascade=FILE" in error.value.fix
    folder = Path(platformdirs.user_cache_dir("gleanset")) / "fetched"
    cached = folder / f"{LBPCASCADE.sha256[:16]}-{LBPCASCADE.name}"
    cached.write_bytes(Path(cascade).read_bytes())
    result = build_detector("lbpcascade", threshold=0.01)
    assert (
        result.settings
        == build_detector("lbpcascade", cascade=cascade, threshold=0.01).settings
    )
