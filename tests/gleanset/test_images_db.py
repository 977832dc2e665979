"""Images, their origins, and what runs record about them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from catalogue_rows import add_image, cut, measured, sha

from gleanset import Dataset
from gleanset.db.fetches import FetchOutcome
from gleanset.db.journal import Choice
from gleanset.db.regions import VideoFrames
from gleanset.db.sorting import SampleTiles
from gleanset.operations import make_operation
from gleanset.records import Origin, Rejection


def test_image_found_twice_has_two_origins(dataset: Dataset) -> None:
    first, second = Origin("bing", "u1", hint="cat"), Origin("flickr", "9", hint="dog")
    assert dataset.images.add(measured(1), first)
    assert not dataset.images.add(measured(1), second)
    assert not dataset.images.add(measured(1), second)
    result = dataset.images.get(sha(1))
    assert result is not None
    assert result.origins == (first, second)
    assert dataset.images.count() == 1


def test_iterate_visits_each_image_once(dataset: Dataset) -> None:
    numbers = random.Random(0).sample(range(10_000), 450)
    with dataset.db.transaction():
        for number in numbers:
            add_image(dataset, number)
    expected = sorted(sha(number) for number in numbers)
    assert [image.sha256 for image in dataset.images.iterate()] == expected


def test_unscanned_images_by_detector_and_settings(dataset: Dataset) -> None:
    for number in range(12):
        add_image(dataset, number)
    dataset.faces.replace(sha(3), "a", "v1", [])
    dataset.faces.record_failure(sha(4), "a", "v1", Rejection("facecrop", sha(4), "damaged"))
    assert dataset.images.count_unscanned(("a", "v1")) == 10
    assert dataset.images.count_unscanned(("a", "v2")) == 12
    assert dataset.images.count_unscanned(("b", "v1")) == 12
    scanned = []
    for sha256, kind in dataset.images.iter_unscanned(("a", "v1")):
        dataset.faces.replace(sha256, "a", "v1", [])
        scanned.append(sha256)
        assert kind == "JPEG"
    assert scanned == [sha(number) for number in range(12) if number not in (3, 4)]
    assert dataset.images.count_unscanned(("a", "v1")) == 0


def test_rejection_keeps_latest_reason(dataset: Dataset) -> None:
    dataset.rejections.add(Rejection("a", "x", "truncated", "1"))
    dataset.rejections.add(Rejection("a", "x", "empty", "2"))
    dataset.rejections.add(Rejection("b", "x", "empty"))
    assert list(dataset.rejections.iterate()) == [
        Rejection("a", "x", "empty", "2"),
        Rejection("b", "x", "empty"),
    ]
    assert dataset.rejections.count_by_reason() == {"a": {"empty": 1}, "b": {"empty": 1}}
    dataset.rejections.remove("a", "x")
    assert list(dataset.rejections.iterate()) == [Rejection("b", "x", "empty")]


def test_text_invalid_in_sqlite_is_escaped(dataset: Dataset) -> None:
    odd = "a\udcffb\0c"
    dataset.images.add(measured(1), Origin("test", odd, title=odd, tags=(odd,)))
    dataset.rejections.add(Rejection("s", odd, "bad", odd))
    dataset.fetches.record(FetchOutcome("test", odd, "done", image=sha(1)))
    assert [rejection.stage for rejection in dataset.rejections.iterate()] == ["s"]
    assert dataset.fetches.get_image("test", odd) == sha(1)
    result = dataset.images.get(sha(1))
    assert result is not None
    assert result.origins[0].title == "a\\xffb\ufffdc"
    dataset.images.update_credit(sha(1), Origin("test", odd, author=odd))
    assert dataset.images.resolve(sha(1)).origins[0].author == "a\\xffb\ufffdc"


def test_operation_escapes_non_utf8_text(dataset: Dataset) -> None:
    dataset.journal.apply(make_operation("import", count=0, folder='a\udcff\ud83db"\\'), [])
    assert dataset.journal.undo().name == 'Import 0 from a\\xff\\ud83db"\\'


def test_unfinished_run_is_resumed(dataset: Dataset) -> None:
    first = dataset.runs.start("r1", "baseline", {"b": 2, "a": [1, "ü"]})
    assert dataset.runs.start("r2", "baseline", {"a": [1, "ü"], "b": 2}) == first
    assert dataset.runs.find_finished("baseline", first.settings) is None
    dataset.runs.finish("r1", "done", {"accuracy": 0.5})
    done = dataset.runs.find_finished("baseline", first.settings)
    assert done is not None
    assert (done.id, done.result, done.status) == ("r1", {"accuracy": 0.5}, "done")
    assert dataset.runs.start("r2", "baseline", first.settings).id == "r2"
    assert [run.id for run in dataset.runs.iterate()] == ["r1", "r2"]
    assert dataset.runs.get_latest("baseline") == done
    assert dataset.runs.get_latest("webapp") is None


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
