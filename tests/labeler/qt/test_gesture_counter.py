"""What the window says it has cost: right to the key, in every view."""

from __future__ import annotations

import random

from drawn_faces import FaceSet, propose
from person import CONTROL, NONE, SHIFT, Opened, settle
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from gleanset import Dataset
from labeler.qt.window import LabelerWindow
from labeler.sorting.session import SortingSession

Key, Button = Qt.Key, Qt.MouseButton
KEYS = "123wlsoqnkbcgx/?[-"
OTHERS = (Key.Key_Return, Key.Key_Escape, Key.Key_PageDown, Key.Key_F8, Key.Key_F9, Key.Key_Delete)
SHOWN = (Key.Key_F2, Key.Key_F3, Key.Key_F4, Key.Key_F5, Key.Key_F6, Key.Key_G)
CHORDS = ((Key.Key_A, CONTROL), (Key.Key_Z, CONTROL), (Key.Key_2, SHIFT), (Key.Key_Down, SHIFT))


def hundred_mixed(window: LabelerWindow, dice: random.Random) -> int:
    """A hundred gestures, given to the window as a desktop does; how many they are."""
    told = 0
    for number in range(94):
        if number % 16 == 0:
            told += 1
            QTest.keyClick(window.windowHandle(), SHOWN[number // 16])
        told += one_gesture(window, dice)
        QApplication.processEvents()
    settle(window)
    return told


def one_gesture(window: LabelerWindow, dice: random.Random) -> int:
    there = window.windowHandle()
    place = QPoint(dice.randrange(260, 1100), dice.randrange(60, 860))
    what = dice.choice(("letter", "key", "chord", "click", "drag", "wheel"))
    if what == "letter":
        QTest.keyClick(there, dice.choice(KEYS))
    elif what == "key":
        QTest.keyClick(there, dice.choice(OTHERS))
    elif what == "chord":
        key, held = dice.choice(CHORDS)
        QTest.keyClick(there, key, held)
    elif what == "click":
        QTest.mouseClick(there, Button.LeftButton, NONE, place)
    elif what == "drag":
        QTest.mousePress(there, Button.LeftButton, SHIFT, place)
        for step in (5, 20, 60):
            QTest.mouseMove(there, place + QPoint(step, step))
        QTest.mouseRelease(there, Button.LeftButton, SHIFT, place + QPoint(60, 60))
    else:
        for _ in range(2):
            QTest.wheelEvent(there, QPointF(place), QPoint(0, -120))
        return 2
    return 1


def test_a_hundred_mixed_gestures_are_a_hundred(opened: Opened, few: FaceSet) -> None:
    """In all views: keys, chords, clicks, strokes of the mouse and notches of the wheel."""
    propose(few, 0.9)
    window = opened(few.root, "pages")
    settle(window)
    told = hundred_mixed(window, random.Random(16))
    assert told > 100
    window.sheet.hide()
    assert window.worker.gestures == told
    assert f"{told:,} gestures" in window.status.spent.text()
    window.close()
    with Dataset.open(few.root) as dataset:
        assert SortingSession(dataset).progress().gestures == told


def test_what_a_held_key_repeats_late_is_no_gesture(opened: Opened, few: FaceSet) -> None:
    """On X11 that is a release and a press of one instant, which are no repeats to Qt."""
    window = opened(few.root)
    settle(window)
    view, held = (
        window.view.home,
        [1000, *(instant for n in range(3) for instant in [1660 + n] * 2)],
    )
    for number, instant in enumerate([*held, 1700, 1800]):
        kind = QEvent.Type.KeyRelease if number % 2 else QEvent.Type.KeyPress
        event = QKeyEvent(kind, Key.Key_X, NONE, "x")
        event.setTimestamp(instant)
        QApplication.sendEvent(view, event)
    assert window.worker.gestures == 2
