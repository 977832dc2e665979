"""Reports on their way into the catalogue, which a harvest may hold for as long as it likes.

Each is a file in `web/spool/` before its visitor is answered, so that no kill loses it, and is
removed when it has its row in the catalogue and its picture in `web/reports/`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from curation.web_reports import open_report_store
from gleanset import Dataset, errors
from gleanset.db.reports import REMOVAL, SPOOL_FOLDER, SPOOL_SUFFIX, Reports, list_spooled_reports
from gleanset.files.atomic import write_atomic
from gleanset.files.store import sha256_of
from webapp.computations import KeptReport
from webapp.problems import RefusedRequest
from webapp.settings import RequestLimits

DAMAGED = ".damaged"
SHORT_WAIT = 0.5
"""Seconds for which another program's writing may hold a visitor up."""
T = TypeVar("T")
log = logging.getLogger(__name__)


@contextmanager
def writable(root: Path) -> Iterator[Dataset]:
    """Open a dataset that others may be writing to: for this it waits `SHORT_WAIT` at most.

    Raises `RefusedRequest`.
    """
    try:
        with Dataset.open(root) as dataset:
            dataset.db.set_busy_timeout(SHORT_WAIT)
            dataset.db.check_writable()
            yield dataset
    except (errors.UsageError, errors.InputUnusable, errors.Unreadable) as error:
        status, reason, retry = 409, "cannot be done", dict[str, str]()
        if isinstance(error, errors.DatasetBusy):
            status, reason, retry = 503, "busy", {"retry-after": "2"}
        elif isinstance(error, errors.DiskFull | errors.NotWritable):
            status, reason = 503, "cannot keep it"
        what, fix = getattr(error, "what", str(error)), getattr(error, "fix", "")
        raise RefusedRequest(status, reason, what, fix, retry) from error


class ReportSpool:
    """Keeps reports of the dataset in `root` in files until its catalogue takes them.

    Several servers and commands may use it at a time.
    """

    def __init__(self, root: Path, limits: RequestLimits) -> None:
        self.root, self._limits = root, limits
        self._folder = root / SPOOL_FOLDER
        self._turn = asyncio.Lock()
        self._held_up = False

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, in the one thread for what may wait for the catalogue."""
        async with self._turn:
            return await asyncio.to_thread(work)

    def keep(self, report: KeptReport) -> bool:
        """Keep a report, and let the catalogue take it if that is free; whether it is a new one.

        Raises `RefusedRequest`.
        """
        claim = report.claim
        own = claim.note if claim.kind == REMOVAL else claim.claimed
        identity = msgspec.json.encode((claim.kind, claim.sha256, claim.box, own))
        file = self._folder / f"{sha256_of(identity)}{SPOOL_SUFFIX}"
        with writable(self.root) as dataset:
            if file.exists() or Reports(dataset.db).contains(claim):
                return False
            self._refuse(dataset, report)
            write_atomic(file, msgspec.msgpack.encode(report), scratch=self.root / "cache")
        if not self._held_up:
            self.take()
        return True

    def _refuse(self, dataset: Dataset, report: KeptReport) -> None:
        if _is_buried(dataset, report):
            raise RefusedRequest(410, "taken down", "this picture was taken out of the dataset")
        sizes = [file.stat().st_size for file in list_spooled_reports(self.root)]
        kept = sum(size for _, size, _ in open_report_store(self.root, dataset.cache).each())
        taken = kept + sum(sizes) + len(report.picture)
        many = Reports(dataset.db).count() + len(sizes) >= self._limits.reports
        if many or taken > self._limits.report_bytes:
            raise RefusedRequest(503, "full", "too many reports wait to be looked at")

    def take(self) -> None:
        """Let the catalogue take what waits, unless another program writes to it for long."""
        try:
            for file in list_spooled_reports(self.root):
                with writable(self.root) as dataset:
                    _take(dataset, file)
            self._held_up = False
        except (RefusedRequest, errors.GleansetError, OSError) as error:
            if not self._held_up:
                log.warning("reports wait in %s: %s", self._folder, getattr(error, "detail", error))
            self._held_up = True


def _take(dataset: Dataset, file: Path) -> None:
    """Give a report its row and its picture its place, at once: `gc` removes nothing in between."""
    try:
        report = msgspec.msgpack.decode(file.read_bytes(), type=KeptReport)
    except FileNotFoundError:
        return  # another server was quicker
    except msgspec.MsgspecError:
        log.exception("%s is no report", file.replace(file.with_suffix(DAMAGED)))
        return
    claim = report.claim
    with dataset.db.transaction():
        reports, store = Reports(dataset.db), open_report_store(dataset.root, dataset.cache)
        if not (_is_buried(dataset, report) or reports.contains(claim)):
            # Beside its place, where nothing but a row makes it known.
            write_atomic(Path(str(store.path(claim.sha256, claim.format))), report.picture)
            reports.add(claim)
    file.unlink(missing_ok=True)


def _is_buried(dataset: Dataset, report: KeptReport) -> bool:
    hashes = (report.sent, report.claim.sha256)
    return any(dataset.images.get_tombstone(sha256) is not None for sha256 in hashes)
