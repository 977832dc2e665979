"""Which classes are done, so that a check of them can be offered."""

from __future__ import annotations

import pytest
from labeler_makers import add_faces, add_image
from sorting_book import ids_of
from test_sorting_pages import large_at_once, only, samples, sure_hints  # noqa: F401 - fixtures

from gleanset import Dataset
from gleanset.db.views import OrderedSamples
from labeler.sorting.checks import Checks, CompletedClass
from labeler.sorting.pages import Pages
from labeler.sorting.session import SortingSession

pytestmark = pytest.mark.usefixtures("large_at_once", "sure_hints")


def two_classes(dataset: Dataset, second: int) -> tuple[SortingSession, Pages]:
    """Forty of Miku, who fill the first page, and some of Mio."""
    samples(dataset, 40, "Miku")
    samples(dataset, second, "Mio")
    session = SortingSession(dataset)
    session.add_class("Mio")
    return session, Pages(session)


def test_a_class_is_offered_when_nothing_waits_for_it(empty: Dataset) -> None:
    session, pages = two_classes(empty, 30)
    first = only(pages.next(40))
    assert first.label == "Miku"
    assert pages.finishing.offer() is None
    pages.file(first)
    second = only(pages.next(40))
    assert pages.finishing.offer() == CompletedClass("Miku", 12)
    # It can be left: it is still there with the next class.
    pages.file(second)
    assert pages.next(40) is None
    assert pages.finishing.offer() == CompletedClass("Miku", 12)
    check = only(pages.check("Miku"))
    assert (check.kind, len(check.tiles)) == ("check", 12)
    Checks(session).answer(check, [], [])
    assert pages.next(40) is None
    assert pages.finishing.offer() == CompletedClass("Mio", 12)


def test_not_while_some_of_it_wait_or_were_skipped(empty: Dataset) -> None:
    session, pages = two_classes(empty, 8)
    first = only(pages.next(40))
    pages.file(first, lifted=[0])  # refused: whoever it is, it is not Miku
    later = only(pages.next(40))
    assert pages.finishing.offer() == CompletedClass("Miku", 12)
    session.undo()
    assert len(only(pages.next(40)).tiles) == 40
    assert pages.finishing.offer() is None
    pages.skip(first)
    pages.next(40)
    assert pages.finishing.offer() is None
    pages.file(first)
    pages.next(40)
    assert pages.finishing.offer() == CompletedClass("Miku", 12)
    assert "Mio" in {tile.proposal.label for tile in later.tiles}


def test_not_while_somebody_waits_whom_nobody_knows(empty: Dataset) -> None:
    session, pages = two_classes(empty, 0)
    (stranger,) = add_faces(empty, add_image(empty, "stranger"))
    pages.file(only(pages.next()))
    page = only(pages.next())
    assert page.kind == "plain"
    assert pages.finishing.offer() is None
    session.send(ids_of(session, [stranger]), "other")
    assert pages.next() is None
    assert pages.finishing.offer() == CompletedClass("Miku", 12)


def test_what_was_filed_by_hand_or_is_a_handful_is_not_offered(empty: Dataset) -> None:
    session, pages = two_classes(empty, 5)
    keys = [
        tile.key for tile in session.tiles.of(OrderedSamples(empty.db).rows("queue").ids).values()
    ]
    session.file(ids_of(session, keys[:40]), "Miku")
    page = only(pages.next())
    assert {tile.proposal.label for tile in page.tiles} == {"Mio"}
    pages.file(page)
    assert pages.next() is None
    assert pages.finishing.offer() is None
