"""`gleanset gc`: removing what nobody needs any more."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from gleanset import Dataset
from gleanset.db.upkeep import Upkeep
from gleanset.files.atomic import PARTIAL
from pipeline.house.strays import changed, strays


def waste(dataset: Dataset, older_than: float) -> Iterator[Path]:
    """Files without a row, what killed stages left, and copies made before an upgrade.

    `older_than` in seconds spares what may be in use.
    """
    latest = time.time() - older_than
    yield from strays(dataset, Upkeep(dataset.db), older_than)
    scratch = dataset.cache / "scratch"
    yield from (path for path in scratch.glob("*") if not _at_work(dataset, path.name))
    yield from dataset.root.glob("catalog.sqlite.before-*")
    for look in (dataset.root.glob, dataset.cache.rglob, (dataset.root / "runs").rglob):
        for path in look(f"{PARTIAL}*"):
            if scratch not in path.parents and changed(path) <= latest:
                yield path


def collect(dataset: Dataset, older_than: float, *, simulate: bool) -> dict[str, object]:
    """Remove it all, and give the catalogue's free pages back; how much that was."""
    files = freed = 0
    with dataset.stage("gc"):
        for path in waste(dataset, older_than):
            if path.name == "gc":
                continue
            files += 1
            freed += _size(path)
            if not simulate:
                _remove(path)
        if not simulate:
            dataset.db.compact()
    return {"would_remove" if simulate else "removed": files, "bytes": freed}


def _at_work(dataset: Dataset, stage: str) -> bool:
    lock = FileLock(dataset.cache / "locks" / f"{stage}.lock", timeout=0)
    try:
        with lock:
            return False
    except Timeout:
        return True


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
