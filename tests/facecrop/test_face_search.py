"""Searching faces: the command line, a recipe, a report and a model mean the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facecrop.cli import commands
from facecrop.detectors import DetectorSpec
from facecrop.detectors.options import RecordedDetector, dataset_detector
from facecrop.request import FaceSearch
from gleanset import Dataset
from gleanset.errors import UsageError
from gleanset.images.cut import CutSettings
from gleanset.settings import CropSettings

SWITCH = st.sampled_from((None, True, False))
SEARCHES = st.builds(
    FaceSearch,
    detector=st.sampled_from((None, "animeface", "lbpcascade:neighbors=3,scale=1.05", "whole")),
    threshold=st.sampled_from((None, 0.0, 0.5, 1 / 3, 1.0)),
    cascade=st.sampled_from((None, "-c.xml", "my files/c.xml")),
    option=st.sampled_from(((), ("lbpcascade.scale=1.2", "animeface.threshold=0.6"))),
    margin=st.sampled_from((None, 0.0, 0.3, 2 / 3, 3.0)),
    square=SWITCH,
    pad=SWITCH,
    level=SWITCH,
    min_size=st.sampled_from((None, 0, 24)),
    workers=st.sampled_from((None, 1, 256)),
    new=st.booleans(),
)


def read_by_the_command_line(request: FaceSearch, root: Path) -> FaceSearch:
    """What the real `facecrop` makes of the words of a request."""
    made: list[FaceSearch] = []

    def note(self: FaceSearch, *_: object) -> dict[str, object]:
        made.append(self)
        return {}

    program, *words = request.command_line()
    assert program == "facecrop"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FaceSearch, "run", note)
        commands.main([*words, "-q", "-d", str(root)], standalone_mode=False)
    (found,) = made
    return found


def test_a_search_is_read_back_from_its_command_line(dataset: Dataset) -> None:
    @settings(max_examples=100, deadline=None)
    @given(SEARCHES)
    def holds(request: FaceSearch) -> None:
        assert read_by_the_command_line(request, dataset.root) == request

    holds()


OWN = CropSettings(detector="lbpcascade", threshold=0.4)


@pytest.mark.parametrize(
    ("written", "options", "threshold", "least"),
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
def test_the_threshold_of_a_dataset_is_that_of_its_own_detector(
    written: str | None, options: tuple[str, ...], threshold: float | None, least: object
) -> None:
    spec = dataset_detector(OWN, written, options, None, threshold)
    assert dict(spec.settings).get("threshold") == least
    request = FaceSearch(detector=written, option=options, threshold=threshold)
    assert request.spec(OWN) == spec


def test_settings_written_in_dataset_toml_are_read_everywhere() -> None:
    own = CropSettings(detector="lbpcascade:neighbors=3", threshold=0.2)
    wanted = DetectorSpec.of("lbpcascade", neighbors="3", threshold=0.2)
    assert FaceSearch().spec(own) == dataset_detector(own) == wanted
    with pytest.raises(UsageError, match="no setting of whole"):
        FaceSearch().spec(CropSettings(detector="whole", threshold=0.2))


@pytest.mark.parametrize("settings", [{}, {"size": "1280", "threshold": "0.5"}])
def test_what_was_recorded_leads_back_to_our_own_network(settings: dict[str, str]) -> None:
    spec = DetectorSpec.of("drawnface", **settings)
    recorded = RecordedDetector.of("drawnface", spec.build().settings)
    assert recorded.settings == settings
    assert recorded.spec({}) == spec


def test_what_is_not_given_is_as_the_dataset_cuts() -> None:
    own = CropSettings(margin=1.5, square=True, min_size=30)
    assert FaceSearch().cutting(own) == CutSettings(1.5, square=True, min_size=30)
    asked = FaceSearch(margin=0.0, square=False, pad=True)
    assert asked.cutting(own) == CutSettings(0.0, pad=True, min_size=30)
