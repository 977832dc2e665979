"""Reports from the web page without a window: their order, their pictures, and what is said."""

from __future__ import annotations

import pytest
from web_claims import SIZE, Told, add_reports

from curation.web_reports import ReportPictures
from gleanset import Dataset
from gleanset.db.visitors import ACCEPTED, PENDING, REFUSED, Reports
from gleanset.errors import Unreadable, UsageError
from labeler.review.reports import (
    START,
    accept_page,
    earlier_reports,
    next_reports,
    place_of,
    refuse_page,
    report_tiles,
    shown_text,
    walk_of_report,
)
from labeler.sorting.session import SortingSession

NAMES = ("rin", "mei", "rin", "aki", "mei")


def claims(dataset: Dataset, tiles: list[int]) -> list[str]:
    found = [Reports(dataset.db).get(-tile) for tile in tiles]
    return [one.claim.claimed for one in found if one is not None]


@pytest.fixture
def reported(empty: Dataset) -> Dataset:
    add_reports(empty.root, [Told(name) for name in NAMES])
    return empty


def test_pages_go_round_in_the_order_of_the_claims(reported: Dataset) -> None:
    first = next_reports(reported, START, 3)
    assert list(first.reports) == [-4, -2, -5]
    assert claims(reported, list(first.reports)) == ["aki", "mei", "mei"]
    last = place_of(first.reports[-5])
    second = next_reports(reported, last, 3)
    assert list(second.reports) == [-1, -3]
    assert list(next_reports(reported, place_of(second.reports[-3]), 3).reports) == [-4, -2, -5]
    assert list(earlier_reports(reported, place_of(second.reports[-1]), 2).reports) == [-2, -5]
    assert list(earlier_reports(reported, place_of(first.reports[-4]), 2).reports) == [-1, -3]


def test_what_is_accepted_refused_and_undone(reported: Dataset) -> None:
    session = SortingSession(reported)
    reports = Reports(reported.db)
    assert session.progress().reports == 5
    accepted = accept_page(session, {-1: None, -2: "aki"})
    assert (accepted.count, session.progress().reports) == (2, 3)
    assert sorted(str(one.label) for one in reported.samples.each()) == ["aki", "rin"]
    refuse_page(session, [-3])
    assert [reports.count(status) for status in (PENDING, ACCEPTED, REFUSED)] == [2, 2, 1]
    with pytest.raises(UsageError, match="does not wait"):
        refuse_page(session, [-3, -4])
    assert {tile.status for tile in report_tiles(reported, [-1, -3, -4]).values()} == {
        ACCEPTED,
        REFUSED,
        "queue",
    }
    session.undo()
    session.undo()
    assert session.progress().reports == 5
    assert list(next_reports(reported, START, 9).reports) == [-4, -2, -5, -1, -3]
    session.redo()
    assert session.progress().reports == 3


def test_the_face_is_cut_with_a_margin_from_wherever_its_picture_lies(reported: Dataset) -> None:
    pictures = ReportPictures.at(reported.root)
    seen = report_tiles(reported, [-1])[-1].seen
    waiting = pictures.fitted(seen, 96)
    assert max(waiting.size) == 96
    box = seen.region.box
    assert waiting.width / waiting.height == pytest.approx(box.width / box.height, abs=0.15)
    session = SortingSession(reported)
    accept_page(session, {-1: None})
    session.undo()  # it waits again, and its picture lies among the images by now
    assert not pictures._stores[0].path(seen.image, seen.format).exists()
    assert pictures.fitted(seen, 96).tobytes() == waiting.tobytes()
    (whole,) = walk_of_report(reported, -1).pictures
    assert (whole.frame.width, whole.frame.height) == SIZE
    assert [face.box for face in whole.frame.faces] == [box]


def test_a_picture_that_is_gone_or_none_is_said_to_be(reported: Dataset) -> None:
    pictures = ReportPictures.at(reported.root)
    tiles = report_tiles(reported, [-1, -2])
    pictures.path(tiles[-1].seen.image, "PNG").unlink()
    pictures.path(tiles[-2].seen.image, "PNG").write_bytes(b"<html>")
    for tile in tiles.values():
        with pytest.raises(Unreadable):
            pictures.fitted(tile.seen, 96)
    assert walk_of_report(reported, -1).pictures == walk_of_report(reported, -9).pictures == ()
    assert walk_of_report(reported, -2).pictures == ()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("it is\nher\r\n\tindeed ", "it is her indeed"),
        ("<b>no</b>", "<b>no</b>"),
        ("\u202eevil\u202c \u2066x\u2069\u200f", "evil x"),
        ("a\0b\x1b[31m\u2028c", "ab[31m c"),
        ("שלום 顔", "שלום 顔"),
    ],
)
def test_text_of_visitors_is_one_harmless_line(text: str, shown: str) -> None:
    assert shown_text(text) == shown
