"""What is dropped: counted by kind, the likeliest meaning, the commands that take it in."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tools_for_tests import picture

from gleanset import Dataset
from labeler.sorting.drop_import import take_in
from labeler.sorting.dropped import (
    MOST_LETTERS,
    DroppedFiles,
    DroppedPath,
    HowTaken,
    TakePlan,
    look_at,
)

LARGE = (1280, 720)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Two folders of faces, a video, and what does not count."""
    root = tmp_path / "mixed"
    for name, number in (("hana", 3), ("rei", 2)):
        (root / name).mkdir(parents=True)
        for seed in range(number):
            (root / name / f"{seed}.jpg").write_bytes(picture(seed + 10 * number))
    (root / "episode.mkv").write_bytes(b"")
    (root / "notes.txt").write_text("no picture")
    (root / ".hidden.png").write_bytes(picture(99))
    (root / "old.zip").write_bytes(b"PK")
    Dataset.create(root / "before").close()
    (root / "before" / "images").mkdir()
    (root / "before" / "images" / "a.png").write_bytes(picture(5))
    return root


def test_what_lies_in_a_folder_is_counted_without_datasets_and_hidden_files(mixed: Path) -> None:
    found = look_at([mixed])
    assert (found.pictures, found.videos, found.archives) == (5, 1, 0)
    assert found.folders == ("hana", "rei")
    assert found.by_class
    assert found.complete
    assert found.cut
    assert found.guess is HowTaken.FACES


def test_an_archive_counts_where_it_is_dropped_itself(mixed: Path) -> None:
    found = look_at([mixed / "old.zip", mixed / "hana" / "0.jpg", mixed / "notes.txt"])
    assert (found.pictures, found.videos, found.archives) == (1, 0, 1)
    assert found.folders == ()
    assert not look_at([mixed / "notes.txt", mixed / "nothing"])


def test_large_pictures_and_videos_are_searched_for_faces(tmp_path: Path) -> None:
    for seed in range(4):
        (tmp_path / f"{seed}.jpg").write_bytes(picture(seed, LARGE))
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    assert look_at([tmp_path]).guess is HowTaken.FIND
    assert look_at([tmp_path / "clip.mp4"]).guess is HowTaken.FIND
    assert look_at([tmp_path / "broken.jpg"]).guess is HowTaken.FIND


def test_looking_ends_in_time(mixed: Path) -> None:
    found = look_at([mixed], seconds=0)
    assert not found.complete
    assert found.pictures + found.videos == 1


def test_what_faces_are_found_in_goes_to_our_commands(mixed: Path) -> None:
    found = look_at([mixed, mixed / "hana" / "0.jpg", mixed / "old.zip"])
    plan = TakePlan(found, HowTaken.FIND, hints=True)
    assert plan.direct == []
    to = ["-d", "/d"]
    assert plan.commands(Path("/d")) == [
        ["harvest", "folder", str(mixed), "--hints-from-folders", *to],
        ["harvest", "folder", str(mixed / "hana" / "0.jpg"), str(mixed / "old.zip"), *to],
        ["harvest", "frames", str(mixed), *to],
        ["facecrop", "run", "--new", *to],
    ]


def test_faces_are_taken_in_as_they_are_and_videos_are_searched(mixed: Path) -> None:
    found = look_at([mixed, mixed / "episode.mkv", mixed / "notes.txt"])
    plan = TakePlan(found, HowTaken.FACES)
    assert plan.direct == [mixed, mixed / "notes.txt"]
    assert plan.commands(Path("/d")) == [
        ["harvest", "frames", str(mixed), str(mixed / "episode.mkv"), "-d", "/d"],
        ["facecrop", "run", "--new", "-d", "/d"],
    ]
    on_class = TakePlan(look_at([mixed / "episode.mkv"]), HowTaken.FACES, label="rei")
    assert on_class.direct == []
    assert on_class.commands(Path("/d"))[0][-4:] == ["--label", "rei", "-d", "/d"]


def test_whole_pictures_are_never_searched(mixed: Path) -> None:
    plan = TakePlan(look_at([mixed, mixed / "old.zip"]), HowTaken.WHOLE)
    assert plan.direct == [mixed]
    assert [words[:2] for words in plan.commands(Path("/d"))] == [
        ["harvest", "folder"],
        ["harvest", "frames"],
        ["facecrop", "run"],
    ]
    assert "whole" in plan.commands(Path("/d"))[-1]
    faces = TakePlan(look_at([mixed, mixed / "old.zip"]), HowTaken.FACES)
    searches = [words for words in faces.commands(Path("/d")) if words[0] == "facecrop"]
    assert ["whole" in words for words in searches] == [True, False]


def test_no_command_is_longer_than_a_system_takes() -> None:
    paths = tuple(DroppedPath(Path("/x" * 60) / f"{n}.jpg", pictures=1) for n in range(500))
    commands = TakePlan(DroppedFiles(paths), HowTaken.FIND).commands(Path("/d"))
    named = [word for words in commands[:-1] for word in words[2:-2]]
    assert named == [str(one.path) for one in paths]
    assert len(commands) > 2
    assert all(sum(map(len, words)) < MOST_LETTERS + 200 for words in commands)


def test_folders_hint_where_a_person_says_so(empty: Dataset, mixed: Path) -> None:
    (mixed.parent / "loose.jpg").write_bytes(picture(77))
    done = take_in(empty, [mixed, mixed.parent / "loose.jpg"], hints=True)
    assert done.samples == 6
    hints = sorted(o.hint for image in empty.images.each() for o in image.origins if o.hint)
    assert hints == ["hana"] * 3 + ["rei"] * 2


def test_class_folders_are_those_of_every_command(empty: Dataset, mixed: Path) -> None:
    (mixed / "loose.jpg").write_bytes(picture(77))
    (mixed / "hana" / "old").mkdir()
    (mixed / "hana" / "old" / "3.jpg").write_bytes(picture(78))
    assert look_at([mixed]).folders == ("hana", "rei")
    assert look_at([mixed / "rei"]).folders == ("rei",)
    take_in(empty, [mixed], hints=True)
    hints = Counter(o.hint for image in empty.images.each() for o in image.origins)
    assert hints == {"hana": 4, "rei": 2, None: 1}


def test_without_that_they_hint_at_nothing(empty: Dataset, mixed: Path) -> None:
    take_in(empty, [mixed])
    assert {o.hint for image in empty.images.each() for o in image.origins} == {None}
