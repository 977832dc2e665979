"""Spool for reports, because the catalogue may be locked for long by other processes.

A report is written to `web/spool/` before the response is sent, so that it cannot be lost. It is
removed when its row is in the catalogue and its image in `web/reports/`.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import msgspec

from gleanset import Dataset, errors
from gleanset.db.reports import (
    REMOVAL,
    SPOOL_FOLDER,
    SPOOL_SUFFIX,
    Claim,
    list_spooled_reports,
)
from gleanset.files.atomic import write_atomic
from gleanset.files.store import hash_bytes
from gleanset.web.problems import RefusedRequest
from webapp.computations import KeptReport
from webapp.report_decisions import NO_CLASS, find_class
from webapp.settings import RequestLimits

DAMAGED_SUFFIX = ".damaged"
LOCK_TIMEOUT_MS = 500
T = TypeVar("T")
log = logging.getLogger(__name__)


@contextmanager
def open_for_writing(root: Path) -> Iterator[Dataset]:
    """Open a dataset, waiting only shortly for other writers. Raises `RefusedRequest`."""
    try:
        with Dataset.open(root) as dataset:
            dataset.db.execute(f"PRAGMA busy_timeout={LOCK_TIMEOUT_MS}")
            dataset.db.check_writable()
            yield dataset
    except (errors.UsageError, errors.InputUnusable, errors.Unreadable) as error:
        status = 409
        reason = "cannot be done"
        headers: dict[str, str] = {}
        if isinstance(error, errors.DatasetBusy):
            status = 503
            reason = "busy"
            headers = {"retry-after": "2"}
        elif isinstance(error, errors.DiskFull | errors.NotWritable):
            status = 503
            reason = "cannot keep it"
        # `Unreadable` has neither what is wrong nor a fix.
        raise RefusedRequest(
            status,
            reason,
            getattr(error, "what", str(error)),
            getattr(error, "fix", ""),
            headers,
        ) from error


@dataclass
class ReportSpool:
    """Stores reports in files until they are imported into the catalogue of `root`.

    Several servers and commands may use it at the same time.
    """

    root: Path
    _limits: RequestLimits
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _is_blocked: bool = False

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread; one at a time, as it may wait for the catalogue."""
        async with self._lock:
            return await asyncio.to_thread(work)

    def add(self, report: KeptReport) -> tuple[bool, str]:
        """Store a report and try to import it; return whether it is new, and its class.

        Raises `RefusedRequest`.
        """
        with open_for_writing(self.root) as dataset:
            claim = _resolve_claim(dataset, report)
            report = msgspec.structs.replace(report, claim=claim)
            # The same report, sent again, has the same file.
            content = claim.note if claim.kind == REMOVAL else claim.claimed
            identity = (claim.kind, claim.sha256, claim.box, content)
            name = hash_bytes(msgspec.json.encode(identity))
            file = self.root / SPOOL_FOLDER / f"{name}{SPOOL_SUFFIX}"
            if file.exists() or dataset.reports.contains(claim):
                return False, claim.claimed

            self._check_acceptable(dataset, report)
            # Written elsewhere first, because any file in the spool may be imported at once.
            write_atomic(
                file, msgspec.msgpack.encode(report), scratch=self.root / "cache"
            )

        if not self._is_blocked:
            self.import_all()
        return True, claim.claimed

    def _check_acceptable(self, dataset: Dataset, report: KeptReport) -> None:
        """Raise `RefusedRequest` for a forgotten image, and if the disk space is used up."""
        if _is_forgotten(dataset, report):
            raise RefusedRequest(
                410,
                "taken down",
                "this image was removed from the dataset",
                "do not send it again",
            )

        spool_sizes = [file.stat().st_size for file in list_spooled_reports(self.root)]
        files = dataset.report_images().iter_files()
        store_bytes = sum(size for _, size, _ in files)
        total_bytes = store_bytes + sum(spool_sizes) + len(report.image)
        pending = dataset.reports.count() + len(spool_sizes)
        if pending >= self._limits.reports or total_bytes > self._limits.report_bytes:
            raise RefusedRequest(
                503,
                "full",
                "too many pending reports",
                "try again another day",
            )

    def import_all(self) -> None:
        """Import all spooled reports, unless the catalogue is locked."""
        try:
            for file in list_spooled_reports(self.root):
                with open_for_writing(self.root) as dataset:
                    _import_file(dataset, file)
            self._is_blocked = False
        except (RefusedRequest, errors.GleansetError, OSError) as error:
            # Once, not every second while another program holds the catalogue.
            if not self._is_blocked:
                problem = getattr(error, "detail", error)
                log.warning("reports stay in %s: %s", self.root / SPOOL_FOLDER, problem)
            self._is_blocked = True


def _resolve_claim(dataset: Dataset, report: KeptReport) -> Claim:
    """Return a claim with the dataset's names of the class and the image.

    Raises `RefusedRequest` for the class that the model predicted.
    """
    claim = report.claim
    if claim.claimed not in NO_CLASS:
        claim = replace(claim, claimed=find_class(dataset, claim.claimed))
        # The class may have been renamed since the training.
        answer = claim.answer and find_class(dataset, claim.answer)
        if claim.claimed == answer and not report.has_new_box:
            raise RefusedRequest(
                422,
                "already the answer",
                f"the prediction is {claim.answer!r}",
                "report other classes",
            )

    image = dataset.images.get(report.upload_sha256)
    if image:
        # A file of the dataset, which may have been stripped of other data.
        claim = replace(claim, sha256=image.sha256, format=image.format)
    return claim


def _import_file(dataset: Dataset, file: Path) -> None:
    """Write the row and the image of a report in one transaction, so that gc cannot interfere."""
    try:
        report = msgspec.msgpack.decode(file.read_bytes(), type=KeptReport)
    except FileNotFoundError:
        return  # imported by another server
    except msgspec.MsgspecError:
        renamed_file = file.replace(file.with_suffix(DAMAGED_SUFFIX))
        log.exception("not a report: %s", renamed_file)
        return

    claim = report.claim
    with dataset.db.transaction():
        if not (_is_forgotten(dataset, report) or dataset.reports.contains(claim)):
            # The image comes before its row, which refers to it.
            if not dataset.images.get_id(claim.sha256):
                write_atomic(
                    dataset.report_images().path(claim.sha256, claim.format),
                    report.image,
                )
            dataset.reports.add(claim)

    file.unlink(missing_ok=True)


def _is_forgotten(dataset: Dataset, report: KeptReport) -> bool:
    hashes = (report.upload_sha256, report.claim.sha256)
    return any(dataset.images.get_tombstone(sha256) is not None for sha256 in hashes)
