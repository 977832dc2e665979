"""Accessibility: keyboard only, screen readers, input methods, contrast."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from drawn_faces import FaceSet, hint, labels
from numpy.typing import NDArray
from person import NONE, SHIFT, VIEW_NAMES, Opened, Person, alive, settle, until
from PySide6.QtCore import Qt
from PySide6.QtGui import (
    QAccessible,
    QAccessibleAnnouncementEvent,
    QAccessibleEvent,
    QAction,
    QImage,
    QInputMethodEvent,
    QShortcut,
)
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QWidget,
)

from gleanset import Dataset
from gleanset.db.sorting import SampleTiles
from labeler.qt.theme import show_theme
from labeler.qt.views.class_pages import ClassPagesView
from labeler.qt.window import LabelerWindow

Key = Qt.Key
CONTROLS = (QAbstractButton, QAbstractItemView, QAbstractSpinBox, QComboBox, QLineEdit)
MOST_STOPS = 60


def walk(window: LabelerWindow, modifiers: Qt.KeyboardModifier) -> list[QWidget]:
    """Press Tab from the focus until it comes back there."""
    stops = [focus(window)]
    while len(stops) < MOST_STOPS:
        QTest.keyClick(stops[-1], Key.Key_Tab, modifiers)
        if focus(window) is stops[0]:
            return stops
        assert focus(window) is not stops[-1], f"Tab does not leave {stops[-1]}"
        stops.append(focus(window))
    raise AssertionError(f"Tab does not come back: {stops}")


def steady_walk(window: LabelerWindow) -> list[QWidget]:
    """The same, once it stays so: an empty view says a moment later that it is."""
    before, stops = [], walk(window, NONE)
    while stops != before:
        settle(window)
        before, stops = stops, walk(window, NONE)
    return stops


def focus(window: LabelerWindow) -> QWidget:
    result = window.focusWidget()
    assert result is not None
    return result


def active(window: LabelerWindow) -> LabelerWindow:
    window.activateWindow()
    until(window.isActiveWindow)
    settle(window)
    until(lambda: window.view.is_settled())
    return window


@pytest.fixture
def views(opened: Opened, few: FaceSet) -> Iterator[LabelerWindow]:
    """One window in each of its views, one after the other."""

    def shown() -> Iterator[LabelerWindow]:
        hint(few, 0.9)
        window = opened(few.root)
        for name in VIEW_NAMES:
            window.show_view(name)
            yield active(window)

    return shown()


def test_tab_goes_everywhere_and_is_never_caught(views: Iterator[LabelerWindow]) -> None:
    for window in views:
        assert_tab_goes_everywhere(window)


def assert_tab_goes_everywhere(window: LabelerWindow) -> None:
    window.class_panel.field.setFocus()
    stops = steady_walk(window)
    window.class_panel.field.setFocus()
    assert set(walk(window, SHIFT)) == set(stops)
    assert all(stop.isVisible() and stop.isEnabled() for stop in stops)
    reached = set(stops) | {stop.parentWidget() for stop in stops}
    for widget in window.findChildren(QWidget):
        inner = isinstance(widget.parent(), CONTROLS)
        wanted = isinstance(widget, CONTROLS) and widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        if wanted and widget.isVisible() and widget.isEnabled() and not inner:
            assert widget in reached, widget
    # From left to right: the rail, the view, what lies below.
    parts = [
        0 if window.class_panel.isAncestorOf(stop) else 1 if window.view.isAncestorOf(stop) else 2
        for stop in stops
    ]
    assert parts == sorted(parts), stops


def test_a_whole_dataset_by_keyboard_alone(opened: Opened, few: FaceSet) -> None:
    """From "Who is this?" to the last face; no mouse event at all."""
    hint(few, 0.97)
    person = Person(active(opened(few.root, "pages")), few)
    window, view = person.window, person.window.view
    assert isinstance(view, ClassPagesView)
    while view.page is not None:
        for row in range(len(view.page.tiles)):
            wanted = view.page.label or view.page.tiles[row].prediction.label
            QTest.keyClick(view.view, Key.Key_Home)
            for _ in range(row):
                QTest.keyClick(view.view, Key.Key_Right)
            if person.who(row) != wanted:
                # On an overview digits begin a name: with Shift they are keys.
                shift = SHIFT if view.page.kind == "groups" else NONE
                person.press(person.keys[person.who(row)], "key", shift)
        alive(view)
        QTest.keyClick(view.view, Key.Key_End)
        QTest.keyClick(view.view, Key.Key_Return)
        settle(window)
    assert labels(few.root) == few.truth
    QTest.keyClick(view.view, Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    settle(window)
    assert labels(few.root) != few.truth


def test_no_key_means_two_things(views: Iterator[LabelerWindow]) -> None:
    *_, window = views  # all views are there by then
    kinds = (QAction, QShortcut)
    owners = [owner for kind in kinds for owner in window.findChildren(kind)]
    for parent in {owner.parent() for owner in owners}:
        keys = [
            (owner.shortcut() if isinstance(owner, QAction) else owner.key()).toString()
            for owner in owners
            if owner.parent() is parent
        ]
        named = [key for key in keys if key]
        assert len(set(named)) == len(named), (parent, named)


def test_everything_has_a_name_and_a_role(views: Iterator[LabelerWindow]) -> None:
    for widget in (widget for window in views for widget in window.findChildren(QWidget)):
        inner = isinstance(widget.parent(), CONTROLS) or "qt_" in widget.objectName()
        if isinstance(widget, CONTROLS) and widget.isVisible() and not inner:
            result = QAccessible.queryAccessibleInterface(widget)
            assert result.text(QAccessible.Text.Name), widget
            assert result.role() != QAccessible.Role.NoRole, widget
            if isinstance(widget, QAbstractItemView):
                names = [result.child(n) for n in range(min(result.childCount(), 80))]
                assert all(name.text(QAccessible.Text.Name) for name in names if name), widget


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a screen reader is told; Qt has no other way to listen to it from Python."""
    result: list[str] = []
    real: Callable[[QAccessibleEvent], None] = QAccessible.updateAccessibility

    def listen(event: QAccessibleEvent) -> None:
        if isinstance(event, QAccessibleAnnouncementEvent):
            result.append(event.message())
        real(event)

    monkeypatch.setattr(QAccessible, "updateAccessibility", staticmethod(listen))
    QAccessible.setActive(True)
    yield result
    QAccessible.setActive(False)


def test_pages_and_results_are_read_out(opened: Opened, few: FaceSet, heard: list[str]) -> None:
    hint(few, 0.97)
    person = Person(active(opened(few.root, "pages")), few)
    view = person.window.view
    assert isinstance(view, ClassPagesView)
    assert any(view.header.title.text() in text for text in heard)
    first = view.header.title.text()
    heard.clear()
    alive(view)
    person.see_all()
    person.enter()
    assert any(text.startswith("Label ") for text in heard), heard
    assert any(view.header.title.text() in text for text in heard), heard  # the next page
    assert view.header.title.text() != first
    heard.clear()
    person.undo()
    assert heard


@pytest.mark.parametrize("view", ["grid", "pages"])
def test_keys_belong_to_the_input_method_while_it_composes(
    opened: Opened, few: FaceSet, view: str
) -> None:
    person = Person(active(opened(few.root, view)), few)
    grid, window = person.view.view, person.window
    person.point(0)
    before = steps(window)
    QApplication.sendEvent(grid, QInputMethodEvent("はる", []))
    for key in (
        Key.Key_1,
        Key.Key_Return,
        Key.Key_Delete,
        Key.Key_L,
        Key.Key_Space,
        Key.Key_PageDown,
    ):
        QTest.keyClick(grid, key)
    settle(window)
    assert steps(window) == before
    assert person.view.model.states == {}
    QApplication.sendEvent(grid, QInputMethodEvent("", []))


def steps(window: LabelerWindow) -> int:
    with Dataset.open(window.worker.root) as dataset:
        return len(SampleTiles(dataset.db).list_steps())


def luminance(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """WCAG 2.2, relative luminance."""
    part = colours / 255.0
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    result: NDArray[np.float64] = linear @ np.array((0.2126, 0.7152, 0.0722))
    return result


def text_contrast(widget: QWidget) -> float:
    """The best contrast with the commonest colour: that of strokes that smoothing leaves whole."""
    corner = widget.mapTo(widget.window(), widget.rect().topLeft())
    picture = widget.window().grab(widget.rect().translated(corner)).toImage()
    picture = picture.convertToFormat(QImage.Format.Format_RGB32)
    rows = np.frombuffer(picture.constBits(), np.uint8).reshape(-1, 4)[:, 2::-1]
    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    all_of = luminance(kinds)
    under = all_of[counts.argmax()]
    high, low = np.maximum(under, all_of), np.minimum(under, all_of)
    return float(((high + 0.05) / (low + 0.05)).max())


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_text_has_contrast(opened: Opened, few: FaceSet, colours: str) -> None:
    show_theme(colours)
    try:
        window = opened(few.root, size=(1100, 700))
        checked: set[QWidget] = set()  # what all views share is looked at once
        for view in VIEW_NAMES:
            window.show_view(view)
            settle(window)
            for widget in {*window.findChildren(QLabel), *window.findChildren(QAbstractButton)}:
                shown = widget.isVisible() and widget.isEnabled() and widget.text().strip()
                if shown and widget not in checked and not widget.visibleRegion().isEmpty():
                    assert text_contrast(widget) >= 4.5, (view, widget)
                    checked.add(widget)
        assert len(checked) > 20
    finally:
        show_theme("")
