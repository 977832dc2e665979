"""`gleanset gc` and `verify`: files without rows, and checks of files against hashes."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from curation.split_groups import find_straddling_groups
from gleanset import Dataset
from gleanset.command_result import CommandResult
from gleanset.db.connection import Connection
from gleanset.db.maintenance import (
    Contradiction,
    Maintenance,
    StoredImage,
    find_contradictions,
)
from gleanset.db.reports import Reports
from gleanset.db.snapshots import SNAPSHOT_FOLDER
from gleanset.errors import DatasetBusy, DiskFull, Unreadable
from gleanset.files.atomic import PARTIAL_PREFIX
from gleanset.files.store import (
    EXTENSIONS,
    FILE_GONE,
    FILE_UNREADABLE,
    Store,
    hash_file,
    read_original,
)
from gleanset.html.words import count, format_bytes
from gleanset.images.decode import decode
from gleanset.named_files import MAX_LISTED, preview_paths
from gleanset.platform import count_cores
from gleanset.records import Rejection
from gleanset.work.pool import Processes, Threads, run_over
from gleanset.work.progress import Progress
from gleanset.work.stage import hold_lock, is_running

GC_STAGE = "gc"
VERIFY_STAGE = "verify"
_BACKUPS = "catalog.sqlite.before-*"
_PARTIAL_SUFFIX = ".partial"


class GarbageResult(CommandResult, kw_only=True):
    """Files that were removed, or would be, with their paths."""

    removed: int | None = None
    would_remove: int | None = None
    bytes: int
    paths: list[str] = []

    def summary(self) -> dict[str, Any]:
        """Return the number and size of the files, then the first paths."""
        return {
            "files removed": self.removed,
            "files to remove": self.would_remove,
            "size": format_bytes(self.bytes) if self.bytes else "",
            **preview_paths(self.paths),
        }


def collect_garbage(
    dataset: Dataset, older_than: float, *, simulate: bool
) -> GarbageResult:
    """Remove unreferenced files older than `older_than` seconds, and compact the catalogue.

    Files in use stay. A simulation lists the paths.
    """
    collector = _GarbageCollector(
        dataset,
        Maintenance(dataset.db),
        simulate,
        time.time() - older_than,
    )
    with dataset.stage(GC_STAGE):
        files = list(collector.collect())
        if not simulate:
            # VACUUM writes a copy of the catalogue. A full disk has no room for it, but gc should
            # not fail there.
            with suppress(DiskFull):
                dataset.db.execute("VACUUM")

    size = sum(size for _, size in files)
    if simulate:
        return GarbageResult(
            would_remove=len(files), bytes=size, paths=[str(path) for path, _ in files]
        )
    return GarbageResult(removed=len(files), bytes=size)


@dataclass
class _GarbageCollector:
    """Finds garbage of each kind and removes it under the lock that guards it.

    Files that changed after `_latest_change` (seconds since 1970) stay.
    """

    _dataset: Dataset
    _maintenance: Maintenance
    _simulate: bool
    _latest_change: float

    def collect(self) -> Iterator[tuple[Path, int]]:
        """Remove all garbage, unless simulating; yield (path, bytes)."""
        yield from self._collect_orphans()
        yield from self._collect_stage_leftovers()
        for path in (*self._list_old_backups(), *self._list_partial_files()):
            yield from self._remove(path)

    def _collect_orphans(self) -> Iterator[tuple[Path, int]]:
        refused_images = self._list_old_refused_images()
        if self._simulate:
            for file in refused_images.values():
                if file.exists():
                    yield file, file.stat().st_size
        else:
            # Without rows, their files are orphans, which are collected below.
            self._maintenance.remove_refused_images(refused_images)

        is_any_stage_running = self._is_any_stage_running()
        for orphan in find_orphan_files(self._dataset, self._latest_change):
            # A running stage may have written the file, and adds its row next.
            if is_any_stage_running and orphan.awaits_row:
                continue
            if self._simulate or remove_orphan(self._dataset, orphan):
                yield orphan.file, orphan.bytes

    def _list_old_refused_images(self) -> dict[str, Path]:
        """Return the files of reports that were accepted, then refused, by hash."""
        originals = self._dataset.originals()
        files = {}
        for sha256, kind in self._maintenance.list_refused_images():
            file = originals.path(sha256, kind)
            if not file.exists() or file.stat().st_mtime <= self._latest_change:
                files[sha256] = file
        return files

    def _collect_stage_leftovers(self) -> Iterator[tuple[Path, int]]:
        """Remove scratch folders of stages that are not running."""
        scratch = self._dataset.cache / "scratch"
        for path in sorted(scratch.glob("*")):
            if path.name != GC_STAGE:
                # A running stage holds its lock.
                with suppress(DatasetBusy), hold_lock(self._dataset.cache, path.name):
                    yield from self._remove(path)

    def _is_any_stage_running(self) -> bool:
        cache = self._dataset.cache
        return any(
            is_running(cache, lock.stem)
            for lock in (cache / "locks").glob("*.lock")
            if lock.stem != GC_STAGE
        )

    def _list_old_backups(self) -> Iterator[Path]:
        """Yield old copies of the catalogue, except the newest, which the user may need."""
        # Their names end in numbered migrations: the last one is the newest, whatever the times of
        # the files, which a copy of the dataset may change.
        backups = sorted(
            path
            for path in self._dataset.root.glob(_BACKUPS)
            if path.suffix != _PARTIAL_SUFFIX
        )
        for path in backups[:-1]:
            if path.stat().st_mtime <= self._latest_change:
                yield path

    def _list_partial_files(self) -> Iterator[Path]:
        root = self._dataset.root
        cache = self._dataset.cache
        pattern = f"{PARTIAL_PREFIX}*"
        partial_files = [
            *root.glob(pattern),
            *root.glob(f"{_BACKUPS}{_PARTIAL_SUFFIX}"),
            *(root / SNAPSHOT_FOLDER).glob(pattern),
            *cache.rglob(pattern),
            *self._dataset.runs_folder.rglob(pattern),
        ]

        for path in partial_files:
            with suppress(OSError):  # removed meanwhile
                is_old = path.stat().st_mtime <= self._latest_change
                # Files of stages that may be running are collected with their folders.
                if is_old and cache / "scratch" not in path.parents:
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


IsKnown = Callable[[Connection, Path], bool]
_FORMATS = {f".{extension}": name for name, extension in EXTENSIONS.items()}


class OrphanFile(NamedTuple):
    """A file without a row; one that `awaits_row` may be about to get it."""

    file: Path
    bytes: int
    awaits_row: bool
    has_row: Callable[[Path], bool]


def find_orphan_files(dataset: Dataset, latest_change: float) -> Iterator[OrphanFile]:
    """Yield originals, crops and images of reports without a row in the catalogue or a snapshot.

    Files changed after `latest_change` are left out: a crop is written before its row.
    """
    crops = dataset.crops()
    stores: tuple[tuple[Store, IsKnown], ...] = (
        (
            dataset.originals(),
            # A SHA-256 has 64 digits; a shorter name may be of another program.
            lambda db, file: (
                len(file.stem) < 64
                or Maintenance(db).has_image(file.stem, _FORMATS.get(file.suffix, ""))
            ),
        ),
        (crops, lambda db, file: Maintenance(db).has_sample(file.stem)),
        (
            dataset.report_images(),
            lambda db, file: Reports(db).has_pending(file.stem),
        ),
    )

    with dataset.snapshots.open_all() as snapshots:
        catalogues = [dataset.db, *snapshots]
        for store, is_known in stores:
            has_row = partial(_is_in_any, is_known, catalogues)
            for file, size, change in store.iter_files():
                if change <= latest_change and not has_row(file):
                    yield OrphanFile(file, size, store is crops, has_row)


def _is_in_any(is_known: IsKnown, catalogues: list[Connection], file: Path) -> bool:
    return any(is_known(db, file) for db in catalogues)


def remove_orphan(dataset: Dataset, orphan: OrphanFile) -> bool:
    """Remove a file unless it has a row by now; return whether it was removed."""
    with dataset.db.transaction():  # so that no other process adds the row meanwhile
        if orphan.has_row(orphan.file):
            return False
        orphan.file.unlink(missing_ok=True)
    return True


DAMAGED = "damaged"
_RESULT_FIELDS = {None: "sound", FILE_GONE: "gone", DAMAGED: "damaged"}
"""Fields of `VerifyResult` that count images, by the reason of `check_hash`."""


def check_hash(store: Store, item: StoredImage) -> bool:
    """Return True for a sound stored file. Raises `Unreadable` if it is missing or damaged."""
    try:
        sha256 = store.compute_hash(item.sha256, item.format)
    except OSError as error:
        raise Unreadable(FILE_UNREADABLE, str(error)) from error
    if sha256 is None:
        raise Unreadable(FILE_GONE)
    if sha256 != item.sha256:
        raise Unreadable(DAMAGED, f"SHA-256 of the file: {sha256}")
    return True


class VerifyResult(CommandResult):
    """Counts of images, crops and files by their state, and of contradictions in the catalogue."""

    WORDS = {
        "gone": "missing",
        "gone_crops": "crops missing",
        "damaged_crops": "crops damaged",
        "unreadable_crops": "crops unreadable",
        "orphan_rows": "rows that refer to nothing",
        "straddling_groups": "groups in several splits",
    }

    images: int
    sound: int
    gone: int
    damaged: int
    unreadable: int
    repaired: int
    gone_crops: int
    damaged_crops: int
    unreadable_crops: int
    unused_files: int
    orphan_rows: int
    duplicate_faces: int
    disputed_labels: int
    straddling_groups: int
    contradictions: list[str] = []
    catalogue: list[str] = []

    @property
    def damage(self) -> str:
        """The damage that remains, in one line; "" for none."""
        images = self.gone + self.damaged - self.repaired
        crops = self.gone_crops + self.damaged_crops + self.unreadable_crops
        parts = []
        if images:
            parts.append(f"{count(images, 'image')} missing or damaged")
        if self.unreadable:
            parts.append(f"{count(self.unreadable, 'image')} unreadable")
        if crops:
            parts.append(f"{count(crops, 'crop')} missing, damaged or unreadable")
        if self.catalogue:
            parts.append("the catalogue is damaged")
        return "; ".join(parts)

    def list_fixes(self) -> list[str]:
        """Return what to do about the findings that are not damage of images."""
        fixes = {
            "crops missing": (self.gone_crops, "crop again with facecrop run"),
            "crops damaged": (
                self.damaged_crops,
                "move them away with --repair, then crop again with facecrop run",
            ),
            "disputed labels": (
                self.disputed_labels,
                "return them to the queue with labeler accept hints",
            ),
            "groups in several splits": (
                self.straddling_groups,
                "assign each group to one split with labeler split",
            ),
            "unused files": (
                self.unused_files,
                "gleanset gc --simulate --older 0d lists them",
            ),
        }
        return [f"{name}: {fix}" for name, (number, fix) in fixes.items() if number]


def verify(dataset: Dataset, *, repair: bool, progress: Progress) -> VerifyResult:
    """Check a dataset, repair it if asked to, and return the counts.

    A missing or damaged image is copied again from its local file or from a quarantined file with
    the right bytes. Otherwise it is marked as missing: detectors skip it, and its harvest downloads
    it again. Damaged files are quarantined. Unreadable files may be intact and stay.
    Contradictions in the catalogue are counted, never repaired.
    """
    maintenance = Maintenance(dataset.db)
    with dataset.stage(VERIFY_STAGE) as scratch:
        originals = dataset.originals(scratch)
        checker = _ImageChecker(dataset, maintenance, originals, repair)
        total = dataset.images.count()
        outcomes = run_over(
            partial(check_hash, originals),
            maintenance.iter_images(),
            # In threads, as hashing releases the GIL.
            Threads(2 * count_cores()),
        )
        for outcome in progress.over(outcomes, "verify", total=total):
            checker.record(outcome.item, outcome.reason, outcome.detail)

        result = checker.result
        result.images = total
        crops = dataset.crops(scratch)
        result.gone_crops = _count_missing_crops(maintenance, crops)
        _check_crops(result, crops, progress, repair=repair)
        result.unused_files = sum(1 for _ in find_orphan_files(dataset, time.time()))
        contradictions = _find_all_contradictions(dataset)
        result.catalogue = maintenance.check_integrity()

    for finding in contradictions.values():
        result.contradictions += finding.examples
    return result.with_facts(
        {name: finding.cases for name, finding in contradictions.items()}
    )


def _count_missing_crops(maintenance: Maintenance, crops: Store) -> int:
    # By folder, the first two digits of a key, so that each folder is listed once.
    folders = groupby(maintenance.iter_cropped_samples(), lambda key: key[:2])
    return sum(
        len(set(keys).difference(crops.list_names(prefix))) for prefix, keys in folders
    )


def _find_all_contradictions(dataset: Dataset) -> dict[str, Contradiction]:
    """Return those that SQL finds, and all groups in several splits."""
    contradictions = find_contradictions(dataset.db)
    groups = find_straddling_groups(dataset.db)
    contradictions["straddling_groups"] = Contradiction(
        len(groups),
        tuple(
            f"the group of {group.key} is in several splits"
            for group in groups[:MAX_LISTED]
        ),
    )
    return contradictions


@dataclass
class _ImageChecker:
    """Counts images by their state in `result`; with `repair`, repairs those that are not sound."""

    dataset: Dataset
    maintenance: Maintenance
    store: Store
    repair: bool

    def __post_init__(self) -> None:
        names = [
            info.name for info in msgspec.structs.fields(VerifyResult) if info.required
        ]
        counts: dict[str, Any] = dict.fromkeys(names, 0)
        self.result = VerifyResult(**counts)

    def record(self, item: StoredImage, reason: str | None, detail: str) -> None:
        is_sound = reason is None and item.state == "ok"
        # An unreadable file may be intact.
        if not self.repair or is_sound or reason == FILE_UNREADABLE:
            self._count(reason)
            return

        # The lock keeps other processes from writing the file or removing the image.
        with self.dataset.db.transaction():
            if self.maintenance.has_image(item.sha256, item.format):
                self._count(reason)
                self._repair(item, reason, detail)

    def _count(self, reason: str | None) -> None:
        name = _RESULT_FIELDS.get(reason, "unreadable")
        setattr(self.result, name, getattr(self.result, name) + 1)

    def _repair(self, item: StoredImage, reason: str | None, detail: str) -> None:
        """Restore a file, or mark its image as missing.

        `reason` is None for a sound file of an image that is marked so.
        """
        if reason is None:
            # It was missing at an earlier check, and is back.
            self._mark_present(item)
        elif self._restore_file(item):
            self.result.repaired += 1
        else:
            self.dataset.rejections.add(
                Rejection(VERIFY_STAGE, item.sha256, reason, detail)
            )
            if item.state == "ok":
                self.maintenance.mark_missing(item.sha256)

    def _restore_file(self, item: StoredImage) -> bool:
        """Put a copy in the place of a missing or damaged file; return whether there is one."""
        # Read again under the lock: another process may have restored it.
        if self.store.compute_hash(item.sha256, item.format) != item.sha256:
            data = self._find_copy(item.sha256)
            self.store.quarantine(self.store.path(item.sha256, item.format))
            if data is None:
                return False
            self.store.put(item.sha256, item.format, data)
        self._mark_present(item)
        return True

    def _find_copy(self, sha256: str) -> bytes | None:
        local_files = map(Path, self.maintenance.list_local_paths(sha256))
        for source in (*local_files, *self.store.find_quarantined(sha256)):
            with suppress(OSError):
                if hash_file(source) == sha256:
                    return source.read_bytes()
        return None

    def _mark_present(self, item: StoredImage) -> None:
        self.dataset.images.mark_present(item.sha256)
        self.dataset.rejections.remove(VERIFY_STAGE, item.sha256)


def _check_crops(
    result: VerifyResult, crops: Store, progress: Progress, *, repair: bool
) -> None:
    """Count the crops that cannot be decoded, and quarantine them with `repair`."""
    files = [file for file, _, _ in crops.iter_files()]
    outcomes = run_over(check_decodable, files, Processes())
    for outcome in progress.over(outcomes, "crops", total=len(files), unit=" crops"):
        if outcome.reason in (FILE_GONE, FILE_UNREADABLE):
            result.unreadable_crops += 1
        elif outcome.result is None:
            result.damaged_crops += 1
            if repair:
                crops.quarantine(outcome.item)


def check_decodable(file: Path) -> bool:
    """Return True if a whole image can be decoded. Raises `Unreadable`."""
    decode(read_original(file), min_side=1, mode="L")
    return True
