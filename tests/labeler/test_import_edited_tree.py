"""Tests of importing an export edited with a file manager."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from labelled_images import encoded, mixed, picture

from gleanset import Dataset
from gleanset.errors import UsageError
from labeler.export.job import export
from labeler.export.options import ExportOptions
from labeler.export.plan import plan_export
from labeler.importing.job import import_labelled
from labeler.requests import ImportRequest


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


def labels(dataset: Dataset) -> Counter[str]:
    return Counter(str(s.label) for s in dataset.samples.iter_by_key() if s.status == "labelled")


def exported_keys(dataset: Dataset) -> dict[str, str]:
    return {item.path: item.sample.key for item in plan_export(dataset)}


def first_of(tree: Path, label: str, number: int = 0) -> Path:
    return sorted((tree / "train" / label).glob("*.jpg"))[number]


def run(dataset: Dataset, path: Path) -> dict[str, object]:
    return import_labelled(dataset, ImportRequest(path=str(path), workers=1))


def test_swapped_files_are_relabelled(dataset: Dataset, tree: Path) -> None:
    hana, rei = first_of(tree, "hana"), first_of(tree, "rei")
    keys = exported_keys(dataset)
    hana.rename(tree / "between")
    rei.rename(hana)
    (tree / "between").rename(rei)
    assert run(dataset, tree)["relabelled"] == 2
    result = {
        path: dataset.samples.get(keys[path.relative_to(tree).as_posix()]) for path in (hana, rei)
    }
    assert [sample.label for sample in result.values() if sample] == ["rei", "hana"]
    assert run(dataset, tree)["relabelled"] == 0


def test_overwritten_file_is_gone(dataset: Dataset, tree: Path) -> None:
    first_of(tree, "hana").replace(first_of(tree, "rei"))
    result = run(dataset, tree)
    assert (result["relabelled"], result["gone"], result["new_files"]) == (1, 1, 0)
    assert labels(dataset) == {"hana": 7, "rei": 9}


def test_copied_file_relabels_nothing(dataset: Dataset, tree: Path) -> None:
    # The copy sorts before the original.
    shutil.copy(first_of(tree, "rei"), tree / "train" / "hana" / "copy.jpg")
    result = run(dataset, tree)
    assert (result["relabelled"], result["gone"], result["new_files"]) == (0, 0, 1)
    assert labels(dataset)["rei"] == 8


def test_edited_file_is_unchanged(dataset: Dataset, tree: Path) -> None:
    first_of(tree, "rei").write_bytes(encoded(picture(77)))
    result = run(dataset, tree)
    assert (result["unchanged"], result["gone"], result["new_files"]) == (16, 0, 0)


def test_trash_and_resource_forks_are_ignored(dataset: Dataset, tree: Path) -> None:
    (tree / ".Trash-1000" / "files").mkdir(parents=True)
    (tree / "train" / "hana" / "._hana_0001.jpg").write_bytes(b"of another system")
    shutil.move(first_of(tree, "rei"), tree / ".Trash-1000" / "files")
    result = run(dataset, tree)
    assert (result["relabelled"], result["gone"], result["new_files"]) == (0, 1, 0)


def test_moves_are_one_step_and_new_files_are_counted(dataset: Dataset, tree: Path) -> None:
    shutil.move(first_of(tree, "hana"), tree / "train" / "rei" / "moved.jpg")
    (tree / "train" / "yui").mkdir()
    shutil.move(first_of(tree, "hana"), tree / "train" / "yui")
    first_of(tree, "hana").unlink()
    (tree / "train" / "hana" / "new.jpg").write_bytes(encoded(picture(99)))
    request = ImportRequest(path=str(tree), workers=1)
    simulated = import_labelled(dataset, request, simulate=True)
    assert labels(dataset) == {"hana": 8, "rei": 8}
    result = run(dataset, tree)
    assert result == simulated
    assert (result["labels"], result["gone"], result["new_files"]) == ({"rei": 1, "yui": 1}, 1, 1)
    assert labels(dataset) == {"hana": 6, "rei": 9, "yui": 1}
    dataset.journal.undo()
    assert labels(dataset) == {"hana": 8, "rei": 8}


def test_invalid_class_folder_raises_error(dataset: Dataset, tree: Path) -> None:
    shutil.move(first_of(tree, "hana"), tree / "train" / "rei" / "moved.jpg")
    (tree / "train" / "what?").mkdir()
    shutil.move(first_of(tree, "hana"), tree / "train" / "what?" / "moved.jpg")
    with pytest.raises(UsageError, match="not a class name"):
        run(dataset, tree)
    assert labels(dataset) == {"hana": 8, "rei": 8}
