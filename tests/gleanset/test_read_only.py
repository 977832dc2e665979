"""A dataset on a medium that cannot be written to: it is read, and a write says why not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from tools_for_tests import Ran, picture, run_cli, run_here

# Mounts the dataset on itself, read-only, for one command alone.
_MOUNTED = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    for seed in range(4):
        (folder / "tree/hana").mkdir(parents=True, exist_ok=True)
        (folder / f"tree/hana/{seed}.jpg").write_bytes(picture(seed))
    root = folder / "dataset"
    for module, *words in (
        ("harvest.cli", "folder", str(folder / "tree"), "--hints-from-folders"),
        ("facecrop.cli", "run", "--detector", "whole", "--workers", "1"),
        ("labeler.cli", "accept-hints"),
        ("labeler.cli", "split", "--ratio", "2:1:1"),
        ("pipeline.cli", "snapshot", "v1"),
    ):
        done = run_here(module, *words, "-q", "-d", root)
        assert done.code == 0, done.stderr
    return root


class Medium:
    """Runs commands for which `root` cannot be written to."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, module: str, *words: str | Path, at: Path | None = None) -> Ran:
        prefix = () if os.geteuid() else ("unshare", "-m", "sh", "-c", _MOUNTED, str(self.root))
        return run_cli(module, *words, "-d", at or self.root, prefix=prefix)


@pytest.fixture
def medium(made: Path, tmp_path: Path) -> Iterator[Medium]:
    root = tmp_path / "medium"
    shutil.copytree(made, root)
    if os.geteuid() == 0:
        tried = shutil.which("unshare") and subprocess.run(
            ["unshare", "-m", "sh", "-c", _MOUNTED, str(root), "true"], capture_output=True
        )
        if not tried or tried.returncode:
            pytest.skip("root may write everywhere, and nothing can be mounted read-only here")
        yield Medium(root)
        return
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    (root / "catalog.sqlite").chmod(0o444)
    for folder in folders:
        folder.chmod(0o555)
    yield Medium(root)
    for folder in folders:
        folder.chmod(0o755)


def test_it_can_be_looked_at_and_exported(medium: Medium, tmp_path: Path) -> None:
    listed = medium.run("pipeline.cli", "list", "samples")
    assert listed.code == 0, listed.stderr
    assert {json.loads(line)["label"] for line in listed.stdout.splitlines()} == {"hana"}
    assert medium.run("pipeline.cli", "status", "--json").json["images"] == 4
    told = medium.run("labeler.cli", "export", tmp_path / "out", "--workers", "1", "--json")
    assert told.code == 0, told.stderr
    assert len(list((tmp_path / "out").rglob("*.jpg"))) == told.json["exported"] == 4


READING = {
    "list": ("pipeline.cli", "list", "images"),
    "status": ("pipeline.cli", "status"),
    "groups": ("labeler.cli", "groups"),
    "find": ("labeler.cli", "find", "{picture}"),
    "verify": ("pipeline.cli", "verify"),
    "gc": ("pipeline.cli", "gc", "-s", "--older", "0h"),
    "forget": ("pipeline.cli", "forget", "-s", "--image", "{picture}"),
    "merge": ("pipeline.cli", "merge", "-s", "{made}"),
    "dedup": ("labeler.cli", "dedup", "-s", "--workers", "1"),
    "quality": ("labeler.cli", "quality", "-s", "--workers", "1"),
    "accept-hints": ("labeler.cli", "accept-hints", "-s"),
    "split": ("labeler.cli", "split", "-s", "--seed", "3"),
    "balance": ("labeler.cli", "balance", "-s"),
    "import": ("labeler.cli", "import", "-s", "{tree}"),
    "export": ("labeler.cli", "export", "-s", "{out}"),
    "facecrop": ("facecrop.cli", "run", "-s", "--detector", "whole"),
    "folder": ("harvest.cli", "folder", "-s", "{tree}"),
    "sweep": ("baseline.cli", "sweep", "-s"),
    "audit": ("labeler.cli", "audit"),
    "report": ("pipeline.cli", "report", "--out", "{out}.html"),
    "snapshot": ("pipeline.cli", "snapshot"),
    "diff": ("pipeline.cli", "diff", "v1"),
    "restore": ("pipeline.cli", "restore", "-s", "v1"),
}
WRITING = {
    "verify": ("pipeline.cli", "verify", "--repair"),
    "dedup": ("labeler.cli", "dedup", "--workers", "1"),
    "quality": ("labeler.cli", "quality", "--workers", "1"),
    "evaluate": ("baseline.cli", "evaluate"),
    "presort": ("baseline.cli", "presort"),
    "folder": ("harvest.cli", "folder", "{tree}"),
    "facecrop": ("facecrop.cli", "run", "--detector", "whole", "--margin", "0.9"),
    "undo": ("labeler.cli", "undo"),
    "gc": ("pipeline.cli", "gc"),
    "report": ("pipeline.cli", "report"),
    "merge": ("pipeline.cli", "merge", "{made}"),
    "snapshot": ("pipeline.cli", "snapshot", "v2"),
    "restore": ("pipeline.cli", "restore", "v1"),
}


def told_apart(commands: dict[str, tuple[str, ...]], few: set[str]) -> list[ParameterSet | str]:
    """All commands by name; those that are not among the `few` only in the long run."""
    return [c if c in few else pytest.param(c, marks=pytest.mark.long) for c in commands]


def run_with_places(medium: Medium, made: Path, tmp_path: Path, words: tuple[str, ...]) -> Ran:
    tree = made.parent / "tree"
    places = {"made": made, "tree": tree, "picture": tree / "hana/0.jpg", "out": tmp_path / "out"}
    return medium.run(*[word.format(**places) for word in words])


@pytest.mark.parametrize("command", told_apart(READING, {"verify", "dedup"}))
def test_simulations_and_readers_need_no_lock(
    medium: Medium, made: Path, tmp_path: Path, command: str
) -> None:
    told = run_with_places(medium, made, tmp_path, READING[command])
    assert told.code == 0, told.stderr


@pytest.mark.parametrize("command", told_apart(WRITING, {"undo", "dedup"}))
def test_what_must_write_says_what_to_do(
    medium: Medium, made: Path, tmp_path: Path, command: str
) -> None:
    told = run_with_places(medium, made, tmp_path, WRITING[command])
    assert (told.code, "Traceback" in told.stderr) == (3, False), told.stderr
    assert "can only be read" in told.stderr
    assert "copy" in told.stderr


def test_another_dataset_that_can_only_be_read_is_merged(medium: Medium, tmp_path: Path) -> None:
    assert run_here("pipeline.cli", "init", "-d", tmp_path / "own").code == 0
    told = medium.run("pipeline.cli", "merge", medium.root, at=tmp_path / "own")
    assert told.code == 0, told.stderr


def test_a_write_says_what_is_wrong(medium: Medium) -> None:
    told = medium.run("labeler.cli", "label", "--reject", "0" * 32)
    assert told.code == 2
    told = medium.run("labeler.cli", "split", "--seed", "1")
    assert (told.code, "Traceback" in told.stderr) == (3, False)
    assert "can only be read" in told.stderr
    assert "copy the dataset" in told.stderr
    before = sorted(path.name for path in medium.root.iterdir())
    assert not [name for name in before if name.endswith(("-wal", "-shm"))]


def test_a_log_that_the_writer_left_is_read_where_its_index_is_there(
    made: Path, tmp_path: Path
) -> None:
    """The folder of somebody who is writing at the moment: what is committed is seen."""
    from gleanset import Dataset
    from gleanset.db.connection import mode_for_reading

    root = tmp_path / "busy"
    shutil.copytree(made, root)
    assert mode_for_reading(root / "catalog.sqlite") == "ro&immutable=1"
    with Dataset.open(root) as dataset, dataset.db.write():
        dataset.db.run("INSERT INTO tombstone VALUES('a', 'b')")
    with Dataset.open(root) as dataset:
        with dataset.db.write():
            dataset.db.run("INSERT INTO tombstone VALUES('c', 'd')")
        assert mode_for_reading(root / "catalog.sqlite") == "ro"
