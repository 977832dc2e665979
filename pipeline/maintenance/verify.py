"""`gleanset verify`: every file against its hash, every row against its file and other rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from gleanset import Dataset
from gleanset.db.maintenance import Maintenance, StoredImage, find_contradictions
from gleanset.errors import Unreadable
from gleanset.files.store import GONE, UNREADABLE, Store, sha256_of, sha256_of_file
from gleanset.images.decode import decode
from gleanset.platform import cores
from gleanset.records import Rejection
from gleanset.work.pool import Processes, Threads, run_over
from gleanset.work.progress import Progress
from pipeline.maintenance.gc import orphan_files

STAGE = "verify"
DAMAGED = "damaged"
_UNSOUND = "gone", "damaged", "unreadable", "gone_crops", "damaged_crops", "unreadable_crops"
_COUNTED = {GONE: "gone", DAMAGED: "damaged", UNREADABLE: "unreadable"}


@dataclass(frozen=True, slots=True)
class FileHashCheck:
    """Checks the stored file of one image; runs in threads, which hashing does not block."""

    store: Store

    def __call__(self, item: StoredImage) -> bool:
        """True for the right bytes. Raises `Unreadable` for others, or for none."""
        try:
            stored = self.store.hash_of(item.sha256, item.format)
        except OSError as error:
            raise Unreadable(UNREADABLE, str(error)) from error
        if stored is None:
            raise Unreadable(GONE)
        if stored != item.sha256:
            raise Unreadable(DAMAGED, f"its bytes have the hash {stored}")
        return True


def verify(dataset: Dataset, *, repair: bool, progress: Progress) -> dict[str, object]:
    """Check a dataset, and with `repair` mend what can be mended; the counts.

    A file that is gone or damaged is taken again from the local file it came from, or from what was
    put aside before, where that has the right bytes. Otherwise the image is marked as missing:
    detectors pass it by, and what came from the net is fetched when its harvest is run again.
    Damaged files, crops too, are put aside beside their store; crops are cut again like those that
    are `gone_crops`. What cannot be read may be sound: it stays. What the catalogue says twice, or
    in two ways, is only told.
    """
    upkeep = Maintenance(dataset.db)
    with dataset.stage(STAGE) as scratch:
        keeper = _Keeper(dataset, upkeep, dataset.originals(scratch), repair)
        total = dataset.images.count()
        outcomes = run_over(FileHashCheck(keeper.store), upkeep.iter_images(), Threads(2 * cores()))
        for outcome in progress.over(outcomes, "verify", total=total):
            keeper.take(outcome.item, outcome.reason, outcome.detail)
        findings: dict[str, object] = {"images": total, **keeper.tally}
        crops = dataset.crops(scratch)
        findings["gone_crops"] = sum(
            key not in there
            for start, keys in groupby(upkeep.iter_cropped_samples(), lambda key: key[:2])
            for there in (crops.names_from(start),)
            for key in keys
        )
        findings |= _check_crops(crops, repair, progress)
        findings["strays"] = sum(1 for _ in orphan_files(dataset))
        wrong = find_contradictions(dataset.db)
        findings |= {name: finding.cases for name, finding in wrong.items()}
        if told := [line for finding in wrong.values() for line in finding.examples]:
            findings["contradictions"] = told
        if damage := upkeep.check_integrity():
            findings["catalogue"] = damage
    return findings


def unsound(counts: Mapping[str, object]) -> str:
    """Return what is wrong with the files and the catalogue after `verify`; '' for nothing."""
    wrong = {name: int(str(counts[name])) for name in _UNSOUND}
    # What was mended was gone or damaged; the counts are of before.
    lost = wrong["gone"] + wrong["damaged"] - int(str(counts["repaired"]))
    told = [f"{lost} originals are gone or damaged"] * bool(lost)
    told += [f"{wrong['unreadable']} originals cannot be read"] * bool(wrong["unreadable"])
    crops = sum(number for name, number in wrong.items() if name.endswith("crops"))
    told += [f"{crops} crops are gone, damaged or cannot be read"] * bool(crops)
    told += ["the catalogue is damaged"] * ("catalogue" in counts)
    return "; ".join(told)


@dataclass
class _Keeper:
    dataset: Dataset
    upkeep: Maintenance
    store: Store
    repair: bool

    def __post_init__(self) -> None:
        self.tally: Counter[str] = Counter(sound=0, gone=0, damaged=0, unreadable=0, repaired=0)

    def take(self, item: StoredImage, reason: str | None, detail: str) -> None:
        if not self.repair or reason == UNREADABLE or (reason is None and item.state == "ok"):
            self._count(reason)
            return
        # Nobody writes to the store meanwhile, nor takes the picture down.
        with self.dataset.db.transaction():
            if self.upkeep.has_image(item.sha256, item.format):
                self._count(reason)
                self._settle(item, reason, detail)

    def _count(self, reason: str | None) -> None:
        self.tally["sound" if reason is None else _COUNTED[reason]] += 1

    def _settle(self, item: StoredImage, reason: str | None, detail: str) -> None:
        if reason is None:
            if item.state == "missing":
                self._sound_again(item)
        elif self._fixed(item):
            self.tally["repaired"] += 1
        else:
            self.dataset.rejections.add(Rejection(STAGE, item.sha256, reason, detail))
            if item.state == "ok":
                self.upkeep.mark_missing(item.sha256)

    def _fixed(self, item: StoredImage) -> bool:
        if self.store.hash_of(item.sha256, item.format) != item.sha256:
            data = self._sound_copy(item.sha256)
            self.store.put_aside(self.store.path(item.sha256, item.format))
            if data is None:
                return False
            self.store.put(item.sha256, item.format, data)
        self._sound_again(item)
        return True

    def _sound_copy(self, sha256: str) -> bytes | None:
        for source in map(Path, self.upkeep.list_local_paths(sha256)):
            if file_hash(source) == sha256:
                return source.read_bytes()
        copies = self.store.put_aside_before(sha256)
        return next((data for data in copies if sha256_of(data) == sha256), None)

    def _sound_again(self, item: StoredImage) -> None:
        self.dataset.images.mark_present(item.sha256)
        self.dataset.rejections.remove(STAGE, item.sha256)


def _check_crops(crops: Store, repair: bool, progress: Progress) -> dict[str, int]:
    tally = {"damaged_crops": 0, "unreadable_crops": 0}
    files = [file for file, _, _ in crops.each()]
    outcomes = run_over(is_picture, files, Processes())
    for outcome in progress.over(outcomes, "crops", total=len(files), unit=" crops"):
        if outcome.reason == UNREADABLE:
            tally["unreadable_crops"] += 1
        elif outcome.result is None:
            tally["damaged_crops"] += 1
            if repair:
                crops.put_aside(outcome.item)
    return tally


def is_picture(file: Path) -> bool:
    """True for a whole picture. Raises `Unreadable`."""
    try:
        decode(file.read_bytes(), at_least=1, mode="L")
    except OSError as error:
        raise Unreadable(UNREADABLE, str(error)) from error
    return True


def file_hash(path: Path) -> str | None:
    """Return the SHA-256 of a file, None where it cannot be read."""
    try:
        return sha256_of_file(path)
    except OSError:
        return None
