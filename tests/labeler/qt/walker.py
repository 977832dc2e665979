"""A person who does anything at all: random gestures in every view, and what must hold after each.

Nothing is filed that was not painted; a key acts, or the status bar says why it does not; nothing
is said of a bug.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from person import CONTROL, NONE, SHIFT, Person, hover, settle
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractScrollArea, QApplication, QPushButton

from gleanset import Dataset
from labeler.qt.grid.tile_view import TileView
from labeler.qt.views.sending import SendingView

Key, Button = Qt.Key, Qt.MouseButton
LETTERS = "abcdefghijklmnopqrstuvwxyz1234567890/?"
VIEW_KEYS = (
    Key.Key_F2,
    Key.Key_G,
    Key.Key_G,
    Key.Key_F3,
    Key.Key_F4,
    Key.Key_F5,
    Key.Key_F6,
)
KEYS = (
    Key.Key_Return,
    Key.Key_Return,
    Key.Key_Space,
    Key.Key_Escape,
    Key.Key_Delete,
    Key.Key_PageUp,
    Key.Key_PageDown,
    Key.Key_Home,
    Key.Key_End,
    Key.Key_Left,
    Key.Key_Right,
    Key.Key_Up,
    Key.Key_Down,
    Key.Key_F1,
    Key.Key_F8,
    Key.Key_F9,
)
CHORDS = (
    (Key.Key_A, CONTROL),
    (Key.Key_I, CONTROL),
    (Key.Key_Z, CONTROL),
    (Key.Key_Z, CONTROL | SHIFT),
    (Key.Key_Plus, CONTROL),
    (Key.Key_Minus, CONTROL),
    (Key.Key_J, CONTROL),
    (Key.Key_1, SHIFT),
    (Key.Key_2, SHIFT),
    (Key.Key_X, SHIFT),
    (Key.Key_Right, SHIFT),
)
NAMES = ("mococo", "izumi konata", "nagisa", "rei", "2b")


@contextmanager
def painting() -> Iterator[set[int]]:
    """Give the samples that come to the screen with their pictures, noted where that is done."""
    found: set[int] = set()
    appearance = TileView.appearance

    def noted(view: TileView, row: int) -> object:
        look = appearance(view, row)
        there = view.visualRect(view.tiles.index(row))
        if look.picture is not None and view.viewport().rect().intersects(there):
            found.update(view.tiles.ids([row]))
        return look

    TileView.appearance = noted  # type: ignore[method-assign,assignment]
    try:
        yield found
    finally:
        TileView.appearance = appearance  # type: ignore[method-assign]


class Fault(NamedTuple):
    """What did not hold: after which gesture, in which view."""

    number: int
    view: str
    gesture: str
    what: str


class Walker:
    """Makes gestures one by one; `faults` are those after which something did not hold."""

    def __init__(self, person: Person, painted: set[int], seed: int) -> None:
        self.person, self.window = person, person.window
        self.painted = painted
        self.dice = random.Random(seed)
        self.faults: list[Fault] = []
        self.counts: Counter[str] = Counter()
        self._said: list[str] = []
        self._bad: list[str] = []
        self.window.worker.message.connect(self._hear)
        self._dataset = Dataset.open(self.window.worker.root)
        self._decided, self._step = self._now(), self._last_step()

    def close(self) -> None:
        """Let the catalogue go."""
        self._dataset.close()

    def walk(self, gestures: int) -> None:
        """Make so many gestures."""
        kinds: tuple[tuple[Callable[[], str], int], ...] = (
            (self._key, 12),
            (self._chord, 3),
            (self._view, 2),
            (self._name, 1),
            (self._point, 5),
            (self._click, 3),
            (self._rail, 1),
            (self._button, 1),
            (self._wheel, 2),
            (self._band, 1),
            (self._drag, 1),
        )
        makers, weights = zip(*kinds, strict=True)
        for number in range(gestures):
            make = self.dice.choices(makers, weights)[0]
            by_key = make in (self._key, self._chord, self._view)
            before = self._looks() if by_key else None
            steps, view = self._last_step(), self.window.shown_name
            self._said.clear()
            what = make()
            self.counts[make.__name__.lstrip("_")] += 1
            popped_up = QApplication.activePopupWidget() is not None
            self._rest()
            if by_key:
                acted = (
                    popped_up or self._said or self._last_step() != steps or self._looks() != before
                )
                if not acted:
                    self.faults.append(Fault(number, view, what, "it neither acted nor said why"))
            self._check(number, view, what)

    # -- what must hold

    def _check(self, number: int, view: str, what: str) -> None:
        faults = [text for text in (*self._said, *self._bad) if "a bug in" in text]
        self._bad.clear()
        if self._last_step() != self._step:
            now = self._now()
            unseen = {row for row in now - self._decided if row not in self.painted}
            if unseen:
                faults.append(f"{len(unseen)} faces were filed and never painted")
            self._decided, self._step = now, self._last_step()
        self.faults += [Fault(number, view, what, fault) for fault in faults]

    def _now(self) -> set[int]:
        """The samples that somebody has decided on."""
        asked = "SELECT id FROM sample WHERE status IN ('labelled', 'rejected')"
        return {int(row[0]) for row in self._dataset.db.rows(asked)}

    def _last_step(self) -> int:
        return self.window.worker.last.saved if self.window.worker.last else 0

    def _hear(self, text: str, bad: bool) -> None:
        self._said.append(text)
        if bad:
            self._bad.append(text)

    def _looks(self) -> tuple[int, bytes]:
        """What a person sees, without the status bar."""
        shown = self.window.grab(self.window.centralWidget().geometry()).toImage()
        return id(self.window.focusWidget()), bytes(shown.constBits())

    def _rest(self) -> None:
        settle(self.window)
        while (popup := QApplication.activePopupWidget()) is not None:
            QTest.keyClick(popup, Key.Key_Escape)
            settle(self.window)
        if not self.window.isActiveWindow():
            self.window.activateWindow()
            settle(self.window)

    # -- gestures

    def _press(self, key: Qt.Key | str, held: Qt.KeyboardModifier = NONE) -> None:
        QTest.keyClick(self.window.windowHandle(), key, held)
        QApplication.processEvents()

    def _key(self) -> str:
        key = self.dice.choice((*LETTERS, *KEYS, *KEYS))
        self._press(key)
        return str(key)

    def _chord(self) -> str:
        key, held = self.dice.choice(CHORDS)
        self._press(key, held)
        return f"{held} {key}"

    def _view(self) -> str:
        key = self.dice.choice(VIEW_KEYS)
        self._press(key)
        return str(key)

    def _name(self) -> str:
        name = self.dice.choice(NAMES)
        self._press(self.dice.choice("/n"))
        for letter in name:
            self._press(letter)
        self._press(Key.Key_Return)
        return f"the name {name}"

    def _area(self) -> QAbstractScrollArea | None:
        home = self.window.view.home
        return home if isinstance(home, QAbstractScrollArea) and home.isVisible() else None

    def _place(self) -> QPoint:
        """A place in the middle of the window, oftener on a tile."""
        area = self._area()
        inside = area.viewport().rect() if area else self.window.centralWidget().rect()
        place = QPoint(self.dice.randrange(inside.width()), self.dice.randrange(inside.height()))
        if isinstance(area, TileView) and (rows := area.in_sight()) and self.dice.random() < 0.8:
            place = area.visualRect(area.tiles.index(self.dice.choice(rows))).center()
        return (area.viewport() if area else self.window.centralWidget()).mapTo(self.window, place)

    def _point(self) -> str:
        place = self._place()
        QTest.mouseMove(self.window.windowHandle(), place)
        return f"the mouse to {place.toTuple()}"

    def _click(self) -> str:
        place = self._place()
        button = self.dice.choice((Button.LeftButton, Button.LeftButton, Button.RightButton))
        held = self.dice.choice((NONE, NONE, CONTROL, SHIFT))
        QTest.mouseClick(self.window.windowHandle(), button, held, place)
        return f"a click at {place.toTuple()}"

    def _rail(self) -> str:
        rail = self.window.class_panel.list
        row = self.dice.randrange(rail.model().rowCount())
        place = rail.visualRect(rail.model().index(row, 0)).center()
        if rail.viewport().rect().contains(place):
            there = rail.viewport().mapTo(self.window, place)
            QTest.mouseClick(self.window.windowHandle(), Button.LeftButton, NONE, there)
        return f"a click on row {row} of the rail"

    def _button(self) -> str:
        """A button of the view, none that writes files."""
        if not isinstance(self.window.view, SendingView):
            return "no button"
        there = [
            one
            for one in self.window.view.findChildren(QPushButton)
            if one.isVisible() and one.isEnabled()
        ]
        if not there:
            return "no button"
        button = self.dice.choice(there)
        text = button.text()  # it may be gone after the click
        place = button.mapTo(self.window, button.rect().center())
        QTest.mouseClick(self.window.windowHandle(), Button.LeftButton, NONE, place)
        return f"the button {text!r}"

    def _wheel(self) -> str:
        held = self.dice.choice((NONE, NONE, CONTROL))
        turned = QPoint(0, self.dice.choice((-120, 120)))
        place = QPointF(self._place())
        QTest.wheelEvent(self.window.windowHandle(), place, turned, QPoint(), held)
        return f"the wheel by {turned.y()}"

    def _band(self) -> str:
        place, there = self._place(), self.window.windowHandle()
        QTest.mousePress(there, Button.LeftButton, SHIFT, place)
        for far in (20, 80, 160):
            QTest.mouseMove(there, place + QPoint(far, far // 2))
        QTest.mouseRelease(there, Button.LeftButton, SHIFT, place + QPoint(160, 80))
        return f"a band from {place.toTuple()}"

    def _reached(self, view: SendingView) -> list[int]:
        """The tiles that a hand reaches: an enlarged face lies over all of them."""
        tiles = view.view.viewport()
        places = {row: self.person.place(row) for row in view.view.in_sight()}
        return [
            row
            for row, place in places.items()
            if self.window.childAt(tiles.mapTo(self.window, place)) is tiles
        ]

    def _drag(self) -> str:
        view = self.window.view
        rail = self.window.class_panel.model
        rows = self._reached(view) if isinstance(view, SendingView) else []
        if not rows or view.view.mouse.busy:
            return "no drag"
        known = [rail.row(number) for number in range(rail.rowCount())]
        targets = [one.target for one in known if one is not None and one.takes]
        row, target = self.dice.choice(rows), self.dice.choice(targets)
        hover(view.view.viewport(), self.person.place(row))
        self.person.drag(row, target)
        return f"a drag to {target}"
