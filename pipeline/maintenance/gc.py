"""`gleanset gc`: removing what nobody needs any more."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from gleanset import Dataset
from gleanset.db.connection import Connection
from gleanset.db.maintenance import Maintenance
from gleanset.db.reports import Reports
from gleanset.db.snapshots import SNAPSHOT_FOLDER, Snapshots
from gleanset.errors import DatasetBusy
from gleanset.files.atomic import PARTIAL
from gleanset.files.store import EXTENSIONS, Store
from gleanset.work.stage import WAITING, hold

STAGE = "gc"
_BACKUPS = "catalog.sqlite.before-*"
_HALF = ".partial"
_EARLIER_RUNS = ("folds-*", "sweep-*")
"""In `runs/`: what earlier versions kept of trainings that were only measured."""


def collect(
    dataset: Dataset,
    older_than: float,
    *,
    simulate: bool,
    show: Callable[[Path], None] = lambda path: None,
) -> dict[str, object]:
    """Remove what is older than so many seconds, and give the catalogue's free pages back.

    Each path is shown, and the counts tell how much it was. Nothing that is in use is touched.
    """
    tally = {"files": 0, "bytes": 0}
    with dataset.stage(STAGE):
        waste = _Waste(dataset, older_than, simulate=simulate)
        for path, size in waste.collected():
            tally["files"] += 1
            tally["bytes"] += size
            show(path)
        if not simulate:
            dataset.db.vacuum()
    return {"would_remove" if simulate else "removed": tally["files"], "bytes": tally["bytes"]}


class _Waste:
    """What nobody needs. Each part removes its own, under what keeps others from using it."""

    def __init__(self, dataset: Dataset, older_than: float, *, simulate: bool) -> None:
        self._dataset, self._upkeep = dataset, Maintenance(dataset.db)
        self._older_than, self._simulate = older_than, simulate
        self._latest = time.time() - older_than

    def collected(self) -> Iterator[tuple[Path, int]]:
        """(path, bytes) of everything, removed unless it is only simulated."""
        yield from self._strays()
        yield from self._left_by_stages()
        for path in (*self._backups(), *self._partials(), *self._earlier_runs()):
            yield from self._removed(path)

    def _strays(self) -> Iterator[tuple[Path, int]]:
        busy = self._anyone_at_work()
        for stray in orphan_files(self._dataset, self._older_than):
            if busy and stray.awaits_row:
                continue
            if self._simulate or remove_orphan(self._dataset, stray):
                yield stray.file, stray.bytes

    def _left_by_stages(self) -> Iterator[tuple[Path, int]]:
        """Scratch folders, and old files that wait for a run to go on, of stages not at work."""
        cache = self._dataset.root / "cache"
        for path in sorted((*(cache / "scratch").glob("*"), *(cache / WAITING).glob("*/*"))):
            waits = path.parent.parent.name == WAITING
            name = path.parent.name if waits else path.name
            if name != STAGE and not (waits and last_changed(path) > self._latest):
                with suppress(DatasetBusy), hold(self._dataset.cache, name):
                    yield from self._removed(path)

    def _anyone_at_work(self) -> bool:
        for lock in (self._dataset.root / "cache" / "locks").glob("*.lock"):
            if lock.stem != STAGE:
                try:
                    with hold(self._dataset.cache, lock.stem):
                        pass
                except DatasetBusy:
                    return True
        return False

    def _backups(self) -> Iterator[Path]:
        """Copies of the catalogue that are old, but never the newest: it is the only way back."""
        found = [one for one in self._dataset.root.glob(_BACKUPS) if one.suffix != _HALF]
        by_time = sorted((self._made(one), one.name, one) for one in found)
        return (path for made, _, path in by_time[:-1] if made <= self._latest)

    def _made(self, backup: Path) -> float:
        """When a backup was made: just before the migration that it is named after.

        The catalogue knows; a file's own times may be those of another file. Of a migration
        that this catalogue has not seen, the later of them.
        """
        told = self._upkeep.get_migration_time(backup.name.partition(".before-")[2])
        times = backup.stat()
        return max(times.st_mtime, times.st_ctime) if told is None else told

    def _partials(self) -> Iterator[Path]:
        root, cache = self._dataset.root, self._dataset.root / "cache"
        strays = [
            *root.glob(f"{PARTIAL}*"),
            *root.glob(f"{_BACKUPS}{_HALF}"),
            *(root / SNAPSHOT_FOLDER).glob(f"{PARTIAL}*"),
            *cache.rglob(f"{PARTIAL}*"),
            *self._dataset.runs_folder.rglob(f"{PARTIAL}*"),
        ]
        kept = (cache / "scratch", cache / WAITING)
        for path in strays:
            if last_changed(path) <= self._latest and not any(one in path.parents for one in kept):
                yield path

    def _earlier_runs(self) -> Iterator[Path]:
        for pattern in _EARLIER_RUNS:
            for path in sorted(self._dataset.runs_folder.glob(pattern)):
                if path.is_dir() and last_changed(path) <= self._latest:
                    yield path

    def _removed(self, path: Path) -> Iterator[tuple[Path, int]]:
        size = _size(path)
        if not self._simulate:
            _remove(path)
        yield path, size


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


_FORMATS = {extension: name for name, extension in EXTENSIONS.items()}


class Stray(NamedTuple):
    """A file without a row. `awaits_row`: it may be about to get one."""

    file: Path
    bytes: int
    awaits_row: bool
    has_row: Callable[[Path], bool]


def orphan_files(dataset: Dataset, older_than: float = 0.0) -> Iterator[Stray]:
    """Originals and crops without a row, last changed so many seconds ago, and pictures of reports
    from the web that wait no longer. A row of a snapshot counts.

    A crop is written before its row: young ones may be about to get theirs.
    """
    reports = Store(dataset.root / "web" / "reports", dataset.cache)
    originals = dataset.originals(dataset.cache)
    crops = dataset.crops(dataset.cache)
    with Snapshots(dataset.root).open_all() as opened:
        catalogues = [dataset.db, *opened]
        yield from _of(originals, partial(_is_image, catalogues), older_than, False)
        yield from _of(crops, partial(_is_crop, catalogues), older_than, True)
        yield from _of(reports, partial(_is_reported, catalogues), older_than, False)


def _of(
    store: Store, has_row: Callable[[Path], bool], older_than: float, awaits_row: bool
) -> Iterator[Stray]:
    for file, size, changed in store.each():
        if changed <= time.time() - older_than and not has_row(file):
            yield Stray(file, size, awaits_row, has_row)


def _is_crop(catalogues: list[Connection], file: Path) -> bool:
    return any(Maintenance(db).has_sample(file.stem) for db in catalogues)


def _is_image(catalogues: list[Connection], file: Path) -> bool:
    format_ = _FORMATS.get(file.suffix.lstrip("."), "")
    return any(Maintenance(db).has_image(file.stem, format_) for db in catalogues)


def _is_reported(catalogues: list[Connection], file: Path) -> bool:
    return any(Reports(db).has_pending(file.stem) for db in catalogues)


def remove_orphan(dataset: Dataset, stray: Stray) -> bool:
    """Remove a file that still has no row, while nobody can write one; whether it was so."""
    with dataset.db.transaction():
        if stray.has_row(stray.file):
            return False
        stray.file.unlink(missing_ok=True)
    return True


def last_changed(path: Path) -> float:
    """When a file was last changed; now, where nobody can say."""
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()
