"""Where an export lies: behind links, never a whole disk, and whole at every interrupt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from labelled_pictures import mixed

from gleanset import Dataset
from gleanset.errors import InputUnusable
from labeler.export.job import export
from labeler.export.options import ExportOptions
from labeler.export.to_bucket import would_export
from labeler.export.tree import MARKER, replacing

# Raises what Ctrl-C does, right behind the chosen rename.
INTERRUPTED_SWAP = """
import sys
from pathlib import Path
from labeler.export import tree
from labeler.export.tree import replacing
tree.exchange_paths = lambda one, other: False  # as on a system that has no swap in one
left = int(sys.argv[2])
def hook(event, args):
    global left
    if event == "os.rename":
        left -= 1
        if left < 0:
            left = 99
            raise KeyboardInterrupt
sys.addaudithook(hook)
with replacing(Path(sys.argv[1])) as folder:
    (folder / "new").touch()
"""


def test_a_link_to_a_folder_stays_one(empty: Dataset, tmp_path: Path) -> None:
    mixed(empty)
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to("real")
    for size in ("20x20", "30x30"):
        export(empty, link, ExportOptions(size=size), workers=1)
        assert link.is_symlink()
        assert len(list(real.rglob("*.jpg"))) == 16
    assert sorted(path.name for path in tmp_path.glob("*link*")) == ["link"]
    assert not list(tmp_path.glob(".*"))


def test_a_whole_disk_is_refused(empty: Dataset) -> None:
    mixed(empty)
    for attempt in (export, would_export):
        with pytest.raises(InputUnusable, match="a whole disk"):
            attempt(empty, Path("/"), ExportOptions())


@pytest.mark.slow
def test_a_reader_always_finds_a_whole_export(empty: Dataset, tmp_path: Path) -> None:
    """While one takes the place of another, again and again."""
    mixed(empty)
    out, over, absent = tmp_path / "out", threading.Event(), 0
    export(empty, out, workers=1)

    def look() -> None:
        nonlocal absent
        while not over.is_set():
            absent += not (out / MARKER).exists()

    reader = threading.Thread(target=look)
    reader.start()
    for side in (20, 30, 40, 50):
        export(empty, out, ExportOptions(size=f"{side}x{side}"), workers=1)
    over.set()
    reader.join()
    if sys.platform == "linux":
        assert absent == 0
    assert [path.name for path in tmp_path.glob("*out*")] == ["out"]


@pytest.mark.parametrize("renames", [0, 1])
def test_an_interrupt_at_the_swap_leaves_the_old_one(renames: int, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with replacing(out) as folder:
        (folder / "train").mkdir()
    process = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_SWAP, str(out), str(renames)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert process.returncode == (-signal.SIGINT if os.name == "posix" else 1), process.stderr
    assert [path.name for path in out.iterdir()] == ["train"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
