"""What people do to an export with a file manager, and what is read back of it."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
from labelled_images import encoded, mixed, picture

from gleanset import Dataset
from gleanset.errors import UsageError
from labeler.export.job import export
from labeler.export.options import ExportOptions
from labeler.export.plan import plan_export
from labeler.importing.job import import_labelled
from labeler.importing.request import ImportRequest


@pytest.fixture
def tree(empty: Dataset, tmp_path: Path) -> Path:
    """An export of two classes, whose files have names such as `hana_0001.jpg`."""
    mixed(empty)
    export(empty, tmp_path / "out", ExportOptions(names="prefix-count"), workers=1)
    return tmp_path / "out"


def labels(dataset: Dataset) -> Counter[str]:
    return Counter(str(s.label) for s in dataset.samples.iter_by_key() if s.status == "labelled")


def keys(dataset: Dataset) -> dict[str, str]:
    options = ExportOptions(names="prefix-count")
    return {item.path: item.sample.key for item in plan_export(dataset, options)}


def first_of(tree: Path, label: str, number: int = 0) -> Path:
    return sorted((tree / "train" / label).glob("*.jpg"))[number]


def run(dataset: Dataset, path: Path) -> dict[str, object]:
    return import_labelled(dataset, ImportRequest(path=str(path), workers=1))


def test_swapped_files_are_relabelled(empty: Dataset, tree: Path) -> None:
    hana, rei = first_of(tree, "hana"), first_of(tree, "rei")
    known = keys(empty)
    here = tree / "between"
    hana.rename(here)
    rei.rename(hana)
    here.rename(rei)
    assert run(empty, tree)["relabelled"] == 2
    result = {
        path: empty.samples.get(known[path.relative_to(tree).as_posix()]) for path in (hana, rei)
    }
    assert [sample.label for sample in result.values() if sample] == ["rei", "hana"]
    assert run(empty, tree)["relabelled"] == 0


def test_overwritten_file_is_gone(empty: Dataset, tree: Path) -> None:
    first_of(tree, "hana").replace(first_of(tree, "rei"))
    result = run(empty, tree)
    assert (result["relabelled"], result["gone"], result["new_files"]) == (1, 1, 0)
    assert labels(empty) == {"hana": 7, "rei": 9}


def test_copied_file_relabels_nothing(empty: Dataset, tree: Path) -> None:
    # Its name sorts before that of the picture itself.
    shutil.copy(first_of(tree, "rei"), tree / "train" / "hana" / "copy.jpg")
    result = run(empty, tree)
    assert (result["relabelled"], result["gone"], result["new_files"]) == (0, 0, 1)
    assert labels(empty)["rei"] == 8


def test_edited_file_is_unchanged(empty: Dataset, tree: Path) -> None:
    first_of(tree, "rei").write_bytes(encoded(picture(77)))
    result = run(empty, tree)
    assert (result["unchanged"], result["gone"], result["new_files"]) == (16, 0, 0)


def test_trash_and_resource_forks_are_ignored(empty: Dataset, tree: Path) -> None:
    (tree / ".Trash-1000" / "files").mkdir(parents=True)
    (tree / "train" / "hana" / "._hana_0001.jpg").write_bytes(b"of another system")
    shutil.move(first_of(tree, "rei"), tree / ".Trash-1000" / "files")
    result = run(empty, tree)
    assert (result["relabelled"], result["gone"], result["new_files"]) == (0, 1, 0)


def test_moves_and_new_files_are_one_step(empty: Dataset, tree: Path) -> None:
    shutil.move(first_of(tree, "hana"), tree / "train" / "rei" / "moved.jpg")
    (tree / "train" / "hana" / "new.jpg").write_bytes(encoded(picture(99)))
    result = run(empty, tree)
    assert result["labels"] == {"hana": 1, "rei": 1}
    assert labels(empty) == {"hana": 8, "rei": 9}
    empty.journal.undo()
    assert labels(empty) == {"hana": 8, "rei": 8}


def test_broken_new_file_does_not_stop_moves(empty: Dataset, tree: Path) -> None:
    shutil.move(first_of(tree, "hana"), tree / "train" / "rei" / "moved.jpg")
    (tree / "train" / "hana" / "new.jpg").write_bytes(b"")
    result = run(empty, tree)
    assert (result["relabelled"], result["rejected"], result["added"]) == (1, 1, 0)
    assert labels(empty) == {"hana": 7, "rei": 9}


def test_invalid_class_folder_raises_error(empty: Dataset, tree: Path) -> None:
    shutil.move(first_of(tree, "hana"), tree / "train" / "rei" / "moved.jpg")
    (tree / "train" / "what?").mkdir()
    (tree / "train" / "what?" / "new.jpg").write_bytes(encoded(picture(99)))
    with pytest.raises(UsageError, match="not a class name"):
        run(empty, tree)
    assert labels(empty) == {"hana": 8, "rei": 8}
