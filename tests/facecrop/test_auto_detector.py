"""Which detector and crop settings a search has: `auto`, the dataset's, those of a command."""

import json
from operator import attrgetter
from typing import Any

import pytest
from built_detectors import build_detector
from facecrop_scenes import put, scene
from tools_for_tests import run_here

from facecrop.detectors import DetectorSpec
from facecrop.detectors.options import dataset_detector, parse_detector
from facecrop.detectors.recorded import RecordedDetector, find_recorded_detector
from facecrop.request import FaceSearch
from gleanset import Dataset
from gleanset.db.statistics import ScanCount
from gleanset.errors import UsageError
from gleanset.settings import CropGeometry, CropSettings, Settings, write_settings

EARLIER = "close=128 overlap=0.45 size=512 threshold=0.35 weights=0123456789ab"
"""drawnface as recorded by the version that searched at two scales."""


def add_searched_images(
    dataset: Dataset, count: int, detector: str, settings: str, first: int = 0
) -> None:
    for left in range(first, first + count):
        image = put(dataset, scene(left, 200))
        dataset.faces.replace(image, detector, settings, [], cut="margin=0.3")


def preview(dataset: Dataset, **request: Any) -> dict[str, Any]:
    return FaceSearch(**request).preview(dataset).to_json()


def expected_preview(detector: str, count: int) -> dict[str, Any]:
    return {"detector": detector, "would_search": count, "would_recut": 0}


def test_default_detector_is_drawnface() -> None:
    assert Settings().crop.detector == "auto"
    assert (
        dataset_detector(CropSettings())
        == parse_detector("auto")
        == DetectorSpec.create("drawnface")
    )
    assert parse_detector("auto:size=640", threshold="0.6") == DetectorSpec.create(
        "drawnface", size="640", threshold="0.6"
    )


def test_older_dataset_keeps_its_detector(dataset: Dataset) -> None:
    """animeface was the default when the dataset was made."""
    add_searched_images(dataset, 3, "animeface", "threshold=0.5")
    assert preview(dataset) == expected_preview("animeface", 0)
    put(dataset, scene(200))
    assert preview(dataset) == expected_preview("animeface", 1)
    line = ("run", "--workers", "1", "--json", "-d", dataset.root)
    done = run_here("facecrop.cli", *line)
    result = json.loads(done.stdout)
    assert (result["detector"], result["images"], result["faces"]) == (
        "animeface",
        1,
        1,
    )
    assert "--detector drawnface searches all images" in done.stderr
    assert preview(dataset, detector="drawnface")["would_search"] == 4, (
        "a named detector searches all"
    )


def test_most_used_detector_searches_new_images(dataset: Dataset) -> None:
    add_searched_images(dataset, 3, "drawnface", EARLIER.replace("512", "768"))
    add_searched_images(dataset, 1, "whole", "", 50)
    add_searched_images(dataset, 2, "animeface", "threshold=0.5", 80)
    add_searched_images(dataset, 1, "drawnface", EARLIER, 120)
    put(dataset, scene(200))
    assert preview(dataset) == expected_preview("drawnface", 1)
    recorded = find_recorded_detector(
        [ScanCount("drawnface", EARLIER.replace("512", "768"), "", 3)]
    )
    assert FaceSearch().spec(CropSettings(), recorded) == DetectorSpec.create(
        "drawnface", size="768"
    )


def test_whole_image_samples_stay_whole(dataset: Dataset) -> None:
    add_searched_images(dataset, 2, "whole", "")
    put(dataset, scene(200))
    assert preview(dataset) == expected_preview("whole", 1)
    own = CropSettings(threshold=0.6)
    assert (
        dataset_detector(
            own, recorded_detector=RecordedDetector.from_text("whole", "")
        ).name
        == "whole"
    )


@pytest.mark.parametrize("named", ["drawnface", "auto"])
def test_new_detector_version_keeps_earlier_searches(
    dataset: Dataset, named: str
) -> None:
    write_settings(dataset.root, Settings(crop=CropSettings(detector=named)))
    with Dataset.open(dataset.root) as dataset:
        add_searched_images(dataset, 2, "drawnface", EARLIER)
        assert preview(dataset)["would_search"] == 0
        assert preview(dataset, margin=1.0) | {"detector": ""} == expected_preview(
            "", 0
        )
        assert preview(dataset, threshold=0.5)["would_search"] == 2
        assert preview(dataset, detector="auto:size=640")["would_search"] == 2
        assert preview(dataset, detector="auto:size=512")["would_search"] == 0
        assert preview(dataset, detector="drawnface")["would_search"] == 2
        assert preview(dataset, detector="drawnface", new=True)["would_search"] == 0


def test_recrop_keeps_recorded_detector(dataset: Dataset) -> None:
    image = put(dataset, scene(100))
    FaceSearch(detector="animeface", workers=1).run(dataset)
    put(dataset, scene(200))
    done = FaceSearch(margin=1.0, workers=1).run(dataset)
    assert (done.detector, done.images, done.recut) == ("animeface", 1, 1)
    assert dataset.scans.get_search(image) == ("animeface", "threshold=0.5")
    earlier = ("drawnface", EARLIER)
    dataset.db.execute("UPDATE scan SET detector=?, settings=?", earlier)
    assert FaceSearch(margin=0.2, workers=1).run(dataset).recut == 2
    assert dataset.scans.get_search(image) == earlier


def test_dataset_threshold_applies_to_recorded_detector() -> None:
    recorded = RecordedDetector.from_text("animeface", "threshold=0.8")
    assert dataset_detector(
        CropSettings(), recorded_detector=recorded
    ) == DetectorSpec.create("animeface", threshold="0.8")
    stricter = dataset_detector(CropSettings(threshold=0.9), recorded_detector=recorded)
    assert stricter == DetectorSpec.create("animeface", threshold=0.9)
    named = dataset_detector(
        CropSettings(threshold=0.9), "drawnface", recorded_detector=recorded
    )
    assert named == DetectorSpec.create("drawnface")


def test_recorded_settings_match_across_versions() -> None:
    now = RecordedDetector.from_text("drawnface", build_detector("drawnface").settings)
    assert now.is_same_request(RecordedDetector.from_text("drawnface", EARLIER))
    assert not now.is_same_request(
        RecordedDetector.from_text("drawnface", EARLIER.replace("512", "640"))
    )
    assert not now.is_same_request(
        RecordedDetector.from_text("drawnface", f"{EARLIER} plugin=other==1")
    )


@pytest.mark.parametrize(
    "request_",
    [
        {"detector": "ensemble"},
        {"detector": "ensemble:threshold=0.3"},
        {},
    ],
)
def test_requested_ensemble_names_replacement(
    dataset: Dataset, request_: dict[str, Any]
) -> None:
    write_settings(dataset.root, Settings(crop=CropSettings(detector="ensemble")))
    with Dataset.open(dataset.root) as dataset, pytest.raises(UsageError) as refused:
        preview(dataset, **request_)
    assert "--detector drawnface" in refused.value.fix


OWN = CropSettings(detector="lbpcascade", threshold=0.4)


@pytest.mark.parametrize(
    ("detector", "threshold", "expected"),
    [
        (None, None, 0.4),
        ("lbpcascade", None, 0.4),
        ("lbpcascade:scale=1.2", None, 0.4),
        (None, 0.6, 0.6),
        ("lbpcascade:threshold=0.1", 0.6, "0.1"),
        (None, 0.0, 0.0),
        ("animeface", None, None),
        ("animeface", 0.9, 0.9),
    ],
)
def test_dataset_threshold_belongs_to_its_detector(
    detector: str | None,
    threshold: float | None,
    expected: object,
) -> None:
    spec = dataset_detector(OWN, detector, threshold)
    assert dict(spec.settings).get("threshold") == expected
    request = FaceSearch(detector=detector, threshold=threshold)
    assert request.spec(OWN) == spec


def test_detector_settings_in_dataset_toml() -> None:
    own = CropSettings(detector="lbpcascade:neighbors=3", threshold=0.2)
    expected_spec = DetectorSpec.create("lbpcascade", neighbors="3", threshold=0.2)
    assert FaceSearch().spec(own) == dataset_detector(own) == expected_spec
    with pytest.raises(UsageError, match="unknown setting of whole"):
        FaceSearch().spec(CropSettings(detector="whole", threshold=0.2))


@pytest.mark.parametrize("settings", [{}, {"size": "1280", "threshold": "0.5"}])
def test_recorded_drawnface_settings_rebuild_spec(settings: dict[str, str]) -> None:
    spec = DetectorSpec.create("drawnface", **settings)
    recorded = RecordedDetector.from_text("drawnface", spec.build().settings)
    assert (recorded.settings, recorded.spec({})) == (settings, spec)


FIELDS = attrgetter(*CropGeometry.__struct_fields__)


def test_crop_settings_default_to_dataset() -> None:
    own = CropSettings(margin=1.5, square=True, min_size=30)
    expected = CropGeometry(1.5, square=True, min_size=30)
    assert FIELDS(FaceSearch().crop_geometry(own)) == FIELDS(expected)
    request = FaceSearch(margin=0.0, square=False, pad=True)
    expected = CropGeometry(0.0, pad=True, min_size=30)
    assert FIELDS(request.crop_geometry(own)) == FIELDS(expected)
