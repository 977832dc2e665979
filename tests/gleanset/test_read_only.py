"""A dataset on a read-only medium: it can be read, and a write reports why it fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools_for_tests import ROOT, Ran, picture, python_path, run_here

# Mounts the dataset read-only over itself, for one command.
_MOUNTED = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
_RUN_ALL = """
import json, sys
from tools_for_tests import run_here
print(json.dumps([run_here(*words) for words in json.load(sys.stdin)]))
"""

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
        ("labeler.cli", "accept", "hints"),
        ("labeler.cli", "split", "--ratio", "2:1:1"),
        ("pipeline.cli", "snapshot", "v1"),
    ):
        done = run_here(module, *words, "-q", "-d", root)
        assert done.code == 0, done.stderr
    return root


class Medium:
    """A medium where `root` is read-only; runs commands in one process."""

    def __init__(self, root: Path, prefix: tuple[str, ...] = ()) -> None:
        self.root, self.prefix = root, prefix

    def run(self, *commands: tuple[str, ...]) -> list[Ran]:
        named = [words if "-d" in words else (*words, "-d", str(self.root)) for words in commands]
        done = subprocess.run(
            [*self.prefix, sys.executable, "-c", _RUN_ALL],
            env={**os.environ, "PYTHONPATH": python_path(ROOT / "tests")},
            input=json.dumps(named),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return [Ran(*ran) for ran in json.loads(done.stdout)]


@pytest.fixture(scope="module")
def medium(made: Path) -> Iterator[Medium]:
    root = made.with_name("medium")
    shutil.copytree(made, root)
    if os.geteuid() == 0:
        prefix = ("unshare", "-m", "sh", "-c", _MOUNTED, str(root))
        tried = shutil.which("unshare") and subprocess.run([*prefix, "true"], capture_output=True)
        if not tried or tried.returncode:
            pytest.skip("root may write everywhere, and nothing can be mounted read-only here")
        yield Medium(root, prefix)
        return
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    (root / "catalog.sqlite").chmod(0o444)
    for folder in folders:
        folder.chmod(0o555)
    yield Medium(root)
    for folder in folders:
        folder.chmod(0o755)


def test_it_can_be_looked_at_and_exported(medium: Medium, tmp_path: Path) -> None:
    listed, status, exported = medium.run(
        ("pipeline.cli", "list", "samples"),
        ("pipeline.cli", "status", "--json"),
        ("labeler.cli", "export", str(tmp_path / "out"), "--workers", "1", "--json"),
    )
    assert listed.code == 0, listed.stderr
    assert {json.loads(line)["label"] for line in listed.stdout.splitlines()} == {"hana"}
    assert status.json["images"] == 4
    assert exported.code == 0, exported.stderr
    assert len(list((tmp_path / "out").rglob("*.jpg"))) == exported.json["exported"] == 4


READING = {
    "verify": ("pipeline.cli", "verify"),
    "forget": ("pipeline.cli", "forget", "-s", "--image", "{picture}"),
    "dedup": ("labeler.cli", "dedup", "-s", "--workers", "1"),
    "split": ("labeler.cli", "split", "-s", "--seed", "3"),
    "folder": ("harvest.cli", "folder", "-s", "{tree}"),
    "restore": ("pipeline.cli", "restore", "-s", "v1"),
}
WRITING = {
    "dedup": ("labeler.cli", "dedup", "--workers", "1"),
    "folder": ("harvest.cli", "folder", "{tree}"),
    "undo": ("labeler.cli", "undo"),
    "gc": ("pipeline.cli", "gc"),
    "snapshot": ("pipeline.cli", "snapshot", "v2"),
}


def run_all(medium: Medium, folder: Path, commands: dict[str, tuple[str, ...]]) -> dict[str, Ran]:
    """Run the commands; `folder` contains the dataset's source tree."""
    places = {"tree": folder / "tree", "picture": folder / "tree/hana/0.jpg"}
    lines = [tuple(word.format(**places) for word in words) for words in commands.values()]
    return dict(zip(commands, medium.run(*lines), strict=True))


def test_simulations_and_readers_need_no_lock(medium: Medium, made: Path) -> None:
    done = run_all(medium, made.parent, READING)
    assert {name: ran for name, ran in done.items() if ran.code} == {}


def test_what_must_write_says_what_to_do(medium: Medium, made: Path) -> None:
    for name, ran in run_all(medium, made.parent, WRITING).items():
        assert (name, ran.code, "Traceback" in ran.stderr) == (name, 3, False), ran.stderr
        assert "can only be read" in ran.stderr
        assert "copy" in ran.stderr


def test_another_dataset_that_can_only_be_read_is_merged(medium: Medium, tmp_path: Path) -> None:
    own = str(tmp_path / "own")
    assert run_here("pipeline.cli", "init", "-d", own).code == 0
    [merged] = medium.run(("pipeline.cli", "merge", str(medium.root), "-d", own))
    assert merged.code == 0, merged.stderr


def test_a_write_says_what_is_wrong(medium: Medium) -> None:
    no_sample, split = medium.run(
        ("labeler.cli", "label", "--reject", "0" * 32), ("labeler.cli", "split", "--seed", "1")
    )
    assert no_sample.code == 2
    assert (split.code, "Traceback" in split.stderr) == (3, False)
    assert "copy the dataset" in split.stderr
    before = sorted(path.name for path in medium.root.iterdir())
    assert not [name for name in before if name.endswith(("-wal", "-shm"))]


def test_a_log_that_the_writer_left_is_read_where_its_index_is_there(
    made: Path, tmp_path: Path
) -> None:
    """Committed rows are visible while another process is writing."""
    from gleanset import Dataset
    from gleanset.db.connection import read_only_mode

    root = tmp_path / "busy"
    shutil.copytree(made, root)
    assert read_only_mode(root / "catalog.sqlite") == "ro&immutable=1"
    with Dataset.open(root) as dataset, dataset.db.transaction():
        dataset.db.execute("INSERT INTO tombstone VALUES('a', 'b')")
    with Dataset.open(root) as dataset:
        with dataset.db.transaction():
            dataset.db.execute("INSERT INTO tombstone VALUES('c', 'd')")
        assert read_only_mode(root / "catalog.sqlite") == "ro"
