"""Tests of planning the import of dropped files."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools_for_tests import picture

from labeler.sorting.import_plan import ImportPlan, SearchPlan, are_face_crops, sort_paths

ROOT_OPTION = ["-d", str(Path("/d").absolute())]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Make a folder of faces, a video, an archive and a text file."""
    (tmp_path / "hana").mkdir()
    for seed in range(3):
        (tmp_path / "hana" / f"{seed}.jpg").write_bytes(picture(seed))
    (tmp_path / "episode.mkv").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "old.zip").write_bytes(b"PK")
    return tmp_path


def test_sort_paths_by_kind(mixed: Path) -> None:
    names = ("hana", "hana/0.jpg", "old.zip", "episode.mkv", "notes.txt", "hana")
    dropped = sort_paths([mixed / name for name in names])
    assert dropped.folders == (mixed / "hana",)
    assert dropped.files == (mixed / "hana" / "0.jpg", mixed / "old.zip")
    assert dropped.videos == (mixed / "episode.mkv",)
    assert not sort_paths([mixed / "notes.txt", mixed / "nothing"])


def test_small_square_images_are_face_crops(mixed: Path) -> None:
    assert are_face_crops(sort_paths([mixed / "hana"]))
    assert are_face_crops(sort_paths([mixed / "hana" / "0.jpg"]))
    for seed in range(4):
        (mixed / f"{seed}.jpg").write_bytes(picture(seed, (1280, 720)))
    (mixed / "broken.jpg").write_bytes(b"not an image")
    assert not are_face_crops(sort_paths([mixed / f"{seed}.jpg" for seed in range(4)]))
    assert not are_face_crops(sort_paths([mixed / "episode.mkv", mixed / "broken.jpg"]))


def test_import_plan_commands(mixed: Path) -> None:
    names = ("hana", "hana/0.jpg", "episode.mkv")
    dropped = sort_paths([mixed / name for name in names])
    hana, image, video = (str(mixed / name) for name in names)
    plan = ImportPlan(dropped, hints=True, video_folders=(mixed / "hana",))
    assert plan.commands(Path("/d")) == [
        ["harvest", "folder", hana, "--hints-from-folders", *ROOT_OPTION],
        ["harvest", "folder", image, *ROOT_OPTION],
        ["gleanset", "episodes", hana, video, *ROOT_OPTION],
        ["facecrop", "run", "--new", *ROOT_OPTION],
    ]
    on_class = ImportPlan(dropped, whole_images=True, hints=True, label="rei")
    assert on_class.commands(Path("/d")) == [
        ["harvest", "folder", hana, "--label", "rei", *ROOT_OPTION],
        ["harvest", "folder", image, "--label", "rei", *ROOT_OPTION],
        ["harvest", "frames", video, "--label", "rei", *ROOT_OPTION],
        ["facecrop", "run", "--new", "--detector", "whole", *ROOT_OPTION],
    ]


def test_search_plan_commands() -> None:
    plan = SearchPlan("-rin", "flickr", 12, whole_images=True)
    options = ["--limit", "12", "--source", "flickr", *ROOT_OPTION]
    assert plan.commands(Path("/d")) == [
        ["harvest", "keyword", " -rin", *options],
        ["facecrop", "run", "--new", "--detector", "whole", *ROOT_OPTION],
    ]
