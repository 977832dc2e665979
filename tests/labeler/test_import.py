"""Importing labelled images, edited exports, and declared groups."""

import json
import os
import re
import shlex
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from unicodedata import normalize

import pytest
from labelled_images import mixed, picture, put, run_export, run_import, run_labeler
from tools_for_tests import encode, make_archive, write_pictures

from curation.split_groups import assign_split_groups
from gleanset import Box, Dataset
from gleanset.db.journal import Choice
from gleanset.errors import InputUnusable, UsageError
from gleanset.settings import SplitSettings
from gleanset.work.progress import NO_PROGRESS
from harvest.request import FolderRequest
from labeler.classes import ClassEditor
from labeler.export.job import export
from labeler.export.options import ExportOptions
from labeler.export.plan import plan_export
from labeler.importing.job import import_labelled
from labeler.requests import ImportRequest
from labeler.splits.plan import apply_split, plan_split
from pipeline.listing import list_records


def labels(dataset: Dataset) -> Counter[str]:
    return Counter(
        str(s.label) for s in dataset.samples.iter_by_key() if s.status == "labelled"
    )


@pytest.mark.parametrize("splits", [False, True])
def test_class_folders_are_imported(
    empty: Dataset, tmp_path: Path, splits: bool
) -> None:
    for number in range(6):
        folder = f"{('train', 'val')[number % 2]}/" if splits else ""
        folder += "owl" if number % 3 == 0 else "cat"
        write_pictures(tmp_path / "tree" / folder, 1, first=number)
    (tmp_path / "tree" / "cat").mkdir(exist_ok=True)
    (tmp_path / "tree" / "cat" / "broken.jpg").write_bytes(b"\xff\xd8\xff no")
    simulated = run_import(empty, tmp_path / "tree", simulate=True)
    split_folders = (
        {"split_folders_not_taken_over": {"train": 3, "val": 3}} if splits else {}
    )
    counts = {
        "files": 7,
        "labelled_files": 7,
        "ignored": 0,
        "labels": {"cat": 5, "owl": 2},
    }
    assert (
        simulated == {"kind": "tree", "collections": ["tree"]} | counts | split_folders
    )
    assert empty.images.count() == 0
    summary = run_import(empty, tmp_path / "tree")
    assert (summary["added"], summary["rejected"], summary["ignored"]) == (6, 1, 0)
    assert labels(empty) == {"cat": 4, "owl": 2}
    assert {d.provenance for d in empty.journal.iterate()} == {"import"}
    again = run_import(empty, tmp_path / "tree")
    assert (again["added"], again["duplicate"], again["disputed"]) == (0, 6, 0)
    assert empty.journal.count() == 6
    empty.journal.undo()
    assert not labels(empty)


def test_existing_label_is_kept(empty: Dataset, tmp_path: Path) -> None:
    data = encode(picture(1))
    put(empty, data, "mine.jpg", label="hana")
    (tmp_path / "tree" / "rei").mkdir(parents=True)
    (tmp_path / "tree" / "rei" / "same.jpg").write_bytes(data)
    assert run_import(empty, tmp_path / "tree")["disputed"] == 1
    assert labels(empty) == {"hana": 1}


def test_merged_class_is_imported_as_its_target(empty: Dataset, tmp_path: Path) -> None:
    write_pictures(
        tmp_path / "tree", ("wasps/one.jpg", "bees/one.jpg", "hornets/one.jpg")
    )
    run_import(empty, tmp_path / "tree")
    ClassEditor(empty).merge("wasps", "bees")
    assert run_import(empty, tmp_path / "tree")["disputed"] == 0
    assert labels(empty) == {"bees": 2, "hornets": 1}
    write_pictures(tmp_path / "tree" / "wasps", ["two.jpg"], first=4)
    assert run_import(empty, tmp_path / "tree")["labels"] == {"bees": 3, "hornets": 1}


def test_nearly_equal_class_names_raise_error(empty: Dataset, tmp_path: Path) -> None:
    names = ("bees/one.jpg", "Bees/one.jpg", "-/one.jpg", "!/one.jpg")
    write_pictures(tmp_path / "tree", names)
    with pytest.raises(UsageError, match="nearly the same name") as result:
        run_import(empty, tmp_path / "tree")
    assert empty.images.count() == 0
    command = result.value.fix.partition(", or as one: ")[2]
    assert run_labeler(*shlex.split(command)[1:]).code == 0
    assert (run_import(empty, tmp_path / "tree")["added"], labels(empty)["Bees"]) == (
        4,
        2,
    )


def test_voicing_mark_distinguishes_class_names(empty: Dataset, tmp_path: Path) -> None:
    names = ("タイキ/0.jpg", "ダイキ/1.jpg", normalize("NFD", "ダイキ/2.jpg"))
    write_pictures(tmp_path / "tree", names)
    assert run_import(empty, tmp_path / "tree")["added"] == 3
    assert labels(empty) == {"タイキ": 1, "ダイキ": 2}


def test_image_in_two_classes_is_queued_as_disputed(
    empty: Dataset, tmp_path: Path
) -> None:
    write_pictures(tmp_path / "tree" / "test" / "a", 1)
    write_pictures(tmp_path / "tree" / "train" / "b", ("same.jpg", "other.jpg"))
    for added in (2, 0):
        result = run_import(empty, tmp_path / "tree")
        assert (result["added"], result["disputed"], result["labels"]) == (
            added,
            1,
            {"b": 1},
        )
        assert sorted(s.status for s in empty.samples.iter_by_key()) == [
            "labelled",
            "queue",
        ]
    assert "a or b" in {decision.provenance for decision in empty.journal.iterate()}
    (waiting,) = [s.key for s in empty.samples.iter_by_key() if s.status == "queue"]
    empty.journal.apply("Label", [Choice(waiting, "label", "a")])
    assert run_import(empty, tmp_path / "tree")["disputed"] == 1
    assert labels(empty) == {"a": 1, "b": 1}, "decisions of a person are kept"


def test_coco_boxes_become_labelled_faces(empty: Dataset, tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", ("a.jpg", "b.jpg"), size=(120, 80))
    boxes = [[10, 10, 30.4, 30], [60, 20, 30, 30], [500, 500, 5, 5]]
    document = {
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "b.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "bbox": boxes[0]},
            {"id": 2, "image_id": 7, "category_id": 2, "bbox": boxes[1]},
            {"id": 3, "image_id": 8, "category_id": 2, "bbox": boxes[2]},
        ],
        "categories": [{"id": 1, "name": "hana"}, {"id": 2, "name": "rei"}],
    }
    (tmp_path / "images" / "instances.json").write_text(json.dumps(document))
    summary = run_import(empty, tmp_path / "images")
    assert (summary["kind"], summary["added"], summary["rejected"]) == ("coco", 1, 1)
    assert labels(empty) == {"hana": 1, "rei": 1}
    faces = {summary.face.box for summary in empty.faces.iterate()}
    assert faces == {Box(10, 10, 30, 30), Box(60, 20, 30, 30)}
    (rejection,) = empty.rejections.iterate()
    assert rejection.reason == "box outside"


def test_coco_and_huggingface_exports_round_trip(
    empty: Dataset, tmp_path: Path
) -> None:
    mixed(empty)
    for kind in ("coco", "huggingface"):
        run_export(empty, tmp_path / kind, format=kind)
        (tmp_path / kind / ".gleanset-export.json").unlink()
        with Dataset.create(tmp_path / f"from-{kind}") as other:
            result = run_import(other, tmp_path / kind)
            assert result["rejected"] == 0
            assert labels(other) == labels(empty) == {"hana": 8, "rei": 8}
            assert len(list(other.faces.iterate())) == len(list(empty.faces.iterate()))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "metadata.jsonl",
            '{"file_name": "../secret.jpg", "label": "a"}',
            "no folders with",
        ),
        ("metadata.jsonl", "[1]", "cannot read given/metadata.jsonl"),
        (
            "coco.json",
            '{"images": [{"id": 1}], "annotations": [], "categories": []}',
            "image without",
        ),
        (
            "coco.json",
            '{"images": [], "annotations": [{"image_id": 1, "category_id": 1}], "categories": []}',
            "not listed",
        ),
        ("nothing.txt", "", "no folders with images"),
    ],
)
def test_invalid_tables_are_rejected(
    empty: Dataset, tmp_path: Path, name: str, text: str, message: str
) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / name).write_text(text)
    with pytest.raises(InputUnusable, match=message):
        run_import(empty, folder)
    assert empty.images.count() == 0


def test_class_level_selects_nested_folders(empty: Dataset, tmp_path: Path) -> None:
    names = ("show/rei/1.jpg", "show/hana/2.jpg", "show/3.jpg", "4.jpg")
    tree = write_pictures(tmp_path / "tree", names)
    result = run_import(empty, tree)
    assert (result["labels"], result["ignored"]) == ({"show": 3}, 1)
    assert "--class-level 2" in str(result["check_classes"])
    empty.journal.undo()
    root = tmp_path / "other"
    done = run_labeler("import", tree, "--class-level", "2", "-j", "-d", root)
    assert done.json["labels"] == {"hana": 1, "rei": 1}
    assert done.json["ignored_reasons"] == {"without a class folder": 2}
    run_labeler("import", tree, "--class-level", "3", "-d", root).refused(
        3, "3 levels down"
    )


def test_printed_counts_add_up_to_the_files(tmp_path: Path) -> None:
    tree = tmp_path / "in"
    write_pictures(tree, ("cat/1.png", "cat/2.png", "owl/3.png"))
    shutil.copy(tree / "cat" / "1.png", tree / "owl" / "same.png")
    (tree / "owl" / "broken.png").write_bytes(b"none")
    (tree / "notes.txt").write_text("none")
    simulated = run_labeler(
        "import", tree, "--simulate", "-d", tmp_path / "d"
    ).checked()
    assert "files: 6, labelled files: 5, ignored: 1" in simulated.stdout
    printed = run_labeler("import", tree, "-d", tmp_path / "d").stdout
    counts = re.search(r"^files: .*$", printed, re.MULTILINE)
    assert counts
    assert counts[0] == "files: 6, added: 3, duplicate: 1, rejected: 1, ignored: 1"
    assert "1 disputed sample:" in printed


@pytest.mark.posix("names that are not text")
def test_names_not_in_utf8_are_recognized_again(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9")
    tree = tmp_path / odd / odd
    root = tmp_path / odd / "d"
    write_pictures(tree, (f"cat/{odd}.jpg", f"owl/{odd}.jpg"))
    (tree / "cat" / f"broken-{odd}.jpg").write_bytes(b"none")
    line = ("import", tree, "-d", root, "--json")
    first, again = (run_labeler(*line) for _ in range(2))
    assert (first.json["added"], again.json["duplicate"]) == (2, 2), again.stderr
    undone = run_labeler("undo", "-d", root, "--json")
    assert undone.json["undone"] == "Import 2 from caf\\xe9"
    grouped = run_labeler(*line, "--group-by", "(f)")
    assert (grouped.code, grouped.json["groups"]) == (0, 1)
    with Dataset.open(root) as dataset:
        origin_paths = {
            origin.path
            for image in dataset.images.iterate()
            for origin in image.origins
        }
        root_text = str(tmp_path / "caf\\xe9" / "caf\\xe9")
        assert origin_paths == {
            f"{root_text}/cat/caf\\xe9.jpg",
            f"{root_text}/owl/caf\\xe9.jpg",
        }
        assert [rejection.item for rejection in dataset.rejections.iterate()] == [
            f"{root_text}/cat/broken-caf\\xe9.jpg"
        ]
        assert (
            dataset.images.resolve(str(tree / "cat" / f"{odd}.jpg")).origins[0].path
            in origin_paths
        )


def test_parquet_export_to_folder_not_in_utf8(empty: Dataset, tmp_path: Path) -> None:
    put(empty, encode(picture(1)), "one.jpg")
    out = tmp_path / os.fsdecode(b"caf\xe9")
    assert run_export(empty, out, format="huggingface")["exported"] == 1


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export two classes."""
    folder = tmp_path_factory.mktemp("exported")
    with Dataset.create(folder / "dataset") as dataset:
        mixed(dataset)
        export(dataset, folder / "out", ExportOptions(), workers=1)
    return folder


@pytest.fixture
def dataset(exported: Path, tmp_path: Path) -> Iterator[Dataset]:
    shutil.copytree(exported, tmp_path, dirs_exist_ok=True)
    with Dataset.open(tmp_path / "dataset") as copied:
        yield copied


@pytest.fixture
def tree(dataset: Dataset) -> Path:
    """Return the folder of the exported files."""
    return dataset.root.parent / "out"


def first_of(tree: Path, label: str) -> Path:
    return min((tree / "train" / label).glob("*.jpg"))


def test_swapped_files_are_relabelled(dataset: Dataset, tree: Path) -> None:
    hana = first_of(tree, "hana")
    rei = first_of(tree, "rei")
    keys = {
        item.path: item.sample.key for item in plan_export(dataset, ExportOptions())
    }
    hana.rename(tree / "between")
    rei.rename(hana)
    (tree / "between").rename(rei)
    assert run_import(dataset, tree)["relabelled"] == 2
    result = {
        path: dataset.samples.get(keys[path.relative_to(tree).as_posix()])
        for path in (hana, rei)
    }
    assert [sample.label for sample in result.values() if sample] == ["rei", "hana"]
    assert run_import(dataset, tree)["relabelled"] == 0


def copy(tree: Path) -> None:
    # The copy sorts before the original.
    shutil.copy(first_of(tree, "rei"), tree / "train" / "hana" / "copy.jpg")


def edit(tree: Path) -> None:
    first_of(tree, "rei").write_bytes(encode(picture(77)))


def move_to_trash(tree: Path) -> None:
    (tree / ".Trash-1000" / "files").mkdir(parents=True)
    (tree / "train" / "hana" / "._hana_0001.jpg").write_bytes(b"of another system")
    shutil.move(first_of(tree, "rei"), tree / ".Trash-1000" / "files")


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (
            lambda tree: first_of(tree, "hana").replace(first_of(tree, "rei")),
            (1, 1, 0, 14),
        ),
        (copy, (0, 0, 1, 16)),
        (edit, (0, 0, 0, 16)),
        (move_to_trash, (0, 1, 0, 15)),
    ],
)
def test_changed_files_are_counted(
    dataset: Dataset,
    tree: Path,
    change: Callable[[Path], None],
    counts: tuple[int, ...],
) -> None:
    change(tree)
    result = run_import(dataset, tree)
    names = ("relabelled", "gone", "new_files", "unchanged")
    assert tuple(result[name] for name in names) == counts
    assert labels(dataset)["rei"] == 8 + counts[0]


def test_moves_are_one_step_and_new_files_are_counted(
    dataset: Dataset, tree: Path
) -> None:
    shutil.move(first_of(tree, "hana"), tree / "train" / "rei" / "moved.jpg")
    (tree / "train" / "yui").mkdir()
    shutil.move(first_of(tree, "hana"), tree / "train" / "yui")
    first_of(tree, "hana").unlink()
    (tree / "train" / "hana" / "new.jpg").write_bytes(encode(picture(99)))
    request = ImportRequest(path=str(tree), workers=1)
    simulated = import_labelled(
        dataset, request, simulate=True, progress=NO_PROGRESS
    ).to_json()
    assert labels(dataset) == {"hana": 8, "rei": 8}
    result = run_import(dataset, tree)
    assert result == simulated
    assert (result["labels"], result["gone"], result["new_files"]) == (
        {"rei": 1, "yui": 1},
        1,
        1,
    )
    assert labels(dataset) == {"hana": 6, "rei": 9, "yui": 1}
    dataset.journal.undo()
    assert labels(dataset) == {"hana": 8, "rei": 8}


def test_moves_after_rename_are_relabelled(dataset: Dataset, tree: Path) -> None:
    editor = ClassEditor(dataset)
    editor.rename("hana", "hanako")
    editor.add("rin")
    editor.merge("rei", "rin")
    shutil.move(first_of(tree, "hana"), tree / "train" / "rei" / "moved.jpg")
    (tree / "train" / "yui").mkdir()
    shutil.move(first_of(tree, "rei"), tree / "train" / "yui")
    # The former name and the present one are one class.
    (tree / "train" / "hanako").mkdir()
    shutil.move(first_of(tree, "hana"), tree / "train" / "hanako")
    result = run_import(dataset, tree)
    assert (result["relabelled"], result["disputed"]) == (2, 0)
    assert labels(dataset) == {"hanako": 7, "rin": 8, "yui": 1}
    assert run_import(dataset, tree)["relabelled"] == 0


def test_invalid_class_folder_raises_error(dataset: Dataset, tree: Path) -> None:
    shutil.move(first_of(tree, "hana"), tree / "train" / "rei" / "moved.jpg")
    (tree / "train" / "what?").mkdir()
    shutil.move(first_of(tree, "hana"), tree / "train" / "what?" / "moved.jpg")
    with pytest.raises(UsageError, match="not a class name"):
        run_import(dataset, tree)
    assert labels(dataset) == {"hana": 8, "rei": 8}


NUMBERED = r"(.+)-\d+\."


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Ten images with two or three faces each, some with faces of both characters."""
    names = [
        f"{'rei' if part > 2 or number > 6 else 'hana'}/episode {number}-{part}.jpg"
        for number in range(10)
        for part in range(1, 3 + number % 2)
    ]
    return write_pictures(tmp_path / "faces", names)


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
    message = run_import(empty, faces)["maybe_parts_of_one_image"]
    assert (message["files"], message["names"]) == (
        25,
        "episode 0-1.jpg, episode 0-2.jpg",
    )
    assert message["then"] == r"run it again with --group-by '(.+)[-_]\d+\.'"
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
    results = {
        line["path"]: line["post"] for line in list_records(empty, "samples", ())
    }
    assert results[str(faces / "hana" / "episode 0-1.jpg")] == "one"
    assert results[str(faces / "hana" / "episode 0-2.jpg")] == "episode 0"
    authors = [
        origin.author for image in empty.images.iterate() for origin in image.origins
    ]
    assert sorted(filter(None, authors)) == ["Ann"], "the table also has credit"


def test_group_spans_archives_and_folders(
    empty: Dataset, faces: Path, tmp_path: Path
) -> None:
    files = {"in/episode 3-8.jpg": encode(picture(100))}
    archive = make_archive(tmp_path / "more.zip", files)
    loose = write_pictures(tmp_path / "loose", ["episode 3-9.jpg"], first=101)
    run_import(empty, faces, group_by=str(NUMBERED))
    done = FolderRequest(path=(str(archive), str(loose)), group_by=str(NUMBERED)).run(
        empty
    )
    assert (done.added, done.groups) == (2, 1)
    sizes = Counter(assign_split_groups(empty.db).values()).values()
    assert set(sizes) == {2, 3}
    posts = [image.origins[0].post for image in empty.images.iterate()]
    assert posts.count("episode 3") == 5


def test_folders_below_classes_are_groups(empty: Dataset, tmp_path: Path) -> None:
    names = [
        f"{('cat', 'owl')[number % 2]}/animal {number // 4}/{number}.jpg"
        for number in range(8)
    ]
    write_pictures(tmp_path / "pets", names)
    shown = run_import(empty, tmp_path / "pets", group_by="folder", simulate=True)
    assert (shown["kind"], shown["labelled_files"], shown["groups"]) == ("tree", 8, 4)
    run_import(empty, tmp_path / "pets", group_by="folder")
    assert len(set(assign_split_groups(empty.db).values())) == 4
