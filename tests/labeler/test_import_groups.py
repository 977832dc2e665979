"""Declared groups are imported, and no split divides them."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from pathlib import Path

import pytest
from labelled_images import encoded, picture, run_import, write_picture

from curation.split_groups import assign_split_groups
from gleanset import Dataset
from gleanset.db.views import SampleFilter, filter_sql
from gleanset.file_groups import FileGroups, GroupBy
from gleanset.settings import SplitSettings
from harvest.request import FolderRequest
from labeler.sorting.grid_query import with_group
from labeler.splits.plan import apply_split, plan_split
from pipeline.listing import list_records

NUMBERED = GroupBy.parse(r"(.+)-\d+\.")


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Ten images with two or three faces each, some with faces of both characters."""
    seed = 0
    for number in range(10):
        for part in range(1, 3 + number % 2):
            seed += 1
            name = ("hana", "rei")[part > 2 or number > 6]
            write_picture(tmp_path / "faces" / name / f"episode {number}-{part}.jpg", seed)
    return tmp_path / "faces"


def split_by_image(dataset: Dataset, seed: int = 0) -> dict[str, set[str]]:
    """Split again; return the splits of the faces of each image."""
    settings = SplitSettings(ratio="2:1:1", seed=seed)
    apply_split(dataset, plan_split(dataset, settings))
    result = defaultdict(set)
    for line in list_records(dataset, "samples", ()):
        result[Path(line["path"]).name.rpartition("-")[0]].add(line["split"])
    return result


def count_straddling_groups(dataset: Dataset) -> int:
    return max(
        sum(len(splits) > 1 for splits in split_by_image(dataset, seed).values())
        for seed in range(3)
    )


def test_group_by_pattern_keeps_faces_in_one_split(empty: Dataset, faces: Path) -> None:
    result = run_import(empty, faces, group_by=str(NUMBERED))
    assert (result["added"], result["groups"]) == (25, 10)
    assert "without_group" not in result
    assert count_straddling_groups(empty) == 0
    assert len(set(assign_split_groups(empty.db).values())) == 10
    posts = {line["post"] for line in list_records(empty, "samples", ())}
    assert posts == {f"episode {number}" for number in range(10)}


def test_second_import_adds_groups(empty: Dataset, faces: Path) -> None:
    message = run_import(empty, faces)["maybe_parts_of_one_picture"]
    assert (message["files"], message["names"]) == (25, "episode 0-1.jpg, episode 0-2.jpg")
    assert message["then"] == r"run it again with --group-by '(.+)-\d+\.'"
    assert count_straddling_groups(empty) > 0
    result = run_import(empty, faces, group_by=str(NUMBERED))
    assert (result["added"], result["duplicate"], result["groups"]) == (0, 25, 10)
    assert count_straddling_groups(empty) == 0
    assert run_import(empty, faces)["duplicate"] == 25
    assert len(set(assign_split_groups(empty.db).values())) == 10, "groups are kept"


def test_source_table_overrides_group_by(empty: Dataset, faces: Path) -> None:
    (faces / "sources.csv").write_text(
        "file,author,group\nhana/episode 0-1.jpg,Ann,one\nhana/episode 1-1.jpg,,one\n"
    )
    result = run_import(empty, faces)
    assert (result["groups"], result["without_group"]) == (1, 23)
    result = run_import(empty, faces, group_by=str(NUMBERED))
    assert result["groups"] == 11, "the group of the table and all others"
    results = {line["path"]: line["post"] for line in list_records(empty, "samples", ())}
    assert results[str(faces / "hana" / "episode 0-1.jpg")] == "one"
    assert results[str(faces / "hana" / "episode 0-2.jpg")] == "episode 0"
    authors = [origin.author for image in empty.images.iterate() for origin in image.origins]
    assert sorted(filter(None, authors)) == ["Ann"], "the table also has credit"


def test_group_spans_archives_and_folders(empty: Dataset, faces: Path, tmp_path: Path) -> None:
    archive, loose = tmp_path / "more.zip", tmp_path / "loose"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("in/episode 3-8.jpg", encoded(picture(100)))
    write_picture(loose / "episode 3-9.jpg", 101)
    run_import(empty, faces, group_by=str(NUMBERED))
    done = FolderRequest(path=(str(archive), str(loose)), group_by=str(NUMBERED)).run(empty)
    assert (done["added"], done["groups"]) == (2, 1)
    rows = empty.db.fetch_all("SELECT id FROM sample WHERE label IS NOT NULL")
    sizes = set()
    for (row,) in rows:
        test, values = filter_sql(with_group(empty, SampleFilter(split_group=row)))
        sizes.add(empty.db.fetch_int(f"SELECT count(*) FROM sample s WHERE TRUE{test}", values))
    assert sizes == {2, 3}, "the window shows whole groups"
    posts = [image.origins[0].post for image in empty.images.iterate()]
    assert posts.count("episode 3") == 5


def test_folders_below_classes_are_groups(empty: Dataset, tmp_path: Path) -> None:
    for number in range(8):
        folder = tmp_path / "pets" / ("cat", "owl")[number % 2] / f"animal {number // 4}"
        write_picture(folder / f"{number}.jpg", number)
    shown = run_import(empty, tmp_path / "pets", group_by=str(GroupBy()), simulate=True)
    assert (shown["kind"], shown["would_import"], shown["groups"]) == ("tree", 8, 4)
    run_import(empty, tmp_path / "pets", group_by=str(GroupBy()))
    assert len(set(assign_split_groups(empty.db).values())) == 4


def test_class_named_train_keeps_its_groups() -> None:
    groups = FileGroups(GroupBy())
    inside = ("train", "express")
    assert groups.get_group("1.jpg", "/tree/train/express", inside, 1, frozenset()) is not None
    assert groups.get_group("1.jpg", "/tree/train/express", inside, 1, {"train"}) is None
