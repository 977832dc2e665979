"""What class pages propose, in which order, and what filing one does; no pictures needed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from catalogue_lock import locked
from labeler_makers import add_faces, add_image

from gleanset import Dataset, Origin
from gleanset.errors import DatasetBusy
from labeler.sorting import page_layout, predictions
from labeler.sorting.page_layout import (
    FIRST_PAGE_TILES,
    HEADING_TILES,
    MAX_PAGE_TILES,
    ClassPage,
    Stack,
    compose_page,
)
from labeler.sorting.pages import Pages
from labeler.sorting.predictions import ClassPrediction
from labeler.sorting.session import NO_STEP, SortingSession


def samples(dataset: Dataset, number: int, *hints: str) -> list[str]:
    """Return the keys of new samples, hinted to be of these classes in turn."""
    turns = [(hints[n % len(hints)] if hints else None, f"{hints}{n}") for n in range(number)]
    return [
        add_faces(dataset, add_image(dataset, name, Origin("folder", name, hint=hint)))[0]
        for hint, name in turns
    ]


@pytest.fixture
def sure_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hints that are surely right: what was learnt would be no surer."""
    monkeypatch.setattr(predictions, "WEAK_LABEL_CONFIDENCE", 0.98)


@pytest.fixture
def large_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes whose proposals were tested before: no first page is small."""
    monkeypatch.setattr(page_layout, "FIRST_PAGE_TILES", MAX_PAGE_TILES)


def only(page: ClassPage | None) -> ClassPage:
    assert page is not None
    return page


@pytest.mark.usefixtures("sure_hints")
def test_page_size_is_limited_by_expected_errors(empty: Dataset) -> None:
    result = [Stack(n, (n,), ClassPrediction((("Miku", 0.9),))) for n in range(90)]
    page = only(
        compose_page(result, np.zeros((90, 2), np.float32), MAX_PAGE_TILES, {"Miku"}, Counter())
    )
    assert (page.kind, page.label, len(page.tiles), page.total) == ("class", "Miku", 60, 90)
    assert page.expected_wrong == pytest.approx(6)
    # Sure ones: as many as there is room for, once some were.
    samples(empty, 90, "Mio")
    pages = Pages(session := SortingSession(empty))
    pages.file(first := only(pages.next()))
    assert only(Pages(session).next()).tested, "what was decided another day tells as much"
    assert (len(first.tiles), first.total, first.tested) == (FIRST_PAGE_TILES, 90, False)
    assert len(only(pages.next(40)).tiles) == 40
    assert len((page := only(pages.next())).tiles) == 90 - FIRST_PAGE_TILES
    assert page.tested


@pytest.mark.parametrize(
    ("said", "decided", "tiles"),
    [
        (("A", "A"), Counter(A=50), 50),
        (("A", "A"), Counter(A=5), FIRST_PAGE_TILES),
        (("A", "A"), Counter(B=50), FIRST_PAGE_TILES),
        (("A", "B"), Counter(A=40, B=20), 60 - 2 * HEADING_TILES),
    ],
)
def test_first_page_size_follows_decided_count(
    said: tuple[str, str], decided: Counter[str], tiles: int
) -> None:
    stacks = [Stack(n, (n, 90 + n), ClassPrediction(((said[n % 2], 0.99),))) for n in range(90)]
    page = only(compose_page(stacks, np.zeros((90, 2), np.float32), MAX_PAGE_TILES, set(), decided))
    assert (len(page.tiles), page.total, page.tested) == (tiles, 180, False)


def test_first_mixed_page_is_small(empty: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "WEAK_LABEL_CONFIDENCE", 0.6)
    samples(empty, 90, "A", "B")
    pages = Pages(SortingSession(empty))
    first = only(pages.next())
    assert (first.kind, len(first.tiles), first.tested) == ("left", FIRST_PAGE_TILES, False)
    pages.file(first)
    assert only(pages.next()).tested


@pytest.mark.parametrize(("waiting", "tiles"), [(60, 60), (100, 24)])
def test_small_remainder_joins_mixed_page(waiting: int, tiles: int) -> None:
    """After 24 faces some 11 of 36 would be wrong, or some 23 of 76."""
    stacks = [Stack(n, (n,), ClassPrediction((("AB"[n % 2], 0.69),))) for n in range(waiting)]
    page = only(compose_page(stacks, np.zeros((100, 2), np.float32), 200, {"A", "B"}, Counter()))
    assert (page.kind, len(page.tiles), page.total) == ("left", tiles, waiting)


@pytest.mark.usefixtures("sure_hints")
def test_small_class_shares_mixed_page(empty: Dataset) -> None:
    samples(empty, 90, "A")
    samples(empty, 10, "B")
    pages = Pages(SortingSession(empty))
    first = only(pages.next())
    assert (first.kind, first.label, first.tested) == ("class", "A", False)
    pages.file(first)
    # Neither class fills a page by now; nobody has looked at a B yet.
    both = only(pages.next())
    assert (both.kind, both.labels, both.tested) == ("left", {"A", "B"}, False)
    assert len(both.tiles) == 100 - FIRST_PAGE_TILES
    pages.file(both, lifted=range(3))
    rest = only(pages.next())
    assert (len(rest.tiles), rest.tested) == (3, True)


def proposed(confidences: list[float]) -> list[Stack]:
    return [
        Stack(n, (n,), ClassPrediction((("Miku", sure),))) for n, sure in enumerate(confidences)
    ]


def composed(stacks: list[Stack]) -> ClassPage:
    return only(
        compose_page(stacks, np.zeros((60, 2), np.float32), MAX_PAGE_TILES, {"Miku"}, Counter())
    )


def test_uncertain_tiles_come_first() -> None:
    stacks = proposed([0.98] * 40 + [0.8] * 10 + [0.4] * 10)
    page = composed(stacks)
    assert page.doubtful == 10
    assert {tile.rows[0] for tile in page.tiles[:10]} == {*range(40, 50)}
    assert {*page.rows} == {*range(50)}
    assert page.expected_wrong / len(page.tiles) <= 0.15
    left = composed(stacks[50:])
    assert left.kind == "left"
    assert {*left.rows} == {*range(50, 60)}


def test_few_confident_tiles_share_the_page() -> None:
    """They would be followed by as few: one face after the other."""
    assert len(composed(proposed([0.8] + [0.6] * 11)).tiles) == 12
    page = composed(proposed([0.8] * 12))
    assert (page.kind, len(page.tiles)) == ("class", 12)  # no part of equals is purer


@pytest.mark.usefixtures("large_at_once", "sure_hints")
def test_file_page_skips_lifted_and_sent_tiles(empty: Dataset) -> None:
    samples(empty, 40, "Miku")
    session = SortingSession(empty)
    session.add_class("Mio")
    pages = Pages(session)
    page = only(pages.next())
    sent = page.tiles[2].rows[0]
    session.to([sent], "Mio")
    done = pages.file(page, lifted=[0, 1], sent=[2])
    assert done.name == f"Label {len(page.tiles) - 3} faces as Miku"
    tiles = session.tiles.get_many(page.rows)
    assert [tiles[t.rows[0]].label for t in page.tiles[:4]] == [None, None, "Mio", "Miku"]
    # Lifted ones are proposed again, as something else.
    lifted = {page.tiles[0].rows[0], page.tiles[1].rows[0]}
    again = [tile for tile in only(pages.next()).tiles if tile.rows[0] in lifted]
    assert len(again) == 2
    assert all(tile.prediction.label != "Miku" for tile in again)
    assert pages.file(page, lifted=[], sent=range(len(page.tiles))) == NO_STEP
    # Undone, and what was refused may be proposed again.
    session.undo()
    session.undo()
    assert session.tiles.get_counts().pending == 40


@pytest.mark.usefixtures("large_at_once")
def test_weak_labels_are_predictions_at_first(empty: Dataset) -> None:
    samples(empty, 30, "hana")
    samples(empty, 12, "rei/../x")
    session = SortingSession(empty)
    page = only(Pages(session).next())
    assert (page.kind, page.label) == ("class", "hana")
    assert 0 < page.expected_wrong <= 6.01
    assert len(page.tiles) == 30
    Pages(session).file(page)
    assert [c.name for c in session.tiles.get_counts().classes] == ["hana"]


def test_page_without_vectors_is_plain(empty: Dataset) -> None:
    samples(empty, 30)
    session = SortingSession(empty)
    pages = Pages(session)
    page = only(pages.next(24))
    assert (page.kind, page.label, page.total, len(page.tiles)) == ("plain", None, 30, 24)
    assert pages.file(page) == NO_STEP


@pytest.mark.usefixtures("large_at_once", "sure_hints")
def test_skipped_pages_return_last(empty: Dataset) -> None:
    samples(empty, 80, "Miku", "Mio")
    pages = Pages(SortingSession(empty))
    first = only(pages.next(40))
    pages.skip(first)
    second = only(pages.next(40))
    assert second.label != first.label
    pages.file(second)
    assert only(pages.next(40)).label == first.label
    assert set(only(pages.next(40)).rows) == set(first.rows)


def test_no_page_without_pending_samples(empty: Dataset) -> None:
    assert Pages(SortingSession(empty)).next() is None


@pytest.mark.usefixtures("large_at_once", "sure_hints")
def test_merged_classes_are_not_predicted(empty: Dataset) -> None:
    samples(empty, 40, "A", "B")
    session = SortingSession(empty)
    session.add_class("A")
    session.add_class("B")
    session.merge_class("B", "A")
    page = only(Pages(session).next())
    assert (page.label, len(page.tiles)) == ("A", 40)


def test_page_stays_untested_when_filing_fails(empty: Dataset) -> None:
    samples(empty, 60, "Miku")
    pages = Pages(SortingSession(empty))
    page = only(pages.next())
    empty.db.fetch_all("PRAGMA busy_timeout=10")
    with locked(empty.root), pytest.raises(DatasetBusy):
        pages.file(page, lifted=[0])
    assert not only(pages.next()).tested
    assert pages.file(page, lifted=[0]).count == FIRST_PAGE_TILES - 1
    assert only(pages.next()).tested
