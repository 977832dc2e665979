"""Reports from users of the page: a wrong prediction, or an image to remove."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gleanset.db.classes import Change, Changes
from gleanset.db.connection import Row, Table
from gleanset.db.rows import (
    box_from_row,
    clean,
    now,
    record_from_row,
    row_from_box,
    row_from_record,
    to_signed,
    to_unsigned,
)
from gleanset.errors import UsageError
from gleanset.records import Box, are_nested

STATUSES = PENDING, ACCEPTED, REFUSED = "pending", "accepted", "refused"
KINDS = WRONG_ANSWER, REMOVAL = "wrong answer", "removal"
SPOOL_FOLDER = Path("web/spool")
SPOOL_SUFFIX = ".report"
"""Folder and file suffix of reports that are not in the catalogue yet."""
MAX_NEAR_DUPLICATE_BITS = 8
"""Maximum differing bits (of 64) between perceptual hashes of possible copies."""


def list_spooled_reports(root: Path) -> list[Path]:
    """Return files of reports to import into the catalogue, the oldest first."""
    files = list[tuple[int, Path]]()
    for file in (root / SPOOL_FOLDER).glob(f"*{SPOOL_SUFFIX}"):
        with suppress(FileNotFoundError):  # imported meanwhile
            files.append((file.stat().st_mtime_ns, file))
    return [file for _, file in sorted(files)]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Claim of a user about the class in `box`, in pixels of the upright image.

    `run` predicted `answer` (None: unknown) with `confidence`, the probability (0..1) of the
    likeliest class. A `removal` report has no claimed class: its `note` gives the reason. The
    perceptual hash `phash` is used to find copies of the image.
    """

    sha256: str
    format: str
    box: Box
    claimed: str
    run: str
    answer: str | None = None
    confidence: float | None = None
    note: str = ""
    kind: str = WRONG_ANSWER
    phash: int | None = None


class Report(NamedTuple):
    """Stored claim. `status` is pending, accepted or refused."""

    id: int
    at: str
    claim: Claim
    status: str


class SimilarImage(NamedTuple):
    """Image hash and number of bits (of 64) in which the perceptual hash differs."""

    sha256: str
    bits: int


class Reports(Table):
    """The `report` table."""

    def count(self, status: str | None = PENDING, kind: str | None = None) -> int:
        """Return the number of reports with a status and kind (None: any)."""
        sql = "SELECT count(*) FROM report WHERE status=ifnull(?1,status) AND kind=ifnull(?2,kind)"
        return self._db.fetch_int(sql, (status, kind))

    def get(self, number: int) -> Report | None:
        """Return a report, or None."""
        row = self._db.fetch_one("SELECT * FROM report WHERE id=?", (number,))
        return _report_from_row(row) if row else None

    def get_pending(self, numbers: Iterable[int]) -> list[Report]:
        """Return pending reports. Raises `UsageError` for a number that is not pending."""
        reports = []
        for number in dict.fromkeys(numbers):
            report = self.get(number)
            if not report:
                raise UsageError(
                    f"no report has the number {number}", "see: webapp reports list"
                )
            if report.status != PENDING:
                raise UsageError(
                    f"report {number} is already {report.status}",
                    "undo it on the administrator's page (Decided), or the last step by: "
                    "labeler undo",
                )
            reports.append(report)

        return reports

    def iterate(self, status: str = PENDING) -> Iterator[Report]:
        """Yield reports with a status, the oldest first."""
        sql = "SELECT * FROM report WHERE status=?"
        return map(
            _report_from_row,
            self._db.iter_rows(sql, ("id",), (status,)),
        )

    def settle(self, step: int, numbers: Iterable[int], status: str) -> None:
        """Accept or refuse reports as part of a step. Call inside a transaction."""
        Changes(self._db).apply(
            step, [Change("report", number, status) for number in numbers]
        )

    def add(self, claim: Claim) -> None:
        """Add a claim that is not stored yet. Call inside a transaction."""
        phash = None if claim.phash is None else to_signed(claim.phash)
        row = row_from_record(
            claim,
            note=clean(claim.note),
            phash=phash,
            at=now(),
        )
        row |= row_from_box(claim.box)
        # The edges of the box are columns.
        del row["box"]
        self._db.insert("report", row)

    def contains(self, claim: Claim) -> bool:
        """Return whether this is already stored; removals also differ by note."""
        sql = """
            SELECT 1
            FROM report
            WHERE kind=?
                AND sha256=?
                AND (x, y, w, h)=(?, ?, ?, ?)
                AND claimed=?
                AND (kind=? OR note=?)
            """
        values = (claim.kind, claim.sha256, *claim.box, claim.claimed)
        return self._db.has_rows(
            sql,
            (*values, WRONG_ANSWER, clean(claim.note)),
        )

    def remove(self, numbers: Iterable[int]) -> None:
        """Delete reports and their journal changes. Call inside a transaction."""
        # Changes refer to reports by number, without a foreign key.
        rows = [(number,) for number in numbers]
        self._db.execute_many("DELETE FROM change WHERE what='report' AND item=?", rows)
        self._db.execute_many("DELETE FROM report WHERE id=?", rows)

    def list_settled(self, limit: int) -> list[tuple[int, Report]]:
        """Return up to `limit` (step, settled report), the latest first."""
        rows = self._db.fetch_all(
            f"""
            SELECT r.*, max(c.step) AS step
            FROM change c
            CROSS JOIN report r ON r.id=c.item
            WHERE c.what='report' AND r.status<>'{PENDING}'
            GROUP BY r.id
            ORDER BY step DESC, r.id
            LIMIT ?
            """,
            (limit,),
        )

        return [(row["step"], _report_from_row(row)) for row in rows]

    def list_in_step(self, step: int) -> list[int]:
        """Return numbers of reports whose status a step changed."""
        return self._db.fetch_column(
            "SELECT item FROM change WHERE what='report' AND step=?", (step,)
        )

    def count_accepted_since(self, time: str) -> int:
        """Count accepted wrong-answer reports changed after a time (ISO 8601)."""
        return self._db.fetch_int(
            f"""
            SELECT count(*)
            FROM report r
            WHERE status='{ACCEPTED}'
                AND kind='{WRONG_ANSWER}'
                AND EXISTS(
                    SELECT 1
                    FROM change c
                    JOIN step s ON s.id=c.step
                    WHERE c.what='report' AND c.item=r.id AND s.at>?
                )
            """,
            (time,),
        )

    def list_pending(self, after: tuple[str, str, int], limit: int) -> list[Report]:
        """Return up to `limit` pending reports after (kind, class, number), removals first."""
        rows = self._db.fetch_all(
            f"""
            SELECT *
            FROM report
            WHERE status='{PENDING}' AND (kind, claimed, id)>(?, ?, ?)
            ORDER BY kind, claimed, id
            LIMIT ?
            """,
            (*after, limit),
        )

        return [_report_from_row(row) for row in rows]

    def find_about_face(self, report: Report) -> list[Report]:
        """Return other reports about a face, or to remove its image, that are not refused."""
        if report.claim.kind == REMOVAL:
            return []
        rows = self._db.fetch_all(
            f"SELECT * FROM report WHERE sha256=? AND id<>? AND status<>'{REFUSED}' "
            "ORDER BY claimed, id",
            (report.claim.sha256, report.id),
        )
        return [
            other
            for other in map(_report_from_row, rows)
            if other.claim.kind == REMOVAL
            or are_nested(other.claim.box, report.claim.box)
        ]

    def find_images(self, start: str) -> list[str]:
        """Return up to two image hashes of reports with this prefix."""
        return self._db.fetch_column(
            "SELECT DISTINCT sha256 FROM report WHERE sha256>=? AND sha256<? ORDER BY 1 LIMIT 2",
            (start, start + "g"),
        )

    def similar_images(self, phashes: Collection[int]) -> dict[int, list[SimilarImage]]:
        """Return images with a similar perceptual hash, by hash, the most similar first."""
        # Imported here: few commands compare hashes.
        import numpy as np

        if not phashes:
            return {}
        images = self._db.fetch_all("SELECT sha256, phash FROM image")
        stored_hashes = np.array([image["phash"] for image in images], np.int64)
        unsigned_hashes = stored_hashes.view(np.uint64)  # one for each image

        similar = dict[int, list[SimilarImage]]()
        for phash in phashes:
            bits = np.bitwise_count(unsigned_hashes ^ np.uint64(phash))
            rows = np.flatnonzero(bits <= MAX_NEAR_DUPLICATE_BITS)
            similar[phash] = sorted(
                (SimilarImage(images[row]["sha256"], int(bits[row])) for row in rows),
                key=lambda image: (image.bits, image.sha256),
            )

        return similar

    def is_in_test(self, sha256: str) -> bool:
        """Return whether an image has a sample in the test split."""
        return self._db.has_rows(
            """
            SELECT 1
            FROM sample
            WHERE split='test' AND image=(SELECT id FROM image WHERE sha256=?)
            """,
            (sha256,),
        )

    def list_classes(self, sha256: str) -> list[str]:
        """Return the classes of an image's samples, or of the kept copies of these."""
        return self._db.fetch_column(
            """
            SELECT DISTINCT c.name
            FROM image i
            JOIN sample s ON s.image=i.id
            JOIN sample k ON k.id=ifnull(
                (
                    SELECT id
                    FROM sample
                    WHERE duplicate_set=s.duplicate_set AND kept AND NOT s.kept
                ), s.id
            )
            JOIN class c ON c.id=k.label
            WHERE i.sha256=? AND k.status='labelled'
            ORDER BY 1
            """,
            (sha256,),
        )

    def has_pending(self, sha256: str) -> bool:
        """Return whether a pending report is about this image."""
        return self._db.has_rows(
            f"SELECT 1 FROM report WHERE sha256=? AND status='{PENDING}'", (sha256,)
        )


def _report_from_row(row: Row) -> Report:
    phash = None if row["phash"] is None else to_unsigned(row["phash"])
    return record_from_row(
        Report,
        row,
        claim=record_from_row(Claim, row, box=box_from_row(row), phash=phash),
    )
