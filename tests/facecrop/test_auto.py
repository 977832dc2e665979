"""`auto`: the best detector that works on this machine, and that it says which one it took."""

import json
from pathlib import Path

import pytest
from facecrop_scenes import put, scene
from tools_for_tests import run_here

from facecrop.detectors import DetectorSpec
from facecrop.detectors.options import dataset_detector, spec_of
from facecrop.request import FaceSearch
from gleanset import Dataset
from gleanset.settings import CropSettings

AUTO = CropSettings(detector="auto", threshold=0.7)


@pytest.fixture
def cascade(shared_data: Path) -> Path:
    return shared_data / "lbpcascade_animeface.xml"


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file was fetched yet, and none can be: nobody listens at the proxy's port."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")


def test_the_ensemble_where_its_cascade_is_there(cascade: Path) -> None:
    wanted = DetectorSpec.of("ensemble", cascade=str(cascade), threshold="0.6")
    assert spec_of("auto:threshold=0.6", (), str(cascade)) == wanted


def test_the_next_best_where_the_cascade_cannot_be_had(offline: None) -> None:
    options = ["ensemble.threshold=0.9", "drawnface.threshold=0.6"]
    assert spec_of("auto", options) == DetectorSpec.of("drawnface", threshold="0.6")


def test_a_datasets_threshold_is_that_of_the_detector_it_left_open(cascade: Path) -> None:
    spec = dataset_detector(AUTO, None, (), str(cascade))
    assert spec == DetectorSpec.of("ensemble", cascade=str(cascade), threshold=0.7)
    assert dataset_detector(AUTO, "animeface") == DetectorSpec.of("animeface")


def test_the_one_it_took_is_recorded_and_told(dataset: Dataset, offline: None) -> None:
    put(dataset, scene(100))
    line = ("run", "--workers", "1", "--json", "-d", dataset.root, "--detector", "auto")
    told = json.loads(run_here("facecrop.cli", *line).stdout)
    assert (told["detector"], told["faces"]) == ("drawnface", 1)
    assert {face.face.detector for face in dataset.faces.each()} == {"drawnface"}
    assert FaceSearch(detector="auto").preview(dataset) == {
        "detector": "drawnface",
        "would_search": 0,
        "would_recut": 0,
    }
    assert "detector" not in FaceSearch().preview(dataset)
