"""Exporting without splits: class folders of copies or links."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from labelled_images import (
    encoded,
    picture,
    put,
    run_export,
    run_import,
    run_labeler,
    write_picture,
)

from gleanset import Dataset
from gleanset.errors import InputUnusable
from labeler.export.plan import plan_export


def test_unsplit_class_folders_round_trip(empty: Dataset, tmp_path: Path) -> None:
    for number, label in enumerate(("hana", "rei", "hana", "test class")):
        write_picture(tmp_path / "inbox" / label / f"img{number // 2}.jpg", number)
    run_import(empty, tmp_path / "inbox")
    out = tmp_path / "out"
    done = run_export(empty, out, no_split=True, link=True)
    assert done["exported"] == 4
    assert "splits" not in done
    folders = {path.name for path in out.iterdir() if path.is_dir()}
    assert folders == {"hana", "rei", "test class"}
    assert all(path.stat().st_nlink > 1 for path in out.rglob("*.jpg"))
    card = (out / "README.md").read_text()
    assert "| class | all |" in card
    assert 'ImageFolder(".")' in card
    assert run_import(empty, out)["unchanged"] == 4
    shutil.move(next((out / "test class").glob("*")), out / "rei")
    assert run_import(empty, out)["relabelled"] == 1
    with pytest.raises(InputUnusable, match="no labelled sample has a split"):
        plan_export(empty)


@pytest.mark.parametrize("options", [["--no-split", "--move"], ["--undo", "-y"]])
def test_removed_options_have_hint(empty: Dataset, tmp_path: Path, options: list[str]) -> None:
    put(empty, encoded(picture(0)), "a.jpg")
    ran = run_labeler("export", tmp_path / "out", *options, "-d", empty.root)
    assert ran.code == 2
    assert "no longer exists" in ran.stderr
    assert "labeler export OUT --no-split --link" in ran.stderr
    assert not (tmp_path / "out").exists()
