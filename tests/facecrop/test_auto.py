"""`auto`, the default: who has searched a dataset so far, else drawnface; nothing twice."""

import json
from typing import Any

import pytest
from facecrop_scenes import put, samples, scene
from tools_for_tests import run_here

from facecrop.detectors import DetectorSpec, build_detector
from facecrop.detectors.options import RecordedDetector, dataset_detector, parse_detector
from facecrop.request import FaceSearch
from facecrop.searched_before import recorded_detector
from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.statistics import ScanCount
from gleanset.errors import UsageError
from gleanset.settings import CropSettings, Settings, write_settings

EARLIER = "close=128 overlap=0.45 size=512 threshold=0.35 weights=0123456789ab"
"""drawnface as a version recorded it that looked at pictures twice."""


def scanned(dataset: Dataset, count: int, detector: str, settings: str, first: int = 0) -> None:
    for left in range(first, first + count):
        image = put(dataset, scene(left, 200))
        dataset.faces.replace(image, detector, settings, [], cut="margin=0.3")


def asked(dataset: Dataset, **request: Any) -> dict[str, Any]:
    return FaceSearch(**request).preview(dataset)


def searches(found_by: str, count: int) -> dict[str, Any]:
    return {"detector": found_by, "would_search": count, "would_recut": 0}


def test_a_new_dataset_is_searched_by_drawnface_without_anything_to_fetch() -> None:
    assert Settings().crop.detector == "auto"
    assert (
        dataset_detector(CropSettings())
        == parse_detector("auto")
        == DetectorSpec.create("drawnface")
    )
    assert parse_detector("auto:size=640", ["drawnface.threshold=0.6"]) == DetectorSpec.create(
        "drawnface", size="640", threshold="0.6"
    )


def test_a_dataset_of_before_keeps_its_detector_and_is_not_searched_again(
    dataset: Dataset,
) -> None:
    """One that names no detector was searched by animeface, the default of then."""
    scanned(dataset, 3, "animeface", "threshold=0.5")
    assert asked(dataset) == searches("animeface", 0)
    put(dataset, scene(200))
    assert asked(dataset) == searches("animeface", 1)
    line = ("run", "--workers", "1", "--json", "-d", dataset.root)
    done = run_here("facecrop.cli", *line)
    result = json.loads(done.stdout)
    assert (result["detector"], result["images"], result["faces"]) == ("animeface", 1, 1)
    assert "--detector drawnface searches all images" in done.stderr
    assert asked(dataset, detector="drawnface")["would_search"] == 4, "named, it searches all"


def test_who_searched_most_goes_on_and_nobody_elses_pictures_are_searched_again(
    dataset: Dataset,
) -> None:
    scanned(dataset, 3, "drawnface", EARLIER.replace("512", "768"))
    scanned(dataset, 1, "whole", "", 50)
    scanned(dataset, 2, "animeface", "threshold=0.5", 80)
    scanned(dataset, 1, "drawnface", EARLIER, 120)
    put(dataset, scene(200))
    assert asked(dataset) == searches("drawnface", 1)
    so_far = recorded_detector([ScanCount("drawnface", EARLIER.replace("512", "768"), "", 3)])
    assert FaceSearch().spec(CropSettings(), so_far) == DetectorSpec.create("drawnface", size="768")


def test_whole_pictures_stay_whole(dataset: Dataset) -> None:
    scanned(dataset, 2, "whole", "")
    put(dataset, scene(200))
    assert asked(dataset) == searches("whole", 1)
    own = CropSettings(threshold=0.6)
    assert dataset_detector(own, so_far=RecordedDetector.from_text("whole", "")).name == "whole"


@pytest.mark.parametrize("named", ["drawnface", "auto"])
def test_a_later_version_of_the_detector_leaves_what_an_earlier_one_searched(
    dataset: Dataset, named: str
) -> None:
    write_settings(dataset.root, Settings(crop=CropSettings(detector=named)))
    with Dataset.open(dataset.root) as dataset:
        scanned(dataset, 2, "drawnface", EARLIER)
        assert asked(dataset)["would_search"] == 0
        assert asked(dataset, margin=1.0) | {"detector": ""} == searches("", 0)
        assert asked(dataset, threshold=0.5)["would_search"] == 2
        assert asked(dataset, detector="drawnface")["would_search"] == 2
        assert asked(dataset, detector="drawnface", new=True)["would_search"] == 0


def test_a_new_cut_keeps_who_found_the_face(dataset: Dataset) -> None:
    image = put(dataset, scene(100))
    FaceSearch(detector="animeface", workers=1).run(dataset)
    put(dataset, scene(200))
    done = FaceSearch(margin=1.0, workers=1).run(dataset)
    assert (done["detector"], done["images"], done["recut"]) == ("animeface", 1, 1)
    assert dataset.scans.get_search(image) == ("animeface", "threshold=0.5")
    earlier = ("drawnface", EARLIER)
    dataset.db.execute("UPDATE scan SET detector=?, settings=?", earlier)
    assert FaceSearch(margin=0.2, workers=1).run(dataset)["recut"] == 2
    assert dataset.scans.get_search(image) == earlier


def test_a_threshold_of_the_dataset_is_that_of_whom_it_keeps() -> None:
    so_far = RecordedDetector.from_text("animeface", "threshold=0.8")
    assert dataset_detector(CropSettings(), so_far=so_far) == DetectorSpec.create(
        "animeface", threshold="0.8"
    )
    stricter = dataset_detector(CropSettings(threshold=0.9), so_far=so_far)
    assert stricter == DetectorSpec.create("animeface", threshold=0.9)
    named = dataset_detector(CropSettings(threshold=0.9), "drawnface", so_far=so_far)
    assert named == DetectorSpec.create("drawnface")


def test_what_is_recorded_of_drawnface_asks_for_the_same_in_each_version() -> None:
    now = RecordedDetector.from_text("drawnface", build_detector("drawnface").settings)
    assert now.is_same_request(RecordedDetector.from_text("drawnface", EARLIER))
    assert not now.is_same_request(
        RecordedDetector.from_text("drawnface", EARLIER.replace("512", "640"))
    )
    assert not now.is_same_request(
        RecordedDetector.from_text("drawnface", f"{EARLIER} plugin=other==1")
    )


def test_a_dataset_of_the_ensemble_is_told_who_takes_its_place(dataset: Dataset) -> None:
    """Its pictures are searched anew, or only new ones; what a person had decided stays."""
    put(dataset, scene(100))
    FaceSearch(detector="animeface", workers=1).run(dataset)
    for table in ("scan", "face"):
        dataset.db.execute(f"UPDATE {table} SET detector='ensemble'")
    line = ("run", "--workers", "1", "--json", "-d", dataset.root)
    result = run_here("facecrop.cli", *line)
    assert (result.code, result.stdout) == (2, "")
    assert "detector removed: ensemble" in result.stderr
    (before,) = samples(dataset)
    dataset.journal.apply("Label", [Choice(before.key, "label", "mei")])
    line = (*line, "--detector", "drawnface")
    assert run_here("facecrop.cli", *line, "--new").json["images"] == 0
    done = run_here("facecrop.cli", *line).json
    assert (done["images"], done["faces"]) == (1, 1)
    assert (before.key, "mei") in {(after.key, after.label) for after in samples(dataset)}
    assert asked(dataset) == searches("drawnface", 0), "from then on it is the dataset's own"


@pytest.mark.parametrize(
    "request_",
    [
        {"detector": "ensemble"},
        {"detector": "ensemble:threshold=0.3"},
        {"option": ("ensemble.threshold=0.3",)},
        {},
    ],
)
def test_whoever_names_the_ensemble_is_told_what_to_name(
    dataset: Dataset, request_: dict[str, Any]
) -> None:
    write_settings(dataset.root, Settings(crop=CropSettings(detector="ensemble")))
    with Dataset.open(dataset.root) as dataset, pytest.raises(UsageError) as refused:
        asked(dataset, **request_)
    assert "--detector drawnface" in refused.value.fix
