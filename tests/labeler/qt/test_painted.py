"""Nothing is filed that was not painted, and pages fill the window."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from drawn_faces import FaceSet, hint, labels
from person import Opened, Person, alive, class_pages, has_tile, hover, painting, settle, until
from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QPainter, QPalette, QPixmap
from PySide6.QtTest import QTest

from labeler.qt.grid.model import TileMark, TilePrediction, TileState
from labeler.qt.grid.painter import TileAppearance, paint_tile
from labeler.qt.views import page_grid

Key, Button = Qt.Key, Qt.MouseButton
SMALL = (620, 330)


@pytest.fixture
def long_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of sixty faces, which a small window has to scroll through."""
    monkeypatch.setattr(page_grid, "MIN_PAGE_FACES", 60)
    monkeypatch.setattr(page_grid.PageGrid, "min_tile_side", 72)


@pytest.fixture
def painted() -> Iterator[set[int]]:
    with painting() as result:
        yield result


def pages(opened: Opened, few: FaceSet, size: tuple[int, int]) -> Person:
    hint(FaceSet(few.root, one_class(few)), 1.0)
    person = Person(opened(few.root, "pages", size), few)
    alive(class_pages(person))
    return person


def one_class(few: FaceSet) -> dict[str, str]:
    """As if all but one face were of one class: a full page."""
    first, *others = few.truth
    return {first: "hana", **dict.fromkeys(others, "rei")}


def filed(person: Person) -> int:
    return sum(name is not None for name in labels(person.window.worker.root).values())


def key(person: Person, pressed: Qt.Key) -> None:
    QTest.keyClick(person.window.windowHandle(), pressed)
    settle(person.window)


@pytest.mark.usefixtures("long_pages")
def test_enter_shows_what_is_below_before_it_files(
    opened: Opened, few: FaceSet, painted: set[int]
) -> None:
    person = pages(opened, few, SMALL)
    view = class_pages(person)
    page = view.page
    assert page is not None
    first = set(page.rows) - painted
    assert first
    presses = 0
    while filed(person) == 0:
        below = view.view.unseen()
        key(person, Key.Key_Return)
        if below:
            text = person.window.statusBar().currentMessage()
            assert text.startswith(f"{len(below)} faces were not shown yet")
            assert len(view.view.unseen()) < len(below)
        presses += 1
        assert presses < 20
    assert presses > 1
    assert filed(person) == len(page.rows)
    assert set(page.rows) <= painted


def test_a_picture_that_has_not_come_is_not_seen(
    opened: Opened, few: FaceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is slow: placeholders are painted, and Enter files nothing."""
    from labeler.qt.images import ThumbnailLoader

    get, late = ThumbnailLoader.get, [True]
    monkeypatch.setattr(
        ThumbnailLoader, "get", lambda *which, **how: None if late[0] else get(*which, **how)
    )
    hint(few, 0.97)
    person = Person(opened(few.root, "pages", at_rest=False), few)
    view = class_pages(person)
    until(lambda: view.page is not None and has_tile(view.model, 0))
    alive(view)
    QTest.keyClick(view.view, Key.Key_Return)
    assert "still loading" in person.window.statusBar().currentMessage()
    hover(view.view.viewport(), view.view.visualRect(view.model.index(0)).center())
    QTest.keyClick(view.view, "1")
    assert view.model.states == {}
    assert filed(person) == 0
    late[0] = False
    view.view.viewport().update()
    settle(person.window)
    key(person, Key.Key_Return)
    assert filed(person) > 0


def test_a_selection_is_filed_when_all_of_it_was_shown(
    opened: Opened, few: FaceSet, painted: set[int]
) -> None:
    person = Person(opened(few.root, "grid", SMALL), few)
    grid = person.view.view
    grid.selectAll()
    key(person, Key.Key_1)
    assert filed(person) == 0
    assert "were not shown yet" in person.window.statusBar().currentMessage()
    while grid.unseen():
        key(person, Key.Key_1)
    key(person, Key.Key_1)
    assert filed(person) == 60
    assert len(painted) == 60


class TextRecorder(QPainter):
    """Keeps the texts that are painted."""

    texts: list[str]

    def drawText(self, *args: object) -> None:  # noqa: N802 - the name that Qt gives it
        self.texts.append(str(args[-1]))


@pytest.mark.usefixtures("application")
@pytest.mark.parametrize("side", [48, 56, 72, 104])
@pytest.mark.parametrize("key", ["", "1", ",4"])
def test_names_on_small_tiles_keep_their_beginning(side: int, key: str) -> None:
    name = "Ayanami Rei of the Third Ward"
    state = TileState(TileMark.SENT, key, name)
    tile = TileAppearance(None, state, TilePrediction(), False, False, name)
    pixmap = QPixmap(side, side)
    painter = TextRecorder(pixmap)
    painter.texts = []
    paint_tile(painter, QRect(0, 0, side, side), tile, QPalette())
    painter.end()
    caption = painter.texts[-1].removeprefix(f"{key} ").removesuffix("…")
    assert len(caption) >= 2
    assert name.startswith(caption)
