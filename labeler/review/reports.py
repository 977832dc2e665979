"""Reports from the web page as pages to look at, and what a person says of them.

Knows nothing of a window. A report is shown as a tile; where tiles are known by numbers, those of
reports are negative, so that none is ever taken for a sample.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from curation.web_reports import (
    ReportPictures,
    accept_reports,
    class_of,
    refuse_reports,
    reported_region,
    rivals_of,
)
from gleanset import Dataset
from gleanset.db.sample_places import Frame, FrameFace
from gleanset.db.sorting import SampleTile
from gleanset.db.visitors import PENDING, Report, Reports
from gleanset.errors import Unreadable
from gleanset.images.decode import decode
from labeler.sorting.sample_images import PictureWalk, WholePicture
from labeler.sorting.session import SortingSession, StepResult

SEEN_AT_ONCE = 512
"""Pixels of the longer side that tell the size of a picture, where less of it can be decoded."""

_UNSEEN = ("Cc", "Cf", "Cs", "Cn", "Co")
"""Categories of characters that are not shown: controls, marks that turn the direction of text."""

ReportPlace = tuple[str, int]
"""Where a report is in their order: the class that is claimed, and its number."""

START: ReportPlace = ("", 0)


class ReportPage(NamedTuple):
    """Reports that wait, by tile, and what else is claimed of the same faces."""

    reports: dict[int, Report]
    rivals: dict[int, list[str]]


def place_of(report: Report) -> ReportPlace:
    """Return where a report is in their order."""
    return report.claim.claimed, report.id


def tile_of(report: Report) -> int:
    """Return the number of a report's tile."""
    return reported_region(report).id


def next_reports(dataset: Dataset, after: ReportPlace, most: int) -> ReportPage:
    """Return at most so many that wait after a place, from the beginning where none does."""
    reports = Reports(dataset.db)
    return _page(dataset, reports.waiting(after, most) or reports.waiting(START, most))


def earlier_reports(dataset: Dataset, before: ReportPlace, most: int) -> ReportPage:
    """Return at most so many that wait before a place, from the end where none does."""
    reports = Reports(dataset.db)
    last = (chr(0x10FFFF), 0)
    found = reports.waiting(before, most, before=True)
    return _page(dataset, found or reports.waiting(last, most, before=True))


def _page(dataset: Dataset, waiting: Iterable[Report]) -> ReportPage:
    shown = {tile_of(one): one for one in waiting}
    rivals = {tile: rivals_of(dataset, report) for tile, report in shown.items()}
    return ReportPage(
        shown, {tile: [class_of(dataset, one) for one in others] for tile, others in rivals.items()}
    )


def report_tiles(dataset: Dataset, tiles: Sequence[int]) -> dict[int, SampleTile]:
    """Return how reports are seen; those that wait are in the queue."""
    reports = Reports(dataset.db)
    found = (reports.get(-tile) for tile in tiles)
    return {tile_of(one): _tile(one) for one in found if one is not None}


def _tile(report: Report) -> SampleTile:
    seen = reported_region(report)
    return SampleTile(seen, "queue" if report.status == PENDING else report.status)


def accept_page(session: SortingSession, tiles: Mapping[int, str | None]) -> StepResult:
    """Accept reports, each as the class that is given, or as claimed (None), in one step."""
    settled = accept_reports(session.dataset, {-tile: label for tile, label in tiles.items()})
    return session.adopt(settled.step, settled.reports)


def refuse_page(session: SortingSession, tiles: Sequence[int]) -> StepResult:
    """Refuse reports, in one step."""
    settled = refuse_reports(session.dataset, [-tile for tile in tiles])
    return session.adopt(settled.step, settled.reports)


def shown_text(text: str) -> str:
    """Return text of a visitor as one line: nothing in it turns or breaks what stands beside it."""
    seen = "".join(c for c in text if c.isspace() or unicodedata.category(c) not in _UNSEEN)
    return " ".join(seen.split())


def walk_of_report(dataset: Dataset, tile: int) -> PictureWalk:
    """Return the whole picture of a report with its box; none where it is gone."""
    report = Reports(dataset.db).get(-tile)
    if report is None:
        return PictureWalk()
    claim = report.claim
    try:
        path = ReportPictures.at(dataset.root).path(claim.sha256, claim.format)
        picture = decode(path.read_bytes(), at_least=SEEN_AT_ONCE)
    except (OSError, Unreadable):
        return PictureWalk()
    face = FrameFace(tile, claim.box, None)
    size = (picture.width, picture.height)
    frame = Frame(claim.sha256, claim.format, *size, faces=(face,))
    return PictureWalk((WholePicture(frame, path),))
