"""Rows of images with their origins, rejections, fetches, runs and videos, written and read."""

from __future__ import annotations

import random
import sqlite3

import pytest
from catalogue_rows import add_image, measured, sha

from gleanset import Dataset
from gleanset.db.images import FetchOutcome, VideoName
from gleanset.operations import make_operation
from gleanset.records import Image, Measured, Origin, Rejection

FULL = Origin(
    source="pixiv",
    key="1:0",
    url="http://x/1.jpg",
    page_url="http://x/1",
    path="/a/b.jpg",
    video="ff" * 32,
    time=1.25,
    frame=30,
    scene=2,
    post="1",
    query="chat",
    hint="cat",
    author="Ann",
    licence="CC0",
    title="日本 🐱",
    tags=("a", "b,c", 'd"e'),
    rating="safe",
    ai=False,
)


def test_image_round_trip(dataset: Dataset) -> None:
    measured = Measured("ab" * 32, "WEBP", 123, 640, 480, 7, 6, (1 << 64) - 1, 3.125)
    assert dataset.images.add(measured, FULL)
    result = dataset.images.get("ab" * 32)
    assert result == Image(
        "ab" * 32, "WEBP", 123, 640, 480, 7, 6, (1 << 64) - 1, 3.125, "ok", (FULL,)
    )
    assert dataset.images.get("cd" * 32) is None


def test_image_found_twice_has_two_origins(dataset: Dataset) -> None:
    first, second = Origin("bing", "u1", hint="cat"), Origin("flickr", "9", hint="dog")
    assert dataset.images.add(measured(1), first)
    assert not dataset.images.add(measured(1), second)
    assert not dataset.images.add(measured(1), second)
    result = dataset.images.get(sha(1))
    assert result is not None
    assert result.origins == (first, second)
    assert dataset.images.count() == 1


def test_origin_without_image_raises_error(dataset: Dataset) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        dataset.images.add_origin(sha(404), Origin("test", "1"))


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


def test_fetch_state_depends_on_stamp(dataset: Dataset) -> None:
    assert dataset.fetches.get_state("folder", "/a") is None
    add_image(dataset, 1)
    dataset.fetches.record(FetchOutcome("folder", "/a", "done", stamp="1", image=sha(1)))
    assert dataset.fetches.get_state("folder", "/a", "1") == "done"
    assert dataset.fetches.get_state("folder", "/a", "2") is None
    dataset.fetches.record(FetchOutcome("folder", "/a", "rejected", stamp="2"))
    assert dataset.fetches.get_state("folder", "/a", "2") == "rejected"
    assert dataset.fetches.get_image("folder", "/a") is None


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


def test_video_is_identified_by_content_and_settings(dataset: Dataset) -> None:
    dataset.videos.record(VideoName("ab", "one.mkv"), "every=5", 12.0, 3)
    dataset.videos.record(VideoName("ab", "two.mkv"), "every=5", 12.0, 4)
    assert dataset.videos.get_frame_count("ab", "every=5") == 4
    assert dataset.videos.get_frame_count("ab", "every=1") is None
    assert dataset.videos.get_frame_count("cd", "every=5") is None


def test_images_are_counted_by_source(dataset: Dataset) -> None:
    add_image(dataset, 1, Origin("bing", "1", query="cat"), Origin("bing", "2", query="dog"))
    add_image(dataset, 2, Origin("bing", "3", query="cat"))
    add_image(dataset, 3, Origin("video", "v@1", video="ff", title="ep1.mkv", hint="x"))
    add_image(dataset, 4, Origin("folder", "/x"))
    images = {(item.source, item.asked): item.images for item in dataset.fetches.list_yields()}
    assert images == {
        ("bing", "cat"): 2,
        ("bing", "dog"): 1,
        ("folder", ""): 1,
        ("video", "ep1.mkv"): 1,
    }
