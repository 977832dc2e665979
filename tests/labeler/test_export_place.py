"""Targets of exports: links, disks, and concurrent readers and writers."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TypeVar

import pytest
from labelled_images import mixed, run_export, run_labeler

from gleanset import Dataset
from gleanset.errors import InputUnusable
from labeler.export.job import export
from labeler.export.options import ExportOptions
from labeler.export.tree import MARKER, replace_tree, write_marker

T = TypeVar("T")


def test_link_to_target_folder_is_kept(empty: Dataset, tmp_path: Path) -> None:
    mixed(empty)
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to("real")
    for size in ("20x20", "30x30"):
        run_export(empty, link, size=size)
        assert link.is_symlink()
        assert len(list(real.rglob("*.jpg"))) == 16
    assert sorted(path.name for path in tmp_path.glob("*link*")) == ["link"]
    assert not list(tmp_path.glob(".*"))


def test_disk_root_as_target_raises_error(empty: Dataset) -> None:
    mixed(empty)
    with pytest.raises(InputUnusable, match="the root of a disk"):
        export(empty, Path("/"), ExportOptions())
    ran = run_labeler("export", "/", "--simulate", "-d", empty.root)
    assert "the root of a disk" in ran.stderr


@pytest.mark.slow
def test_reader_always_finds_complete_export(empty: Dataset, tmp_path: Path) -> None:
    """Replace an export several times while another thread reads it."""
    mixed(empty)
    out, over, absent = tmp_path / "out", threading.Event(), 0
    run_export(empty, out)

    def look() -> None:
        nonlocal absent
        while not over.is_set():
            absent += not (out / MARKER).exists()

    reader = threading.Thread(target=look)
    reader.start()
    for side in (20, 30):
        run_export(empty, out, size=f"{side}x{side}")
    over.set()
    reader.join()
    if sys.platform == "linux":
        assert absent == 0
    assert [path.name for path in tmp_path.glob("*out*")] == ["out"]


@pytest.mark.parametrize("at_once", [True, False])
def test_files_changed_during_export_are_kept(
    at_once: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on file systems that cannot exchange folders, and with colliding names."""
    if not at_once:
        monkeypatch.setattr("labeler.export.tree.exchange_paths", lambda path, other: False)
    out = tmp_path / "out"
    with replace_tree(out) as new:
        for name in ("a.txt", "b.txt", "gone.txt", "folder"):
            (new.folder / name).write_text("first")
        write_marker(new.folder, {})
    with replace_tree(out) as new:
        for name in ("a.txt", "b.txt", "folder/x.txt"):
            (new.folder / name).parent.mkdir(exist_ok=True)
            (new.folder / name).write_text("second")
        write_marker(new.folder, {})
        (out / "b.txt").write_text("edited meanwhile")
        (out / "mine").mkdir()
        (out / "mine" / "notes.txt").write_text("mine")
        (out / "link").symlink_to("/")
    assert sorted(new.kept_files) == ["kept-1-b.txt", "link", "mine/notes.txt"]
    assert (out / "mine" / "notes.txt").read_text() == "mine"
    assert (out / "kept-1-b.txt").read_text() == "edited meanwhile"
    assert (out / "link").is_symlink()
    assert [(out / n).read_text() for n in ("a.txt", "b.txt", "folder/x.txt")] == ["second"] * 3
    assert not (out / "gone.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
