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


@pytest.fixture(scope="module")
def source_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
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


READING = {
    "list samples": ("pipeline.cli", "list", "samples"),
    "list snapshots": ("pipeline.cli", "list", "snapshots"),
    "status": ("pipeline.cli", "status", "--json"),
    "export": ("labeler.cli", "export", "{out}/export", "--workers", "1", "--json"),
    "verify": ("pipeline.cli", "verify"),
    "forget": ("pipeline.cli", "forget", "-s", "--image", "{tree}/hana/0.jpg"),
    "simulated dedup": ("labeler.cli", "dedup", "-s", "--workers", "1"),
    "simulated split": ("labeler.cli", "split", "-s", "--seed", "3"),
    "simulated folder": ("harvest.cli", "folder", "-s", "{tree}"),
    "simulated restore": ("pipeline.cli", "restore", "-s", "v1"),
    "init": ("pipeline.cli", "init", "-d", "{out}/own"),
    "merge": ("pipeline.cli", "merge", "{root}", "-d", "{out}/own"),
}
WRITING = {
    "dedup": ("labeler.cli", "dedup", "--workers", "1"),
    "folder": ("harvest.cli", "folder", "{tree}"),
    "undo": ("labeler.cli", "undo"),
    "gc": ("pipeline.cli", "gc"),
    "split": ("labeler.cli", "split", "--seed", "1"),
    "snapshot": ("pipeline.cli", "snapshot", "v2"),
}
UNUSABLE = {"unknown sample": ("labeler.cli", "label", "--reject", "0" * 32)}


@pytest.fixture(scope="module")
def root(source_dataset: Path) -> Iterator[Path]:
    """Yield a copy of the dataset that this process cannot write to, unless it is root."""
    root = source_dataset.with_name("medium")
    shutil.copytree(source_dataset, root)
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    (root / "catalog.sqlite").chmod(0o444)
    for folder in folders:
        folder.chmod(0o555)
    yield root
    for folder in folders:
        folder.chmod(0o755)


@pytest.fixture(scope="module")
def results(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """Run all commands in one process, for which `root` is read-only."""
    out = tmp_path_factory.mktemp("out")
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:
        prefix = ("unshare", "-m", "sh", "-c", _MOUNTED, str(root))
        tried = shutil.which("unshare") and subprocess.run([*prefix, "true"], capture_output=True)
        if not tried or tried.returncode:
            pytest.skip("root may write everywhere, and nothing can be mounted read-only here")
    places = {"tree": root.with_name("tree"), "out": out, "root": root}
    commands = {
        name: [
            word.format(**places) for word in (*words, *(() if "-d" in words else ("-d", "{root}")))
        ]
        for name, words in (READING | WRITING | UNUSABLE).items()
    }
    done = subprocess.run(
        [*prefix, sys.executable, "-c", _RUN_ALL],
        env={**os.environ, "PYTHONPATH": python_path(ROOT / "tests")},
        input=json.dumps(list(commands.values())),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(commands, (Ran(*ran) for ran in json.loads(done.stdout)), strict=True))


def test_readers_and_simulations_need_no_lock(results: dict[str, Ran]) -> None:
    assert {name: results[name] for name in READING if results[name].code} == {}
    samples = results["list samples"].stdout.splitlines()
    assert {json.loads(line)["label"] for line in samples} == {"hana"}
    assert results["status"].json["images"] == results["export"].json["exported"] == 4


def test_writers_report_read_only_dataset(root: Path, results: dict[str, Ran]) -> None:
    for name in WRITING:
        result = results[name]
        assert (name, result.code, "Traceback" in result.stderr) == (name, 3, False), result.stderr
        assert "can only be read" in result.stderr
        assert "copy" in result.stderr
    assert results["unknown sample"].code == 2, "usage errors come first"
    names = sorted(path.name for path in root.iterdir())
    assert not [name for name in names if name.endswith(("-wal", "-shm"))]


def test_read_only_mode_reads_log_with_index(source_dataset: Path, tmp_path: Path) -> None:
    """Committed rows are visible while another process is writing."""
    from gleanset import Dataset
    from gleanset.db.connection import read_only_mode

    root = tmp_path / "busy"
    shutil.copytree(source_dataset, root)
    assert read_only_mode(root / "catalog.sqlite") == "ro&immutable=1"
    with Dataset.open(root) as dataset, dataset.db.transaction():
        dataset.db.execute("INSERT INTO tombstone VALUES('a', 'b')")
    with Dataset.open(root) as dataset:
        with dataset.db.transaction():
            dataset.db.execute("INSERT INTO tombstone VALUES('c', 'd')")
        assert read_only_mode(root / "catalog.sqlite") == "ro"
