"""Random gestures in every view: only painted faces are filed, and nothing fails."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
from drawn_faces import FaceSet, copied, hint
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from person import CONTROL, KEYS, NONE, SHIFT, Person, hover, painting, settle
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractScrollArea, QApplication, QPushButton

from gleanset import Dataset
from labeler.qt.grid.tile_view import TileView
from labeler.qt.views.base import VIEWS
from labeler.qt.views.labeling import LabelingView
from labeler.qt.window import LabelerWindow

Key, Button = Qt.Key, Qt.MouseButton
LETTERS = "abcdefghijklmnopqrstuvwxyz1234567890/?"
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
NAMES = ("mococo", "izumi konata", "rei", "2b")
ANY = st.integers(0, 999)
PLACES = st.tuples(ANY, ANY, st.booleans())
"""Thousandths of what is shown, or of its tiles."""


class Walk(RuleBasedStateMachine):
    """Somebody who does anything at all, with real events."""

    faces: FaceSet
    painted: set[int]

    def __init__(self) -> None:
        super().__init__()
        self.window = LabelerWindow(self.faces.root, "pages")
        self.window.resize(1280, 720)
        self.window.show()
        settle(self.window)
        self.person = Person(self.window, self.faces)
        self.said: list[str] = []
        self.window.worker.message.connect(lambda text, bad: self.said.append(text))
        self.dataset = Dataset.open(self.faces.root)
        self.decided = self.now()

    def teardown(self) -> None:
        self.dataset.close()
        self.window.close()
        self.window.deleteLater()
        assert self.window.worker.lost_count == 0

    def now(self) -> set[int]:
        asked = "SELECT id FROM sample WHERE status IN ('labelled', 'rejected')"
        return {int(row[0]) for row in self.dataset.db.fetch_all(asked)}

    @invariant()
    def nothing_was_filed_unseen(self) -> None:
        self.rest()
        before, self.decided = self.decided, self.now()
        assert self.decided - before <= self.painted
        assert [text for text in self.said if "bug in Gleanset" in text] == []

    def rest(self) -> None:
        settle(self.window)
        while (popup := QApplication.activePopupWidget()) is not None:
            QTest.keyClick(popup, Key.Key_Escape)
            settle(self.window)
        if not self.window.isActiveWindow():
            self.window.activateWindow()
            settle(self.window)

    # -- keys

    def press(self, key: Qt.Key | str, held: Qt.KeyboardModifier = NONE) -> None:
        QTest.keyClick(self.window.windowHandle(), key, held)
        QApplication.processEvents()

    def key_state(self) -> tuple[object, ...]:
        """What a person sees, without the status bar, and what was saved."""
        shown = self.window.grab(self.window.centralWidget().geometry()).toImage()
        last = self.window.worker.progress
        return id(self.window.focusWidget()), bytes(shown.constBits()), last and last.saved

    @rule(key=st.sampled_from((*LETTERS, *KEYS, *KEYS)), chord=st.none() | st.sampled_from(CHORDS))
    def key(self, key: Qt.Key | str, chord: tuple[Qt.Key, Qt.KeyboardModifier] | None) -> None:
        before = self.key_state()
        self.said.clear()
        self.press(*(chord or (key,)))
        popped_up = QApplication.activePopupWidget() is not None
        self.rest()
        assert popped_up or self.said or self.key_state() != before, "it neither acted nor said why"

    @rule(kind=st.sampled_from(VIEWS))
    def view(self, kind: object) -> None:
        self.press(Key(getattr(Key, f"Key_{kind.key}")))  # type: ignore[attr-defined]

    @rule(first=st.sampled_from("/n"), name=st.sampled_from(NAMES))
    def name(self, first: str, name: str) -> None:
        for key in (first, *name, Key.Key_Return):
            self.press(key)

    # -- the mouse

    def place(self, where: tuple[int, int, bool]) -> QPoint:
        """A place in the middle of the window, or of a tile there."""
        across, down, on_tile = where
        home = self.window.view.home
        area = home.viewport() if isinstance(home, QAbstractScrollArea) else home
        if not area.isVisible():
            area = self.window.centralWidget()
        place = QPoint(area.width() * across // 1000, area.height() * down // 1000)
        if on_tile and isinstance(home, TileView) and (rows := home.in_sight()):
            row = rows[across * len(rows) // 1000]
            place = home.visualRect(home.tiles.index(row)).center()
        return area.mapTo(self.window, place)

    @rule(where=PLACES)
    def point(self, where: tuple[int, int, bool]) -> None:
        QTest.mouseMove(self.window.windowHandle(), self.place(where))

    @rule(
        where=PLACES,
        button=st.sampled_from((Button.LeftButton, Button.LeftButton, Button.RightButton)),
        held=st.sampled_from((NONE, NONE, CONTROL, SHIFT)),
    )
    def click(
        self, where: tuple[int, int, bool], button: Qt.MouseButton, held: Qt.KeyboardModifier
    ) -> None:
        QTest.mouseClick(self.window.windowHandle(), button, held, self.place(where))

    @rule(number=ANY)
    def click_class(self, number: int) -> None:
        rail = self.window.class_panel.list
        row = number % rail.model().rowCount()
        place = rail.visualRect(rail.model().index(row, 0)).center()
        if rail.viewport().rect().contains(place):
            there = rail.viewport().mapTo(self.window, place)
            QTest.mouseClick(self.window.windowHandle(), Button.LeftButton, NONE, there)

    @rule(number=ANY)
    def click_button(self, number: int) -> None:
        view = self.window.view
        buttons = [one for one in view.findChildren(QPushButton) if one.isVisible()]
        if isinstance(view, LabelingView) and buttons:  # none that writes files
            button = buttons[number % len(buttons)]
            place = button.mapTo(self.window, button.rect().center())
            QTest.mouseClick(self.window.windowHandle(), Button.LeftButton, NONE, place)

    @rule(where=PLACES, turned=st.sampled_from((-120, 120)), held=st.sampled_from((NONE, CONTROL)))
    def wheel(self, where: tuple[int, int, bool], turned: int, held: Qt.KeyboardModifier) -> None:
        handle, place = self.window.windowHandle(), QPointF(self.place(where))
        QTest.wheelEvent(handle, place, QPoint(0, turned), QPoint(), held)

    @rule(where=PLACES)
    def band(self, where: tuple[int, int, bool]) -> None:
        place, handle = self.place(where), self.window.windowHandle()
        QTest.mousePress(handle, Button.LeftButton, SHIFT, place)
        for far in (20, 80, 160):
            QTest.mouseMove(handle, place + QPoint(far, far // 2))
        QTest.mouseRelease(handle, Button.LeftButton, SHIFT, place + QPoint(160, 80))

    @rule(number=ANY, onto=ANY)
    def drag(self, number: int, onto: int) -> None:
        view, rail = self.window.view, self.window.class_panel.model
        if not isinstance(view, LabelingView) or view.view.mouse.busy:
            return
        tiles = view.view.viewport()
        places = {row: self.person.place(row) for row in view.view.in_sight()}
        rows = [  # an enlarged face lies over all of them
            row
            for row, place in places.items()
            if self.window.childAt(tiles.mapTo(self.window, place)) is tiles
        ]
        if rows:
            row = rows[number % len(rows)]
            known = [rail.row(at) for at in range(rail.rowCount())]
            targets = [one.target for one in known if one is not None and one.accepts_drops]
            hover(tiles, self.person.place(row))
            self.person.drag(row, targets[onto % len(targets)])


@pytest.mark.slow  # a hundred real gestures, with everything looked at after each
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.usefixtures("application")
def test_a_walk_of_random_gestures(drawn_few: FaceSet, tmp_path: Path, named: bool) -> None:
    numbers = count()

    def begin() -> Walk:
        Walk.faces = copied(drawn_few, tmp_path / str(next(numbers)), named=named)
        if named:
            hint(Walk.faces, 0.8)
        return Walk()

    with painting() as Walk.painted:
        run_state_machine_as_test(
            begin,
            settings=settings(
                max_examples=3,
                stateful_step_count=40,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
