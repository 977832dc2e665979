"""An image with the neighbouring frames of its video."""

from __future__ import annotations

from pathlib import Path

import pytest
from catalogue_rows import add_image, cut, sha

from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.regions import VideoFrames
from gleanset.db.sorting import SampleTiles
from gleanset.records import Origin


@pytest.fixture
def video_dataset(tmp_path: Path) -> Dataset:
    """Make nine unordered frames, one of another video, and an image."""
    dataset = Dataset.create(tmp_path / "d")
    for number in (4, 0, 8, 2, 6, 1, 3, 5, 7):
        add_image(dataset, number, Origin("v", f"{number}", video="film", time=number / 3))
    add_image(dataset, 20, Origin("v", "20", video="other", time=1.0))
    add_image(dataset, 21, Origin("folder", "21"))
    for number in (0, 1, 4, 8, 20, 21):
        cuts = [cut(number, x, 0.9) for x in range(2)]
        dataset.faces.replace(sha(number), "test", "", cuts, cut="margin=0")
    return dataset


def row(dataset: Dataset, number: int) -> int:
    keys = [cut(number, 0, 0.9).key]
    return next(iter(SampleTiles(dataset.db).get_ids(keys).values()))


def test_context_has_frames_by_time_with_faces(video_dataset: Dataset) -> None:
    video_dataset.journal.apply("x", [Choice(cut(1, 0, 0.9).key, "label", "Miku")])
    frames, at = VideoFrames(video_dataset.db).get_context(row(video_dataset, 4))
    assert [frame.sha256 for frame in frames] == [sha(number) for number in range(9)]
    assert at == 4
    assert [frame.time for frame in frames] == [pytest.approx(number / 3) for number in range(9)]
    assert [len(frame.faces) for frame in frames] == [2, 2, 0, 0, 2, 0, 0, 0, 2]
    assert {face.label for face in frames[1].faces} == {"Miku", None}
    assert frames[4].faces[0].id == row(video_dataset, 4)


@pytest.mark.parametrize(
    ("number", "expected", "at"), [(4, [3, 4, 5], 1), (0, [0, 1], 0), (8, [7, 8], 1)]
)
def test_max_frames_limits_context(
    video_dataset: Dataset, number: int, expected: list[int], at: int
) -> None:
    frames, place = VideoFrames(video_dataset.db).get_context(
        row(video_dataset, number), max_frames=1
    )
    assert [frame.sha256 for frame in frames] == [sha(frame_number) for frame_number in expected]
    assert place == at


def test_context_excludes_other_videos(video_dataset: Dataset) -> None:
    result = VideoFrames(video_dataset.db)
    for number in (20, 21):
        frames, at = result.get_context(row(video_dataset, number))
        assert [frame.sha256 for frame in frames] == [sha(number)]
        assert at == 0
    assert result.get_context(10**6) == ([], 0)
