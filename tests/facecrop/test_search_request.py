"""Face search settings mean the same in commands, recipes and runs."""

from __future__ import annotations

import pytest

from facecrop.detectors import DetectorSpec
from facecrop.detectors.options import dataset_detector
from facecrop.detectors.recorded import RecordedDetector
from facecrop.request import FaceSearch
from gleanset.errors import UsageError
from gleanset.images.cropping import CropGeometry
from gleanset.settings import CropSettings

OWN = CropSettings(detector="lbpcascade", threshold=0.4)


@pytest.mark.parametrize(
    ("detector", "options", "threshold", "expected"),
    [
        (None, (), None, 0.4),
        ("lbpcascade", (), None, 0.4),
        ("lbpcascade:scale=1.2", (), None, 0.4),
        (None, ("lbpcascade.threshold=0.7",), None, "0.7"),
        (None, ("lbpcascade.threshold=0.7",), 0.6, 0.6),
        ("lbpcascade:threshold=0.1", ("lbpcascade.threshold=0.7",), 0.6, "0.1"),
        (None, (), 0.0, 0.0),
        ("animeface", (), None, None),
        ("animeface", (), 0.9, 0.9),
    ],
)
def test_dataset_threshold_belongs_to_its_detector(
    detector: str | None, options: tuple[str, ...], threshold: float | None, expected: object
) -> None:
    spec = dataset_detector(OWN, detector, options, None, threshold)
    assert dict(spec.settings).get("threshold") == expected
    request = FaceSearch(detector=detector, option=options, threshold=threshold)
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
    assert recorded.settings == settings
    assert recorded.spec({}) == spec


def test_crop_settings_default_to_dataset() -> None:
    own = CropSettings(margin=1.5, square=True, min_size=30)
    assert FaceSearch().crop_geometry(own) == CropGeometry(1.5, square=True, min_size=30)
    request = FaceSearch(margin=0.0, square=False, pad=True)
    assert request.crop_geometry(own) == CropGeometry(0.0, pad=True, min_size=30)
