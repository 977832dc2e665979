"""Tests of composing and filing class pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import pytest
from catalogue_rows import locked
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
    """Return the keys of new samples with these weak labels in turn."""
    turns = [(hints[n % len(hints)] if hints else None, f"{hints}{n}") for n in range(number)]
    return [
        add_faces(dataset, add_image(dataset, name, Origin("folder", name, hint=hint)))[0]
        for hint, name in turns
    ]


@pytest.fixture
def sure_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make weak labels more confident than any learnt prediction."""
    monkeypatch.setattr(predictions, "WEAK_LABEL_CONFIDENCE", 0.98)


@pytest.fixture
def large_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make first pages as large as later ones."""
    monkeypatch.setattr(page_layout, "FIRST_PAGE_TILES", MAX_PAGE_TILES)


def only(page: ClassPage | None) -> ClassPage:
    assert page is not None
    return page


def compose(
    predictions: Sequence[tuple[str, float]],
    tested: Collection[str] = ("Miku",),
    decided: Counter[str] | None = None,
) -> ClassPage:
    """Compose a page of samples with these classes and confidences."""
    stacks = [Stack(n, (n,), ClassPrediction((top,))) for n, top in enumerate(predictions)]
    vectors = np.zeros((len(stacks), 2), np.float32)
    return only(compose_page(stacks, vectors, MAX_PAGE_TILES, tested, decided or Counter()))


@pytest.mark.usefixtures("sure_hints")
def test_page_size_is_limited_by_expected_errors(empty: Dataset) -> None:
    page = compose([("Miku", 0.9)] * 90)
    assert (page.kind, page.label, len(page.tiles), page.total) == ("class", "Miku", 60, 90)
    assert page.expected_wrong == pytest.approx(6)
    # Confident ones fill the page once the class is tested.
    samples(empty, 90, "Mio")
    pages = Pages(session := SortingSession(empty))
    pages.label_page(first := only(pages.next()))
    assert only(Pages(session).next()).tested, "decisions of another session count"
    assert (len(first.tiles), first.total, first.tested) == (FIRST_PAGE_TILES, 90, False)
    assert len(only(pages.next(40)).tiles) == 40
    assert len((page := only(pages.next())).tiles) == 90 - FIRST_PAGE_TILES
    assert page.tested


@pytest.mark.parametrize(
    ("labels", "decided", "tiles"),
    [
        (("A", "A"), Counter(A=50), 50),
        (("A", "A"), Counter(A=5), FIRST_PAGE_TILES),
        (("A", "A"), Counter(B=50), FIRST_PAGE_TILES),
        (("A", "B"), Counter(A=40, B=20), 60 - 2 * HEADING_TILES),
    ],
)
def test_first_page_size_follows_decided_count(
    labels: tuple[str, str], decided: Counter[str], tiles: int
) -> None:
    page = compose([(labels[n % 2], 0.99) for n in range(90)], (), decided)
    assert (len(page.tiles), page.total, page.tested) == (tiles, 90, False)


def test_first_mixed_page_is_small(empty: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "WEAK_LABEL_CONFIDENCE", 0.6)
    samples(empty, 90, "A", "B")
    pages = Pages(SortingSession(empty))
    first = only(pages.next())
    assert (first.kind, len(first.tiles), first.tested) == ("left", FIRST_PAGE_TILES, False)
    pages.label_page(first)
    assert only(pages.next()).tested


@pytest.mark.usefixtures("sure_hints")
def test_small_class_shares_mixed_page(empty: Dataset) -> None:
    samples(empty, 90, "A")
    samples(empty, 10, "B")
    pages = Pages(SortingSession(empty))
    first = only(pages.next())
    assert (first.kind, first.label, first.tested) == ("class", "A", False)
    pages.label_page(first)
    # Neither class fills a page any more, and B is untested.
    both = only(pages.next())
    assert (both.kind, both.labels, both.tested) == ("left", {"A", "B"}, False)
    assert len(both.tiles) == 100 - FIRST_PAGE_TILES
    pages.label_page(both, lifted=range(3))
    rest = only(pages.next())
    assert (len(rest.tiles), rest.tested) == (3, True)


def test_uncertain_tiles_come_first() -> None:
    uncertain, wrong = [("Miku", 0.8)] * 10, [("Miku", 0.4)] * 10
    page = compose([("Miku", 0.98)] * 40 + uncertain + wrong)
    assert page.doubtful == 10
    assert {tile.rows[0] for tile in page.tiles[:10]} == {*range(40, 50)}
    assert {*page.rows} == {*range(50)}
    assert page.expected_wrong / len(page.tiles) <= 0.15
    rest = compose(wrong)
    assert (rest.kind, len(rest.rows)) == ("left", 10)


@pytest.mark.usefixtures("large_at_once", "sure_hints")
def test_file_page_skips_lifted_and_sent_tiles(empty: Dataset) -> None:
    samples(empty, 40, "Miku")
    session = SortingSession(empty)
    session.add_class("Mio")
    pages = Pages(session)
    page = only(pages.next())
    sent = page.tiles[2].rows[0]
    session.decide([sent], "Mio")
    done = pages.label_page(page, lifted=[0, 1], sent=[2])
    assert done.name == f"Label {len(page.tiles) - 3} faces as Miku"
    tiles = session.tiles.get_many(page.rows)
    assert [tiles[t.rows[0]].label for t in page.tiles[:4]] == [None, None, "Mio", "Miku"]
    # Lifted ones are proposed again, as something else.
    lifted = {page.tiles[0].rows[0], page.tiles[1].rows[0]}
    shown_again = [tile for tile in only(pages.next()).tiles if tile.rows[0] in lifted]
    assert len(shown_again) == 2
    assert all(tile.prediction.label != "Miku" for tile in shown_again)
    assert pages.label_page(page, lifted=[], sent=range(len(page.tiles))) == NO_STEP
    # After undo, refused classes may be predicted again.
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
    Pages(session).label_page(page)
    assert [c.name for c in session.tiles.get_counts().classes] == ["hana"]


def test_page_without_vectors_is_plain(empty: Dataset) -> None:
    samples(empty, 30)
    session = SortingSession(empty)
    pages = Pages(session)
    page = only(pages.next(24))
    assert (page.kind, page.label, page.total, len(page.tiles)) == ("plain", None, 30, 24)
    assert pages.label_page(page) == NO_STEP


@pytest.mark.usefixtures("large_at_once", "sure_hints")
def test_skipped_pages_return_last(empty: Dataset) -> None:
    samples(empty, 80, "Miku", "Mio")
    pages = Pages(SortingSession(empty))
    first = only(pages.next(40))
    pages.skip(first)
    second = only(pages.next(40))
    assert second.label != first.label
    pages.label_page(second)
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
    session.rename_class("B", "A")
    page = only(Pages(session).next())
    assert (page.label, len(page.tiles)) == ("A", 40)


def test_page_stays_untested_when_filing_fails(empty: Dataset) -> None:
    samples(empty, 60, "Miku")
    pages = Pages(SortingSession(empty))
    page = only(pages.next())
    empty.db.fetch_all("PRAGMA busy_timeout=10")
    with locked(empty.root), pytest.raises(DatasetBusy):
        pages.label_page(page, lifted=[0])
    assert not only(pages.next()).tested
    assert pages.label_page(page, lifted=[0]).count == FIRST_PAGE_TILES - 1
    assert only(pages.next()).tested


@pytest.mark.parametrize("hints", [(), ("Mio",)])
def test_page_grows_with_new_samples(empty: Dataset, hints: tuple[str, ...]) -> None:
    samples(empty, 3, *hints)
    pages = Pages(SortingSession(empty))
    page = only(pages.next())
    assert pages.recompose(page) is None
    samples(empty, 5, *hints)
    assert len(only(pages.recompose(page)).tiles) == 5
    samples(empty, 6, *hints)
    assert pages.recompose(page, room=3) is None, "it is full"
