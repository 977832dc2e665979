"""Exporting without splits: class folders of copies or links."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from labelled_images import encoded, picture, put
from tools_for_tests import run_here

from gleanset import Dataset
from gleanset.errors import InputUnusable
from labeler.export.job import export
from labeler.export.options import ExportOptions
from labeler.export.plan import plan_export
from labeler.importing.job import import_labelled
from labeler.importing.request import ImportRequest


@pytest.fixture
def inbox(empty: Dataset, tmp_path: Path) -> Path:
    """Four images in class folders, imported without a split."""
    for number, label in enumerate(("hana", "rei", "hana", "test class")):
        (tmp_path / "inbox" / label).mkdir(parents=True, exist_ok=True)
        file = tmp_path / "inbox" / label / f"img{number // 2}.jpg"
        file.write_bytes(encoded(picture(number)))
    import_folder(empty, tmp_path / "inbox")
    return tmp_path / "inbox"


def import_folder(dataset: Dataset, folder: Path) -> dict[str, object]:
    return import_labelled(dataset, ImportRequest(path=str(folder), workers=1))


def test_unsplit_class_folders_round_trip(empty: Dataset, inbox: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = export(empty, out, ExportOptions(no_split=True), workers=1)
    assert done["exported"] == 4
    assert "splits" not in done
    folders = {path.name for path in out.iterdir() if path.is_dir()}
    assert folders == {"hana", "rei", "test class"}
    card = (out / "README.md").read_text()
    assert "| class | all |" in card
    assert 'ImageFolder(".")' in card
    assert import_folder(empty, out)["unchanged"] == 4
    shutil.move(next((out / "test class").glob("*")), out / "rei")
    assert import_folder(empty, out)["relabelled"] == 1
    with pytest.raises(InputUnusable, match="no labelled sample has a split"):
        plan_export(empty)


def test_links_leave_source_files_unchanged(empty: Dataset, inbox: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in inbox.rglob("*.jpg")}
    out = tmp_path / "linked"
    export(empty, out, ExportOptions(no_split=True, link=True), workers=1)
    assert all(path.stat().st_nlink > 1 for path in out.rglob("*.jpg"))
    assert {path: path.stat().st_mtime_ns for path in inbox.rglob("*.jpg")} == before


@pytest.mark.parametrize("options", [["--no-split", "--move"], ["--undo", "-y"]])
def test_removed_options_have_hint(empty: Dataset, tmp_path: Path, options: list[str]) -> None:
    put(empty, encoded(picture(0)), "a.jpg")
    ran = run_here("labeler.cli", "export", tmp_path / "out", *options, "-d", empty.root)
    assert ran.code == 2
    assert "no longer exists" in ran.stderr
    assert "labeler export OUT --no-split --link" in ran.stderr
    assert not (tmp_path / "out").exists()
