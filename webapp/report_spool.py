"""Spool for reports, because the catalogue may be locked for long by other processes.

A report is written to `web/spool/` before the response is sent, so that it cannot be lost. It is
removed when its row is in the catalogue and its image in `web/reports/`.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from curation.web_reports import NO_CLASS, find_class, open_report_store
from gleanset import Dataset, errors
from gleanset.db.reports import (
    REMOVAL,
    SPOOL_FOLDER,
    SPOOL_SUFFIX,
    Reports,
    list_spooled_reports,
)
from gleanset.files.atomic import write_atomic
from gleanset.files.store import hash_bytes
from webapp.computations import KeptReport
from webapp.problems import RefusedRequest
from webapp.settings import RequestLimits

DAMAGED = ".damaged"
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
        retry = dict[str, str]()
        if isinstance(error, errors.DatasetBusy):
            status = 503
            reason = "busy"
            retry = {"retry-after": "2"}
        elif isinstance(error, errors.DiskFull | errors.NotWritable):
            status, reason = 503, "cannot keep it"
        message = getattr(error, "what", str(error))
        fix = getattr(error, "fix", "")
        raise RefusedRequest(status, reason, message, fix, retry) from error


class ReportSpool:
    """Stores reports in files until they are imported into the catalogue of `root`.

    Several servers and commands may use it at the same time.
    """

    def __init__(self, root: Path, limits: RequestLimits):
        self.root, self._limits = root, limits
        self._folder = root / SPOOL_FOLDER
        self._lock = asyncio.Lock()
        self._is_blocked = False

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread; one at a time, as it may wait for the catalogue."""
        async with self._lock:
            return await asyncio.to_thread(work)

    def add(self, report: KeptReport) -> tuple[bool, str]:
        """Store a report and try to import it; return whether it is new, and its class.

        Raises `RefusedRequest`.
        """
        with open_for_writing(self.root) as dataset:
            claim = report.claim
            if claim.claimed not in NO_CLASS:
                claim = claim._replace(claimed=find_class(dataset, claim.claimed))
                answer = claim.answer and find_class(dataset, claim.answer)
                if claim.claimed == answer and not report.has_new_box:
                    detail = f"the prediction is {claim.answer!r}"
                    raise RefusedRequest(
                        422, "already the answer", detail, "report other classes"
                    )
            if (image := dataset.images.get(report.sent)) is not None:
                # A file of the dataset, which may have been stripped of other data.
                claim = claim._replace(sha256=image.sha256, format=image.format)
            report = msgspec.structs.replace(report, claim=claim)
            content = claim.note if claim.kind == REMOVAL else claim.claimed
            identity = msgspec.json.encode(
                (claim.kind, claim.sha256, claim.box, content)
            )
            file = self._folder / f"{hash_bytes(identity)}{SPOOL_SUFFIX}"
            if file.exists() or Reports(dataset.db).contains(claim):
                return False, claim.claimed
            self._check_acceptable(dataset, report)
            write_atomic(
                file, msgspec.msgpack.encode(report), scratch=self.root / "cache"
            )
        if not self._is_blocked:
            self.import_all()
        return True, claim.claimed

    def _check_acceptable(self, dataset: Dataset, report: KeptReport) -> None:
        if _is_forgotten(dataset, report):
            detail = "this image was removed from the dataset"
            raise RefusedRequest(410, "taken down", detail, "do not send it again")
        sizes = [file.stat().st_size for file in list_spooled_reports(self.root)]
        store = open_report_store(self.root, dataset.cache)
        stored = sum(size for _, size, _ in store.iter_files())
        total_bytes = stored + sum(sizes) + len(report.image)
        is_full = Reports(dataset.db).count() + len(sizes) >= self._limits.reports
        if is_full or total_bytes > self._limits.report_bytes:
            raise RefusedRequest(
                503, "full", "too many pending reports", "try again another day"
            )

    def import_all(self) -> None:
        """Import all spooled reports, unless the catalogue is locked."""
        try:
            for file in list_spooled_reports(self.root):
                with open_for_writing(self.root) as dataset:
                    _import_file(dataset, file)
            self._is_blocked = False
        except (RefusedRequest, errors.GleansetError, OSError) as error:
            if not self._is_blocked:
                log.warning(
                    "reports stay in %s: %s",
                    self._folder,
                    getattr(error, "detail", error),
                )
            self._is_blocked = True


def _import_file(dataset: Dataset, file: Path) -> None:
    """Write the row and the image of a report in one transaction, so that gc cannot interfere."""
    try:
        report = msgspec.msgpack.decode(file.read_bytes(), type=KeptReport)
    except FileNotFoundError:
        return  # imported by another server
    except msgspec.MsgspecError:
        log.exception("not a report: %s", file.replace(file.with_suffix(DAMAGED)))
        return
    claim = report.claim
    with dataset.db.transaction():
        reports = Reports(dataset.db)
        store = open_report_store(dataset.root, dataset.cache)
        if not (_is_forgotten(dataset, report) or reports.contains(claim)):
            if not dataset.images.get_id(claim.sha256):
                write_atomic(store.path(claim.sha256, claim.format), report.image)
            reports.add(claim)
    file.unlink(missing_ok=True)


def _is_forgotten(dataset: Dataset, report: KeptReport) -> bool:
    hashes = (report.sent, report.claim.sha256)
    return any(dataset.images.get_tombstone(sha256) is not None for sha256 in hashes)
