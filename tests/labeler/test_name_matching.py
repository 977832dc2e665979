"""Completing and matching class names; planning the import of dropped files."""

from __future__ import annotations

from pathlib import Path

import pytest
from labeler_makers import add_image
from tools_for_tests import picture

from gleanset import Dataset, Origin
from labeler.sorting.import_plan import ImportPlan, SearchPlan, are_face_crops, sort_paths
from labeler.sorting.name_matching import (
    KnownName,
    complete_name,
    fold_name,
    list_known_names,
    match_exact_name,
)
from labeler.sorting.session import SortingSession


def test_known_names_with_aliases_and_weak_labels(empty: Dataset) -> None:
    for number, hint in enumerate(("rin", "rin", "hana/..", "aoi")):
        add_image(empty, f"picture-{number}", Origin("folder", f"{number}", hint=hint))
    session = SortingSession(empty)
    session.add_class("Miku")
    session.add_class("初音ミク")
    session.rename_class("初音ミク", "Miku")
    assert list_known_names(empty) == [
        KnownName("Miku", "Miku"),
        KnownName("初音ミク", "Miku"),
        KnownName("rin", "rin"),
        KnownName("aoi", "aoi"),
    ]


def test_completion_ignores_width_case_and_kana() -> None:
    names = [KnownName(n, n) for n in ("Suzukaze Aoba", "アスナ", "Asuka", "Réne", "aoi")]

    def complete(typed: str) -> list[str]:
        return [name.text for name in complete_name(typed, names)]

    assert complete("suz") == complete("ＳＵＺ") == ["Suzukaze Aoba"]
    assert complete("あす") == complete("ｱｽ") == ["アスナ"]
    assert complete("ao") == ["aoi", "Suzukaze Aoba"]
    assert complete("ren") == ["Réne"]
    assert complete("") == complete("?") == complete("xyz") == []
    match = match_exact_name("ａｏｉ", names)
    assert match is not None
    assert match.label == "aoi"
    assert match_exact_name("new", names) is None is match_exact_name("??", names)
    assert fold_name("Ｍｉｋｕ_01") == fold_name("miku 01") == "miku01"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("タイキ", "ダイキ"),
        ("はな", "ばな"),
        ("はる", "ぱる"),
        ("ﾀｲｷ", "ﾀﾞｲｷ"),
        ("कमल", "कमला"),
        ("दिन", "दान"),
        ("ปี", "ปู"),
        ("שָׁם", "שֵׁם"),
        ("தமிழ்", "தமழ"),
    ],
)
def test_combining_marks_distinguish_names(first: str, second: str) -> None:
    assert fold_name(first) != fold_name(second)
    names = [KnownName(second, second)]
    assert match_exact_name(first, names) is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Réne", "rene"),
        ("Άννα", "αννα"),
        ("Ёлка", "елка"),
        ("だいき", "ﾀﾞｲｷ"),
        ("ダイキ", "\u30bf\u3099イキ"),
        ("葛\U000e0100城", "葛城"),
        ("Nguyễn", "nguyen"),
    ],
)
def test_fold_name_ignores_accents_and_width(first: str, second: str) -> None:
    assert fold_name(first) == fold_name(second)


def test_combining_marks_in_completion() -> None:
    names = [KnownName(name, name) for name in ("ダイキ", "タイキ", "कमला", "हिल")]
    assert [name.text for name in complete_name("タ", names)] == ["タイキ"]
    assert [name.text for name in complete_name("タイキ", names)] == ["タイキ"]
    assert complete_name("ल", names) == [], "a mark does not end a word"


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
