"""`gleanset verify`: checks of files against hashes, and of rows against files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from gleanset import Dataset
from gleanset.db.maintenance import Maintenance, StoredImage, find_contradictions
from gleanset.errors import Unreadable
from gleanset.files.store import FILE_GONE, FILE_UNREADABLE, Store, hash_bytes, hash_file
from gleanset.html.words import count
from gleanset.images.decode import decode
from gleanset.platform import count_cores
from gleanset.records import Rejection
from gleanset.work.pool import Processes, Threads, run_over
from gleanset.work.progress import Progress
from pipeline.maintenance.gc import orphan_files

STAGE = "verify"
DAMAGED = "damaged"
_DAMAGE = "gone", "damaged", "unreadable", "gone_crops", "damaged_crops", "unreadable_crops"
_COUNTED = {FILE_GONE: "gone", DAMAGED: "damaged", FILE_UNREADABLE: "unreadable"}


@dataclass(frozen=True, slots=True)
class FileHashCheck:
    """Checks the stored file of one image; runs in threads, as hashing releases the GIL."""

    store: Store

    def __call__(self, item: StoredImage) -> bool:
        """Return True. Raises `Unreadable` for a missing or damaged file."""
        try:
            stored = self.store.compute_hash(item.sha256, item.format)
        except OSError as error:
            raise Unreadable(FILE_UNREADABLE, str(error)) from error
        if stored is None:
            raise Unreadable(FILE_GONE)
        if stored != item.sha256:
            raise Unreadable(DAMAGED, f"SHA-256 of the file: {stored}")
        return True


def verify(dataset: Dataset, *, repair: bool, progress: Progress) -> dict[str, object]:
    """Check a dataset, repair it if asked to, and return the counts.

    A missing or damaged image is copied again from its local file or from a quarantined file with
    the right bytes. Otherwise it is marked as missing: detectors skip it, and its harvest downloads
    it again. Damaged files are quarantined. Unreadable files may be intact and stay.
    Contradictions in the catalogue are counted, never repaired.
    """
    maintenance = Maintenance(dataset.db)
    with dataset.stage(STAGE) as scratch:
        checker = _ImageChecker(dataset, maintenance, dataset.originals(scratch), repair)
        total = dataset.images.count()
        outcomes = run_over(
            FileHashCheck(checker.store), maintenance.iter_images(), Threads(2 * count_cores())
        )
        for outcome in progress.over(outcomes, "verify", total=total):
            checker.record(outcome.item, outcome.reason, outcome.detail)
        findings: dict[str, object] = {"images": total, **checker.counts}
        crops = dataset.crops(scratch)
        findings["gone_crops"] = sum(
            key not in names
            for prefix, keys in groupby(maintenance.iter_cropped_samples(), lambda key: key[:2])
            for names in (crops.list_names(prefix),)
            for key in keys
        )
        findings |= _check_crops(crops, repair, progress)
        findings["strays"] = sum(1 for _ in orphan_files(dataset))
        contradictions = find_contradictions(dataset.db)
        findings |= {name: finding.cases for name, finding in contradictions.items()}
        if examples := [line for finding in contradictions.values() for line in finding.examples]:
            findings["contradictions"] = examples
        if damage := maintenance.check_integrity():
            findings["catalogue"] = damage
    return findings


def summarize_damage(counts: Mapping[str, object]) -> str:
    """Return the damage that remains after `verify` in one line; '' for none."""
    damage = {name: int(str(counts[name])) for name in _DAMAGE}
    lost = damage["gone"] + damage["damaged"] - int(str(counts["repaired"]))
    crops = sum(number for name, number in damage.items() if name.endswith("crops"))
    parts = [
        f"{count(lost, 'image')} missing or damaged" if lost else "",
        f"{count(damage['unreadable'], 'image')} unreadable" if damage["unreadable"] else "",
        f"{count(crops, 'crop')} missing, damaged or unreadable" if crops else "",
        "the catalogue is damaged" if "catalogue" in counts else "",
    ]
    return "; ".join(filter(None, parts))


@dataclass
class _ImageChecker:
    dataset: Dataset
    maintenance: Maintenance
    store: Store
    repair: bool

    def __post_init__(self) -> None:
        self.counts: Counter[str] = Counter(sound=0, gone=0, damaged=0, unreadable=0, repaired=0)

    def record(self, item: StoredImage, reason: str | None, detail: str) -> None:
        if not self.repair or reason == FILE_UNREADABLE or (reason is None and item.state == "ok"):
            self._count(reason)
            return
        # The lock keeps other processes from writing the file or removing the image.
        with self.dataset.db.transaction():
            if self.maintenance.has_image(item.sha256, item.format):
                self._count(reason)
                self._repair(item, reason, detail)

    def _count(self, reason: str | None) -> None:
        self.counts["sound" if reason is None else _COUNTED[reason]] += 1

    def _repair(self, item: StoredImage, reason: str | None, detail: str) -> None:
        if reason is None:
            if item.state == "missing":
                self._mark_present(item)
        elif self._restore_file(item):
            self.counts["repaired"] += 1
        else:
            self.dataset.rejections.add(Rejection(STAGE, item.sha256, reason, detail))
            if item.state == "ok":
                self.maintenance.mark_missing(item.sha256)

    def _restore_file(self, item: StoredImage) -> bool:
        if self.store.compute_hash(item.sha256, item.format) != item.sha256:
            data = self._find_copy(item.sha256)
            self.store.quarantine(self.store.path(item.sha256, item.format))
            if data is None:
                return False
            self.store.put(item.sha256, item.format, data)
        self._mark_present(item)
        return True

    def _find_copy(self, sha256: str) -> bytes | None:
        for source in map(Path, self.maintenance.list_local_paths(sha256)):
            with suppress(OSError):
                if hash_file(source) == sha256:
                    return source.read_bytes()
        copies = self.store.read_quarantined(sha256)
        return next((data for data in copies if hash_bytes(data) == sha256), None)

    def _mark_present(self, item: StoredImage) -> None:
        self.dataset.images.mark_present(item.sha256)
        self.dataset.rejections.remove(STAGE, item.sha256)


def _check_crops(crops: Store, repair: bool, progress: Progress) -> dict[str, int]:
    counts = {"damaged_crops": 0, "unreadable_crops": 0}
    files = [file for file, _, _ in crops.iter_files()]
    outcomes = run_over(check_decodable, files, Processes())
    for outcome in progress.over(outcomes, "crops", total=len(files), unit=" crops"):
        if outcome.reason == FILE_UNREADABLE:
            counts["unreadable_crops"] += 1
        elif outcome.result is None:
            counts["damaged_crops"] += 1
            if repair:
                crops.quarantine(outcome.item)
    return counts


def check_decodable(file: Path) -> bool:
    """Return True if a whole image can be decoded. Raises `Unreadable`."""
    try:
        decode(file.read_bytes(), min_side=1, mode="L")
    except OSError as error:
        raise Unreadable(FILE_UNREADABLE, str(error)) from error
    return True
