"""The crop view: boxes by mouse and by keyboard, each a sample at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from drawn_faces import FaceSet
from person import CONTROL, NONE, SHIFT, Opened, hover, settle, until
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtTest import QTest

from gleanset import Dataset
from gleanset.db.cropping import Croppings, Placed
from labeler.qt.crop_view import CropView
from labeler.qt.window import Window

Key, Button = Qt.Key, Qt.MouseButton


@pytest.fixture
def window(opened: Opened, few: FaceSet) -> Iterator[Window]:
    """Three images have no face any more."""
    with Dataset.open(few.root) as dataset:
        for image in list(dataset.images.each())[:3]:
            dataset.faces.record(image.sha256, "drawn", "again", [])
    window = opened(few.root, "crop")
    ready(window)
    return window


def view_of(window: Window) -> CropView:
    view = window.view
    assert isinstance(view, CropView)
    return view


def ready(window: Window) -> None:
    settle(window)
    view = view_of(window)
    until(lambda: not view.canvas.image.isNull() and not view._saving.pending)
    settle(window)


def kept(window: Window) -> list[Placed]:
    view = view_of(window)
    assert view._sheet is not None
    with Dataset.open(window.desk.root) as dataset:
        return Croppings(dataset.db).placed(view._sheet.sha256)


def spot(view: CropView, x: float, y: float) -> QPoint:
    return view.canvas.to_widget(QPointF(x, y)).toPoint()


def drag(view: CropView, start: QPoint, end: QPoint) -> None:
    QTest.mousePress(view.canvas, Button.LeftButton, NONE, start)
    hover(view.canvas, (start + end) / 2, Button.LeftButton)
    hover(view.canvas, end, Button.LeftButton)
    QTest.mouseRelease(view.canvas, Button.LeftButton, NONE, end)


def draw(window: Window) -> Placed:
    view = view_of(window)
    drag(view, spot(view, 20, 10), spot(view, 60, 50))
    ready(window)
    (box,) = kept(window)
    return box


def near(box: Placed, *expected: int) -> bool:
    return all(abs(a - b) <= 1 for a, b in zip(box.box, expected, strict=True))


def test_a_drawn_box_is_a_sample_at_once(window: Window) -> None:
    view = view_of(window)
    assert "1 of 3" in view.title.text()
    box = draw(window)
    assert near(box, 20, 10, 40, 40)
    assert (box.by_hand, box.status) == (True, "queue")
    with Dataset.open(window.desk.root) as dataset:
        assert dataset.crop_path(box.key).is_file()
    window.undo()
    ready(window)
    assert kept(window) == []
    assert view.canvas.boxes == []
    window.desk.redo()
    ready(window)
    assert [one.key for one in kept(window)] == [box.key]


def test_moving_keeps_the_label(window: Window) -> None:
    view, box = view_of(window), draw(window)
    key = next(iter(window.desk.last.keys.items()))
    QTest.keyClick(view.canvas, key[1])
    ready(window)
    assert kept(window)[0].label == key[0]
    drag(view, spot(view, 40, 30), spot(view, 50, 35))
    ready(window)
    (moved,) = kept(window)
    assert near(moved, 30, 15, 40, 40)
    assert moved.key != box.key
    assert (moved.label, moved.status) == (key[0], "labelled")
    window.undo()
    ready(window)
    (back,) = kept(window)
    assert (back.key, back.label) == (box.key, key[0])


def test_a_corner_resizes(window: Window) -> None:
    view = view_of(window)
    box = draw(window).box
    corner = spot(view, box.x + box.width, box.y + box.height)
    drag(view, corner, spot(view, box.x + box.width + 20, box.y + box.height + 10))
    ready(window)
    (larger,) = kept(window)
    assert near(larger, box.x, box.y, box.width + 20, box.height + 10)


def test_the_keyboard_alone(window: Window) -> None:
    view, canvas = view_of(window), view_of(window).canvas
    canvas.setFocus()
    QTest.keyClick(canvas, Key.Key_N)
    start = canvas.boxes[0].box
    QTest.keyClick(canvas, Key.Key_Right)
    QTest.keyClick(canvas, Key.Key_Down, SHIFT)
    QTest.keyClick(canvas, Key.Key_Left, CONTROL)
    assert canvas.boxes[0].box == (start.x + 1, start.y + 10, start.width - 1, start.height)
    assert kept(window) == []  # the keys have not rested yet
    until(lambda: len(kept(window)) == 1)
    ready(window)
    assert kept(window)[0].box == canvas.boxes[0].box
    first = kept(window)[0]
    QTest.keyClick(canvas, Key.Key_Up, SHIFT)
    until(lambda: kept(window)[0].key != first.key)
    ready(window)
    QTest.keyClick(canvas, Key.Key_R)  # as it was, also after it was saved
    until(lambda: kept(window)[0].box == first.box)
    ready(window)
    QTest.keyClick(canvas, Key.Key_Delete)
    ready(window)
    assert kept(window) == []
    with Dataset.open(window.desk.root) as dataset:
        steps = [s.name for s in window_steps(dataset)][-4:]
    assert steps == ["1 box drawn", "1 box moved", "1 box moved", "1 box taken away"]
    assert view.canvas.current == -1


def window_steps(dataset: Dataset) -> list:
    from gleanset.db.sorting import Tiles

    return Tiles(dataset.db).steps()


def test_levelling_turns_the_cut(window: Window) -> None:
    view, box = view_of(window), draw(window)
    QTest.keyClick(view.canvas, Key.Key_BracketRight, SHIFT)
    until(lambda: kept(window)[0].key != box.key)
    ready(window)
    (turned,) = kept(window)
    assert turned.angle == 10.0
    with Dataset.open(window.desk.root) as dataset:
        sample = dataset.samples.get(turned.key)
        assert sample is not None
        assert sample.angle == 10.0
    window.undo()
    ready(window)
    assert [(one.key, one.angle) for one in kept(window)] == [(box.key, 0.0)]


def test_pages_and_any_image(window: Window) -> None:
    view = view_of(window)
    QTest.keyClick(view.canvas, Key.Key_PageDown)
    ready(window)
    assert "2 of 3" in view.title.text()
    view.which.setCurrentIndex(1)
    ready(window)
    assert "of 60" in view.title.text()
    QTest.keyClicks(view.text, "0042")
    until(lambda: "0042" in view.title.text())
    ready(window)
    (found,) = kept(window)
    assert not found.by_hand
    box = found.box
    middle = spot(view, box.x + box.width / 2, box.y + box.height / 2)
    QTest.mouseClick(view.canvas, Button.LeftButton, NONE, middle)
    QTest.keyClick(view.canvas, Key.Key_Delete)
    ready(window)
    assert [one.status for one in kept(window)] == ["rejected"]


def test_a_lost_file_says_so(opened: Opened, few: FaceSet) -> None:
    with Dataset.open(few.root) as dataset:
        image = next(iter(dataset.images.each()))
        dataset.image_path(image.sha256, image.format).unlink()
    window = opened(few.root, "crop")
    view = view_of(window)
    view.text.setText(image.sha256[:12])
    until(lambda: view.canvas.words.startswith("⚠"))
    assert view.canvas.image.isNull()
    drag(view, QPoint(50, 50), QPoint(200, 200))
    assert view.canvas.boxes == [] or view.canvas.boxes[0].kept is not None
