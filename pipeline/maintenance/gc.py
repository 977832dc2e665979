"""`gleanset gc`: removal of unreferenced files."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gleanset import Dataset
from gleanset.db.maintenance import Maintenance
from gleanset.db.reports import Reports
from gleanset.db.snapshots import SNAPSHOT_FOLDER, Snapshots
from gleanset.errors import DatasetBusy
from gleanset.files.atomic import PARTIAL_PREFIX
from gleanset.files.store import EXTENSIONS, Store
from gleanset.work.stage import hold_lock

STAGE = "gc"
_BACKUPS = "catalog.sqlite.before-*"
_UNFINISHED = ".partial"


def collect_garbage(
    dataset: Dataset,
    older_than: float,
    *,
    simulate: bool,
    show: Callable[[Path], None] = lambda path: None,
) -> dict[str, object]:
    """Remove unreferenced files older than `older_than` seconds, and compact the catalogue.

    Calls `show` for each path; returns the number of files and bytes. Files in use stay.
    """
    tally = {"files": 0, "bytes": 0}
    with dataset.stage(STAGE):
        collector = _GarbageCollector(dataset, older_than, simulate=simulate)
        for path, size in collector.collect():
            tally["files"] += 1
            tally["bytes"] += size
            show(path)
        if not simulate:
            dataset.db.vacuum()
    return {"would_remove" if simulate else "removed": tally["files"], "bytes": tally["bytes"]}


class _GarbageCollector:
    """Finds garbage of each kind and removes it under the lock that guards it."""

    def __init__(self, dataset: Dataset, older_than: float, *, simulate: bool) -> None:
        self._dataset, self._maintenance = dataset, Maintenance(dataset.db)
        self._older_than, self._simulate = older_than, simulate
        self._latest_change = time.time() - older_than

    def collect(self) -> Iterator[tuple[Path, int]]:
        """Remove all garbage, unless simulating; yield (path, bytes)."""
        yield from self._collect_orphans()
        yield from self._collect_stage_leftovers()
        for path in (*self._old_backups(), *self._partial_files()):
            yield from self._remove(path)

    def _collect_orphans(self) -> Iterator[tuple[Path, int]]:
        busy = self._is_any_stage_running()
        for orphan in orphan_files(self._dataset, self._older_than):
            if busy and orphan.awaits_row:
                continue
            if self._simulate or remove_orphan(self._dataset, orphan):
                yield orphan.file, orphan.bytes

    def _collect_stage_leftovers(self) -> Iterator[tuple[Path, int]]:
        """Remove scratch folders of stages that are not running."""
        for path in sorted((self._dataset.root / "cache" / "scratch").glob("*")):
            if path.name != STAGE:
                with suppress(DatasetBusy), hold_lock(self._dataset.cache, path.name):
                    yield from self._remove(path)

    def _is_any_stage_running(self) -> bool:
        for lock in (self._dataset.root / "cache" / "locks").glob("*.lock"):
            if lock.stem != STAGE:
                try:
                    with hold_lock(self._dataset.cache, lock.stem):
                        pass
                except DatasetBusy:
                    return True
        return False

    def _old_backups(self) -> Iterator[Path]:
        """Yield old copies of the catalogue, except the newest, which the user may need."""
        backups = [path for path in self._dataset.root.glob(_BACKUPS) if path.suffix != _UNFINISHED]
        by_time = sorted((self._backup_time(path), path.name, path) for path in backups)
        return (path for time_, _, path in by_time[:-1] if time_ <= self._latest_change)

    def _backup_time(self, backup: Path) -> float:
        """Return the time of the migration in the backup's name, else the file's.

        File times are less reliable: a copy of a dataset may keep those of other files.
        """
        migrated_at = self._maintenance.get_migration_time(backup.name.partition(".before-")[2])
        times = backup.stat()
        return max(times.st_mtime, times.st_ctime) if migrated_at is None else migrated_at

    def _partial_files(self) -> Iterator[Path]:
        root, cache = self._dataset.root, self._dataset.root / "cache"
        partial_files = [
            *root.glob(f"{PARTIAL_PREFIX}*"),
            *root.glob(f"{_BACKUPS}{_UNFINISHED}"),
            *(root / SNAPSHOT_FOLDER).glob(f"{PARTIAL_PREFIX}*"),
            *cache.rglob(f"{PARTIAL_PREFIX}*"),
            *self._dataset.runs_folder.rglob(f"{PARTIAL_PREFIX}*"),
        ]
        for path in partial_files:
            is_scratch = cache / "scratch" in path.parents
            if last_changed(path) <= self._latest_change and not is_scratch:
                yield path

    def _remove(self, path: Path) -> Iterator[tuple[Path, int]]:
        files = path.rglob("*") if path.is_dir() else [path]
        size = sum(file.stat().st_size for file in files if file.is_file())
        if not self._simulate:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        yield path, size


_FORMATS = {extension: name for name, extension in EXTENSIONS.items()}


class OrphanFile(NamedTuple):
    """A file without a row; one that `awaits_row` may be about to get it."""

    file: Path
    bytes: int
    awaits_row: bool
    has_row: Callable[[Path], bool]


def orphan_files(dataset: Dataset, older_than: float = 0.0) -> Iterator[OrphanFile]:
    """Yield originals, crops and images of reports without a row in the catalogue or a snapshot.

    Files changed in the last `older_than` seconds are left out: a crop is written before its row.
    """
    reports = Store(dataset.root / "web" / "reports", dataset.cache)
    originals = dataset.originals(dataset.cache)
    crops = dataset.crops(dataset.cache)
    with Snapshots(dataset.root).open_all() as opened:
        catalogues = [dataset.db, *opened]

        def is_image(file: Path) -> bool:
            format_ = _FORMATS.get(file.suffix.lstrip("."), "")
            return any(Maintenance(db).has_image(file.stem, format_) for db in catalogues)

        def is_crop(file: Path) -> bool:
            return any(Maintenance(db).has_sample(file.stem) for db in catalogues)

        def is_reported(file: Path) -> bool:
            return any(Reports(db).has_pending(file.stem) for db in catalogues)

        yield from _orphans_in(originals, is_image, older_than, False)
        yield from _orphans_in(crops, is_crop, older_than, True)
        yield from _orphans_in(reports, is_reported, older_than, False)


def _orphans_in(
    store: Store, has_row: Callable[[Path], bool], older_than: float, awaits_row: bool
) -> Iterator[OrphanFile]:
    for file, size, changed in store.iter_files():
        if changed <= time.time() - older_than and not has_row(file):
            yield OrphanFile(file, size, awaits_row, has_row)


def remove_orphan(dataset: Dataset, orphan: OrphanFile) -> bool:
    """Remove a file unless it has a row by now; return whether it was removed."""
    with dataset.db.transaction():  # so that no other process adds the row meanwhile
        if orphan.has_row(orphan.file):
            return False
        orphan.file.unlink(missing_ok=True)
    return True


def last_changed(path: Path) -> float:
    """Return the modification time of a file; the present time if it is unknown."""
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()
