"""Random gestures in every view, the number of gestures, and layouts of sections."""

from itertools import combinations, count
from pathlib import Path

import pytest
from drawn_faces import FaceSet, copied, hint, labels
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from person import (
    CONTROL,
    NAMED_KEYS,
    NONE,
    SHIFT,
    OpenWindow,
    Person,
    collect_messages,
    hover,
    record_painted_samples,
    settle,
)
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractScrollArea, QApplication, QPushButton
from tools_for_tests import examples

from gleanset import Dataset
from labeler.qt.grid.layout import GAP, INSET, GridLayout, Section
from labeler.qt.grid.tile_view import TileView
from labeler.qt.views.base import VIEWS
from labeler.qt.views.labeling import LabelingView
from labeler.qt.window import LabelerWindow
from labeler.sorting.grid_query import DUPLICATES

Key, Button = Qt.Key, Qt.MouseButton
LETTERS = "abcdefghijklmnopqrstuvwxyz1234567890/?"
CHORDS = (
    (Key.Key_A, CONTROL),
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
"""Positions in thousandths of the view, or of its tiles."""


class RandomUser(RuleBasedStateMachine):
    """User who makes arbitrary gestures with real events."""

    faces: FaceSet
    painted: set[int]

    def __init__(self) -> None:
        super().__init__()
        self.window = LabelerWindow(self.faces.root, "pages")
        self.window.resize(1280, 720)
        self.window.show()
        settle(self.window)
        self.person = Person(self.window, self.faces)
        self.messages = collect_messages(self.window)
        self.dataset = Dataset.open(self.faces.root)
        self.decided = self.decided_samples()

    def teardown(self) -> None:
        self.dataset.close()
        self.window.close()
        self.window.deleteLater()
        assert self.window.worker.lost_count == 0

    def decided_samples(self) -> set[int]:
        query = "SELECT id FROM sample WHERE status IN ('labelled', 'rejected')"
        return {int(row[0]) for row in self.dataset.db.fetch_all(query)}

    @invariant()
    def only_painted_samples_are_decided(self) -> None:
        self.rest()
        before = self.decided
        self.decided = self.decided_samples()
        assert self.decided - before <= self.painted
        assert [text for text in self.messages if "bug in Gleanset" in text] == []

    def rest(self) -> None:
        settle(self.window)
        while (popup := QApplication.activePopupWidget()) is not None:
            QTest.keyClick(popup, Key.Key_Escape)
            settle(self.window)
        if not self.window.isActiveWindow():
            self.window.activateWindow()
            settle(self.window)

    # -- keys

    def press(self, key: Qt.Key | str, modifiers: Qt.KeyboardModifier = NONE) -> None:
        QTest.keyClick(self.window.windowHandle(), key, modifiers)
        QApplication.processEvents()

    def key_state(self) -> tuple[object, ...]:
        """Return focus, pixels without the status bar, and the number of saved steps."""
        shown = self.window.grab(self.window.centralWidget().geometry()).toImage()
        last = self.window.worker.progress
        return (
            id(self.window.focusWidget()),
            bytes(shown.constBits()),
            last and last.step_count,
        )

    @rule(
        key=st.sampled_from((*LETTERS, *NAMED_KEYS, *NAMED_KEYS)),
        chord=st.none() | st.sampled_from(CHORDS),
    )
    def key(
        self, key: Qt.Key | str, chord: tuple[Qt.Key, Qt.KeyboardModifier] | None
    ) -> None:
        before = self.key_state()
        self.messages.clear()
        self.press(*(chord or (key,)))
        popped_up = QApplication.activePopupWidget() is not None
        self.rest()
        assert popped_up or self.messages or self.key_state() != before, (
            "no effect and no message"
        )

    @rule(kind=st.sampled_from(VIEWS))
    def view(self, kind: object) -> None:
        self.press(Key(getattr(Key, f"Key_{kind.key}")))  # type: ignore[attr-defined]

    @rule(first=st.sampled_from("/n"), name=st.sampled_from(NAMES))
    def name(self, first: str, name: str) -> None:
        for key in (first, *name, Key.Key_Return):
            self.press(key)

    # -- the mouse

    def place(self, position: tuple[int, int, bool]) -> QPoint:
        """Return a point of the view, or the centre of a tile there."""
        across, down, on_tile = position
        home = self.window.view.home
        area = home.viewport() if isinstance(home, QAbstractScrollArea) else home
        if not area.isVisible():
            area = self.window.centralWidget()
        place = QPoint(area.width() * across // 1000, area.height() * down // 1000)
        if on_tile and isinstance(home, TileView) and (rows := home.in_sight()):
            row = rows[across * len(rows) // 1000]
            place = home.visualRect(home.tiles.index(row)).center()
        return area.mapTo(self.window, place)

    @rule(position=PLACES)
    def point(self, position: tuple[int, int, bool]) -> None:
        QTest.mouseMove(self.window.windowHandle(), self.place(position))

    @rule(
        position=PLACES,
        button=st.sampled_from(
            (Button.LeftButton, Button.LeftButton, Button.RightButton)
        ),
        modifiers=st.sampled_from((NONE, NONE, CONTROL, SHIFT)),
    )
    def click(
        self,
        position: tuple[int, int, bool],
        button: Qt.MouseButton,
        modifiers: Qt.KeyboardModifier,
    ) -> None:
        QTest.mouseClick(
            self.window.windowHandle(), button, modifiers, self.place(position)
        )

    @rule(number=ANY)
    def click_class(self, number: int) -> None:
        panel = self.window.class_panel.list
        row = number % panel.model().rowCount()
        place = panel.visualRect(panel.model().index(row, 0)).center()
        if panel.viewport().rect().contains(place):
            target = panel.viewport().mapTo(self.window, place)
            QTest.mouseClick(
                self.window.windowHandle(), Button.LeftButton, NONE, target
            )

    @rule(number=ANY)
    def click_button(self, number: int) -> None:
        view = self.window.view
        buttons = [
            widget for widget in view.findChildren(QPushButton) if widget.isVisible()
        ]
        if isinstance(view, LabelingView) and buttons:  # no button that writes files
            button = buttons[number % len(buttons)]
            place = button.mapTo(self.window, button.rect().center())
            QTest.mouseClick(self.window.windowHandle(), Button.LeftButton, NONE, place)

    @rule(
        position=PLACES,
        delta=st.sampled_from((-120, 120)),
        modifiers=st.sampled_from((NONE, CONTROL)),
    )
    def wheel(
        self,
        position: tuple[int, int, bool],
        delta: int,
        modifiers: Qt.KeyboardModifier,
    ) -> None:
        handle = self.window.windowHandle()
        place = QPointF(self.place(position))
        QTest.wheelEvent(handle, place, QPoint(0, delta), QPoint(), modifiers)

    @rule(position=PLACES)
    def band(self, position: tuple[int, int, bool]) -> None:
        place = self.place(position)
        handle = self.window.windowHandle()
        QTest.mousePress(handle, Button.LeftButton, SHIFT, place)
        for distance in (20, 80, 160):
            QTest.mouseMove(handle, place + QPoint(distance, distance // 2))
        QTest.mouseRelease(handle, Button.LeftButton, SHIFT, place + QPoint(160, 80))

    @rule(number=ANY, onto=ANY)
    def drag(self, number: int, onto: int) -> None:
        view = self.window.view
        panel = self.window.class_panel.model
        if not isinstance(view, LabelingView) or view.view.mouse.busy:
            return
        tiles = view.view.viewport()
        places = {row: self.person.tile_center(row) for row in view.view.in_sight()}
        rows = [  # an enlarged face may cover them
            row
            for row, place in places.items()
            if self.window.childAt(tiles.mapTo(self.window, place)) is tiles
        ]
        if rows:
            dragged = rows[number % len(rows)]
            classes = [panel.row(number) for number in range(panel.rowCount())]
            targets = [
                row.target
                for row in classes
                if row is not None and row.target != DUPLICATES
            ]
            hover(tiles, self.person.tile_center(dragged))
            self.person.drag(dragged, targets[onto % len(targets)])


@pytest.mark.slow
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.usefixtures("application")
def test_random_gestures_decide_only_painted_faces(
    shared_faces: FaceSet, tmp_path: Path, named: bool
) -> None:
    numbers = count()

    def start() -> RandomUser:
        RandomUser.faces = copied(
            shared_faces, tmp_path / str(next(numbers)), named=named
        )
        if named:
            hint(RandomUser.faces, 0.8)
        return RandomUser()

    with record_painted_samples() as RandomUser.painted:
        run_state_machine_as_test(
            start,
            settings=settings(
                max_examples=examples(1, 3),
                stateful_step_count=examples(15, 40),
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )


def count_gestures(person: Person, faces: FaceSet) -> int:
    """Close the window, check all labels and return the number of gestures."""
    person.window.close()
    assert labels(faces.root) == faces.truth
    return person.gestures


def test_each_face_costs_one_gesture(person: Person, faces: FaceSet) -> None:
    for row in range(len(faces.truth)):
        move = person.drag if row % 2 else person.send
        move(row, person.true_class(row))
    settle(person.window)
    assert count_gestures(person, faces) == len(faces.truth)


def test_pages_stay_within_gesture_budget(
    open_window: OpenWindow, faces: FaceSet
) -> None:
    hint(faces, 0.9)
    person = Person(open_window(faces.root, "pages"), faces)
    person.sort_pages()
    assert count_gestures(person, faces) <= 15


SIDE = 56
COUNTS = st.lists(st.integers(1, 60), min_size=1, max_size=7)


@pytest.mark.parametrize("side", [40, 112, 300])
@pytest.mark.parametrize("shares_shelf", [True, False])
def test_portrait_is_never_smaller_than_a_tile(side: int, shares_shelf: bool) -> None:
    """On a large screen with few faces, tiles are larger than a portrait usually is."""
    card = Section("Miku?", 20, shares_shelf=shares_shelf, portrait=0)
    grid = GridLayout([card], 3000, side)
    assert grid.placed[0].portrait.width() >= grid.rect(0).width()


@settings(max_examples=examples(30, 100))
@given(COUNTS, st.integers(40, 1200))
def test_tiles_do_not_overlap(counts: list[int], width: int) -> None:
    sections = [Section("Miku?", count, shares_shelf=True) for count in counts]
    grid = GridLayout(sections, width, SIDE)
    places = [grid.rect(row) for row in range(sum(counts))]
    assert not any(place.intersects(other) for place, other in combinations(places, 2))
    assert all(grid.row_at(place.center()) == row for row, place in enumerate(places))
    assert all(place.bottom() < grid.height for place in places)
    assert all(place.right() < max(width, SIDE + 2 * (GAP + INSET)) for place in places)
    tops = [(placed.top, placed.left) for placed in grid.placed]
    assert tops == sorted(tops)


@pytest.mark.parametrize("counts", [(6, 6, 6), (6, 6, 1), (4, 9, 2, 3, 8, 5, 6)])
@pytest.mark.parametrize("width", [440, 700, 1000])
def test_card_alone_in_its_row_is_hardly_wider_than_others(
    counts: tuple[int, ...], width: int
) -> None:
    sections = [
        Section("Miku?", count, shares_shelf=True, portrait=0) for count in counts
    ]
    cards = GridLayout(sections, width, SIDE).placed
    tops = [card.box.top() for card in cards]
    shared = 0
    for card in cards:
        needed = card.right - card.left + 2 * INSET - GAP
        if tops.count(card.box.top()) > 1:
            shared = card.box.width()
        elif shared and needed + card.cell < width - 2 * GAP:
            assert card.box.width() == max(shared, needed)


def test_last_card_is_hardly_wider_than_a_shared_row() -> None:
    sections = [Section("Miku?", 6, shares_shelf=True, portrait=0) for _ in range(3)]
    *others, last = GridLayout(sections, 700, SIDE).placed
    assert last.box.top() > others[-1].box.top()
    assert others[-1].box.width() <= last.box.width() < 400


def test_wide_card_alone_in_its_row_fills_the_row() -> None:
    """Its tiles need more than the width of the other cards."""
    sections = [Section("Miku?", count, shares_shelf=True) for count in (3, 3, 3, 200)]
    *others, single = GridLayout(sections, 1000, SIDE).placed
    assert single.box.top() > others[-1].box.top()
    assert single.box.width() > 2 * others[-1].box.width()
    assert single.box.right() == others[-1].box.right()
