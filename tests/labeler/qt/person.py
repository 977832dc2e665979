"""A scripted user who presses real keys and buttons, and counts them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np
from drawn_faces import assigned_labels
from PySide6.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import (
    QContextMenuEvent,
    QDrag,
    QDragEnterEvent,
    QDragMoveEvent,
    QDropEvent,
    QKeyEvent,
    QMouseEvent,
)
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu, QWidget
from settled import is_settled, list_unseen

from baseline.prelabel.prelabeling import save_vectors
from curation.similarity.vectors import VECTORS_FACT, make_sample_vector_name
from gleanset import Dataset
from gleanset.db.proposals import PrelabelledSample, Proposals
from gleanset.db.sorting import SortingQueue
from labeler.qt.grid import gesture_view, mouse
from labeler.qt.grid.model import TileModel
from labeler.qt.grid.tile_view import TileView
from labeler.qt.keyboard import _FIRST_DIGIT_SCAN_CODE
from labeler.qt.views.base import VIEWS, LabelerView
from labeler.qt.views.class_pages import ClassPagesView
from labeler.qt.views.duplicates import DuplicatesView
from labeler.qt.views.labeling import LabelingView
from labeler.qt.views.page_grid import PageGrid
from labeler.qt.window import LabelerWindow
from labeler.sorting.keys import DIGITS
from labeler.sorting.page_layout import ClassPage

if TYPE_CHECKING:
    from drawn_faces import FaceSet


Key, Button = Qt.Key, Qt.MouseButton
VIEW_NAMES = [kind.name for kind in VIEWS]
MIN_PAUSE_SECONDS = 0.001
MAX_PAUSE_SECONDS = 0.02
"""Shortest and longest pause between two polls of a busy window, in seconds."""

NAMED_KEYS = (
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

FakeCommands = Callable[..., None]
"""The fixture `fake_commands`: code that runs in place of Gleanset's own commands."""

InstallLanguage = Callable[[str], str]
"""The fixture `install_language`: shows all texts in a language until the test ends."""

OpenWindow = Callable[..., LabelerWindow]
"""The fixture `open_window`: makes a window from a dataset's folder, a view and a size."""

NONE, SHIFT, CONTROL = (
    Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.ControlModifier,
)


def wait_until(holds: Callable[[], bool], seconds: float = 120) -> None:
    """Process events until a condition holds, polling less often as time passes."""
    end = time.monotonic() + seconds
    pause = MIN_PAUSE_SECONDS
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        QApplication.processEvents()
        time.sleep(pause)
        pause = min(pause * 1.1, MAX_PAUSE_SECONDS)


def has_tile(model: TileModel, row: int) -> bool:
    """Return whether the details of a row are loaded."""
    return model.rowCount() > row and model.tile(row) is not None


def settle(window: LabelerWindow, seconds: float = 120) -> None:
    """Wait until the worker is idle and the view is completely painted."""
    quiet = 0
    end = time.monotonic() + seconds
    pause = MIN_PAUSE_SECONDS
    while quiet < 2:
        assert time.monotonic() < end, "the window does not come to rest"
        QApplication.processEvents()
        view = window.view
        is_quiet = is_settled(view) and not has_unpainted_tiles(view)
        quiet = quiet + 1 if is_quiet and has_looked(view) else 0
        pause = MIN_PAUSE_SECONDS if quiet else min(pause * 1.1, MAX_PAUSE_SECONDS)
        time.sleep(pause)


def has_unpainted_tiles(view: LabelerView) -> bool:
    """Return whether a visible image is not painted yet."""
    window = view.window()
    covered = isinstance(window, LabelerWindow) and window.sheet.isVisible()
    shown = isinstance(view, LabelingView) and view.view.isVisible() and not covered
    return shown and bool(view.view.unseen(view.view.in_sight()))


def has_looked(view: LabelerView) -> bool:
    """Return whether the tiles are on the screen for long enough to be labelled."""
    if not (isinstance(view, LabelingView) and view.view.is_page):
        return True
    # A page hears of what was painted when all of it is.
    is_page = isinstance(view, ClassPagesView)
    seen = view.state.seen_at if is_page else view.view.seen_samples
    looked_for = time.monotonic() - max(seen.values(), default=0.0)
    return looked_for > gesture_view.MIN_LOOK_SECONDS


@contextmanager
def record_painted_samples() -> Iterator[set[int]]:
    """Yield the set of samples whose images are painted meanwhile."""
    result: set[int] = set()
    appearance = TileView.appearance

    def record_appearance(view: TileView, row: int) -> object:
        look = appearance(view, row)
        position = view.visualRect(view.tiles.index(row))
        if look.thumbnail is not None and view.viewport().rect().intersects(position):
            result.update(view.tiles.ids([row]))
        return look

    with patch.object(TileView, "appearance", record_appearance):
        yield result


def wait_for_enter(view: LabelingView) -> None:
    """Wait until Enter is accepted on a new page."""
    wait_until(lambda: has_looked(view))


def hover(
    widget: QWidget,
    point: QPoint,
    buttons: Qt.MouseButton = Button.NoButton,
    modifiers: Qt.KeyboardModifier = NONE,
) -> None:
    """Move the mouse; `QTest.mouseMove` cannot hold a button."""
    position = QPointF(widget.mapToGlobal(point))
    event = QMouseEvent(
        QEvent.Type.MouseMove,
        QPointF(point),
        position,
        Button.NoButton,
        buttons,
        modifiers,
    )
    QApplication.sendEvent(widget, event)


def hold(
    widget: QWidget,
    key: Qt.Key,
    text: str = "",
    *,
    marked: bool = False,
    enough: Callable[[], bool] = lambda: True,
) -> None:
    """Hold a key until `enough`, for at least 0.4 seconds, repeating like X11."""
    start = time.monotonic()
    instant = 100_000
    events = [(QEvent.Type.KeyPress, False)]
    while time.monotonic() < start + 0.4 or (
        not enough() and time.monotonic() < start + 60
    ):
        for kind, repeated in events:
            event = QKeyEvent(kind, key, NONE, text, repeated)
            event.setTimestamp(instant)
            QApplication.sendEvent(QApplication.focusWidget() or widget, event)
            QTest.qWait(10)
        instant += 40
        # A repeat is a release and a press at one time; Qt detects some of them (`marked`).
        events = [(QEvent.Type.KeyRelease, marked), (QEvent.Type.KeyPress, marked)]
    event = QKeyEvent(QEvent.Type.KeyRelease, key, NONE, text)
    event.setTimestamp(instant)
    QApplication.sendEvent(widget, event)


def press(window: LabelerWindow, *keys: Qt.Key | str) -> None:
    """Send keys to the window, as a desktop does."""
    for key in keys:
        QTest.keyClick(window.windowHandle(), key)
        QApplication.processEvents()
    settle(window)


def right_click(widget: QWidget, point: QPoint) -> None:
    """Open the context menu at a point."""
    position = widget.mapToGlobal(point)
    event = QContextMenuEvent(QContextMenuEvent.Reason.Mouse, point, position, NONE)
    QApplication.sendEvent(widget, event)


def click(menu: QMenu, text: str) -> None:
    """Choose the first menu entry with a prefix, and activate the window again."""
    window = menu.parentWidget().window()
    action = next(entry for entry in menu.actions() if entry.text().startswith(text))
    QTest.mouseClick(
        menu, Button.LeftButton, NONE, menu.actionGeometry(action).center()
    )
    window.activateWindow()
    wait_until(window.isActiveWindow)


def drop_over(widget: QWidget, mime: QMimeData, point: QPoint) -> Qt.DropAction:
    """Send the events of a drag over a widget and of its drop."""
    copy = Qt.DropAction.CopyAction
    is_accepted = False
    for kind in (QDragEnterEvent, QDragMoveEvent):
        over = kind(point, copy, mime, Button.LeftButton, NONE)
        # Who has accepted the first event need not accept the others.
        over.setAccepted(is_accepted)
        QApplication.sendEvent(widget, over)
        if not (is_accepted := over.isAccepted()):
            return Qt.DropAction.IgnoreAction
    event = QDropEvent(QPointF(point), copy, mime, Button.LeftButton, NONE)
    QApplication.sendEvent(widget, event)
    return event.dropAction()


def drop_files(widget: QWidget, paths: Sequence[Path]) -> None:
    """Drop files on the centre of a widget."""
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    drop_over(widget, mime, widget.rect().center())


def shifted_digit(widget: QWidget, digit: str, kind: QEvent.Type) -> None:
    """Send Shift and a digit as most keyboards do: a symbol with the scan code of the digit."""
    number = DIGITS.index(digit)
    code = ord("!@#$%^&*()"[number])
    sign = chr(code)
    event = QKeyEvent(kind, code, SHIFT, number + _FIRST_DIGIT_SCAN_CODE, 0, 0, sign)
    QApplication.sendEvent(widget, event)


def class_pages(person: Person) -> ClassPagesView:
    """Return the class pages view of a user."""
    view = person.window.view
    assert isinstance(view, ClassPagesView)
    return view


def pointed_card(person: Person) -> range:
    """Return the tiles of the card that is pointed at."""
    state = class_pages(person).state
    tiles = state.shown.members(state.card)
    return range(tiles[0], tiles[-1] + 1) if tiles else range(0)


def card_name(person: Person, row: int) -> str:
    """Return the name in the heading of the card of a tile."""
    view = class_pages(person)
    name = view.state.shown.name_of(view.state.shown.cards[row])
    return view.view.names.get(name, name)


def wait_for_page(person: Person) -> ClassPagesView:
    """Return the class pages view once Enter is accepted."""
    view = class_pages(person)
    wait_until(lambda: view.page is not None)
    settle(person.window)
    wait_for_enter(view)
    return view


def double_click(person: Person, row: int) -> None:
    """Double-click a row as Qt delivers it."""
    tiles = person.view.view.viewport()
    place = person.tile_center(row)
    QTest.mouseClick(tiles, Button.LeftButton, pos=place)
    QTest.mouseDClick(tiles, Button.LeftButton, pos=place)
    QTest.mouseRelease(tiles, Button.LeftButton, pos=place)


def store_vectors(
    root: Path, truth: Mapping[str, str], *, centered: bool = False
) -> None:
    """Store feature vectors in which the classes are orthogonal, as `baseline prelabel` would."""
    with Dataset.open(root) as dataset:
        queue = SortingQueue(dataset.db)
        samples = queue.get_features(queue.list_waiting(1000))
        names = sorted(set(truth.values()))
        rows = np.eye(len(names), dtype=np.float32)[
            [names.index(truth[s.key]) for s in samples]
        ]
        rows -= rows.mean(axis=0) if centered else 0
        vector_names = [
            make_sample_vector_name(sample.key, sample.region) for sample in samples
        ]
        vectors = save_vectors(dataset, vector_names, rows)
        prelabelled = [
            PrelabelledSample(s.key, place, ()) for place, s in enumerate(samples)
        ]
        Proposals(dataset.db).replace(prelabelled, {VECTORS_FACT: vectors})


def shown_keys(view: LabelingView) -> list[str]:
    """Return the keys of all samples of a view, once they are loaded."""
    rows = range(view.model.rowCount())
    wait_until(lambda: all(view.model.tile(row) for row in rows))
    return [view.model.tile(row).key for row in rows]  # type: ignore[union-attr]


def collect_messages(window: LabelerWindow) -> list[str]:
    """Return a list that collects the messages of the status bar."""
    messages: list[str] = []
    window.worker.message.connect(lambda text, bad: messages.append(text))
    return messages


def drag_from(
    tiles: QWidget, start: QPoint, drop: Callable[[QMimeData], Qt.DropAction]
) -> None:
    """Press the mouse at a point and move it until `drop` gets what is dragged.

    Without a display no drag can run, so only the drag loop of the desktop is replaced.
    """

    class Carried(QDrag):
        def exec(self, *actions: Qt.DropAction) -> Qt.DropAction:
            return drop(self.mimeData())

    with patch.object(mouse, "QDrag", Carried):
        QTest.mousePress(tiles, Button.LeftButton, NONE, start)
        for far in (4, 12, 30):
            hover(tiles, start - QPoint(far, 0), Button.LeftButton)
    # The desktop consumes the release of a drag, so the window never sees it. Qt must see it, or it
    # would consider the button held in every later test.
    QTest.mouseRelease(QWidget(), Button.LeftButton)


class Person:
    """Scripted user who knows the true classes; `gestures` counts keys, clicks and drags."""

    def __init__(self, window: LabelerWindow, faces: FaceSet) -> None:
        self.window = window
        self.truth = faces.truth
        self.gestures = 0

    @property
    def view(self) -> LabelingView:
        shown = self.window.view
        assert isinstance(shown, LabelingView)
        return shown

    @property
    def page(self) -> ClassPage:
        """The page on the screen."""
        page = class_pages(self).state.shown.page
        assert page.tiles
        return page

    @property
    def status(self) -> str:
        """The message of the status bar."""
        return self.window.statusBar().currentMessage()

    @property
    def labels(self) -> dict[str, str]:
        """The saved label of each labelled sample."""
        return assigned_labels(self.window.worker.root)

    @property
    def keys(self) -> dict[str, str]:
        return self.window.worker.progress.keys

    def true_class(self, row: int) -> str:
        wait_until(lambda: has_tile(self.view.model, row))
        tile = self.view.model.tile(row)
        return self.truth[tile.key]

    def tile_center(self, row: int) -> QPoint:
        """Return the centre of a tile, scrolled into view."""
        index = self.view.model.index(row)
        grid = self.view.view
        grid.scrollTo(index)
        if index.isValid():
            # A user acts only on what is painted.
            wait_until(lambda: not grid.unseen([row]))
        return grid.visualRect(index).center()

    def point(self, row: int) -> None:
        center = self.tile_center(row)
        for place in (center + QPoint(8, 0), center):  # only a mouse that moves points
            hover(self.view.view.viewport(), place)

    def press(self, key: str, modifiers: Qt.KeyboardModifier = NONE) -> None:
        self.gestures += 1
        if modifiers == SHIFT and key in DIGITS:
            for kind in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease):
                shifted_digit(self.view.view, key, kind)
        else:
            QTest.keyClick(self.view.view, key, modifiers)

    def enter(self) -> None:
        self.gestures += 1
        if isinstance(self.view, DuplicatesView):
            wait_for_enter(self.view)
        QTest.keyClick(self.view.view, Key.Key_Return)
        settle(self.window)

    def add_class(self, name: str) -> None:
        self.window.worker.decide(lambda session: session.add_class(name))
        settle(self.window)

    def undo(self) -> None:
        self.window.undo()
        settle(self.window)

    def redo(self) -> None:
        self.window.redo()
        settle(self.window)

    def click(self, row: int, modifiers: Qt.KeyboardModifier = NONE) -> None:
        self.gestures += 1
        QTest.mouseClick(
            self.view.view.viewport(),
            Button.LeftButton,
            modifiers,
            self.tile_center(row),
        )

    def send(self, row: int, name: str) -> None:
        """Press the class's key while pointing, with Shift where clusters are shown."""
        self.point(row)
        grid = self.view.view
        is_page = isinstance(grid, PageGrid)
        held = SHIFT if is_page and grid.page_state.shown.has_clusters else NONE
        for key in self.keys[name]:  # later classes have a code of two keys
            self.press(key, held)

    def drag(self, row: int, target: str) -> None:
        """Drag a face onto a row of the class panel."""
        self.gestures += 1
        panel = self.window.class_panel
        drops = []
        number = panel.model.row_of(target)
        position = panel.list.visualRect(panel.model.index(number)).center()

        def drop(mime: QMimeData) -> Qt.DropAction:
            drops.append(drop_over(panel.list.viewport(), mime, position))
            return drops[-1]

        drag_from(self.view.view.viewport(), self.tile_center(row), drop)
        assert drops == [Qt.DropAction.CopyAction]

    def type_name(self, name: str) -> None:
        """Answer "Who is this?" with one key per letter."""
        view = class_pages(self)
        if view.page is not None and view.page.kind not in ("groups", "plain"):
            view.header.name.setFocus()
        self.gestures += len(name) + 1
        for letter in name:
            QTest.keyClick(self.window.focusWidget(), letter)
        assert self.window.focusWidget() is view.header.name
        QTest.keyClick(view.header.name, Key.Key_Return)

    @property
    def decided_count(self) -> int:
        """The number of faces that are decided."""
        counts = self.window.worker.progress.counts
        return counts.total - counts.pending - counts.later

    def sort_pages(self) -> None:
        """Sort class pages until none is left."""
        view = class_pages(self)
        while view.page is not None:
            self.sort_page()

    def sort_page(self) -> None:
        """Correct all predictions of this page, whose classes exist, and accept it."""
        view = class_pages(self)
        page = view.page
        true_labels = [self.true_class(row) for row in range(len(page.tiles))]
        expected_labels = [page.label or tile.prediction.label for tile in page.tiles]
        if page.kind == "groups":
            expected_labels = self._label_clusters(page.card_sizes, true_labels)
        for row, label in enumerate(true_labels):
            if label != expected_labels[row]:
                if page.kind == "groups":  # first take it out of its cluster's name
                    self.click(row)
                self.send(row, label)
        wait_for_enter(view)
        self.scroll_through()
        self.enter()

    def _label_clusters(
        self, sizes: Sequence[int], true_labels: list[str]
    ) -> list[str | None]:
        """Name each cluster after its majority; return each tile's resulting label."""
        resulting_labels: list[str | None] = []
        for size in sizes:
            label = Counter(true_labels[len(resulting_labels) :][:size]).most_common(1)[
                0
            ][0]
            self.send(len(resulting_labels), label)
            resulting_labels += [label] * size
        return resulting_labels

    def scroll_through(self) -> None:
        """Scroll until all tiles were visible; scrolling is not counted."""
        while unseen := list_unseen(self.view.view):
            self.view.view.look_from(unseen[0])
            settle(self.window)
