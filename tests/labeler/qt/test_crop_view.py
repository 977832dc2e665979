"""The crop view: boxes by mouse and keyboard, saved at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from catalogue_lock import locked
from drawn_faces import FaceSet
from person import CONTROL, NONE, SHIFT, Opened, hold, hover, settle, until
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtTest import QTest

from gleanset import Dataset
from gleanset.db.regions import BoxedSample, BoxedSamples
from gleanset.errors import UsageError
from labeler.classes import ClassEditor
from labeler.qt.views import crop
from labeler.qt.views.crop import CropView
from labeler.qt.window import LabelerWindow

Key, Button = Qt.Key, Qt.MouseButton


@pytest.fixture
def window(opened: Opened, few: FaceSet) -> Iterator[LabelerWindow]:
    """Three images have no face any more."""
    with Dataset.open(few.root) as dataset:
        for image in list(dataset.images.iterate())[:3]:
            dataset.faces.replace(image.sha256, "drawn", "again", [])
    window = opened(few.root, "crop")
    ready(window)
    return window


def view_of(window: LabelerWindow) -> CropView:
    view = window.view
    assert isinstance(view, CropView)
    return view


def ready(window: LabelerWindow) -> None:
    settle(window)
    view = view_of(window)
    until(lambda: not view.canvas.image.isNull() and not view.worker.unsaved_count)
    settle(window)


def kept(window: LabelerWindow) -> list[BoxedSample]:
    view = view_of(window)
    assert view._sheet is not None
    with Dataset.open(window.worker.root) as dataset:
        return BoxedSamples(dataset.db).list_in_image(view._sheet.sha256)


def spot(view: CropView, x: float, y: float) -> QPoint:
    return view.canvas.mapFromScene(QPointF(x, y))


def press_and_pull(view: CropView, start: QPoint, end: QPoint) -> None:
    QTest.mousePress(view.canvas.viewport(), Button.LeftButton, NONE, start)
    hover(view.canvas.viewport(), (start + end) / 2, Button.LeftButton)
    hover(view.canvas.viewport(), end, Button.LeftButton)


def drag(view: CropView, start: QPoint, end: QPoint) -> None:
    press_and_pull(view, start, end)
    QTest.mouseRelease(view.canvas.viewport(), Button.LeftButton, NONE, end)


def draw(window: LabelerWindow) -> BoxedSample:
    view = view_of(window)
    drag(view, spot(view, 20, 10), spot(view, 60, 50))
    ready(window)
    (box,) = kept(window)
    return box


def near(box: BoxedSample, *expected: int) -> bool:
    return all(abs(a - b) <= 1 for a, b in zip(box.box, expected, strict=True))


def test_a_drawn_box_is_a_sample_at_once(window: LabelerWindow) -> None:
    view = view_of(window)
    assert "1 of 3" in view.title.text()
    box = draw(window)
    assert near(box, 20, 10, 40, 40)
    assert (box.by_hand, box.status) == (True, "queue")
    with Dataset.open(window.worker.root) as dataset:
        assert dataset.crop_path(box.key).is_file()
    window.undo()
    ready(window)
    assert kept(window) == []
    assert view.canvas.boxes == []
    window.worker.redo()
    ready(window)
    assert [one.key for one in kept(window)] == [box.key]


def test_moving_keeps_the_label(window: LabelerWindow) -> None:
    view, box = view_of(window), draw(window)
    key = next(iter(window.worker.progress.keys.items()))
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


def test_the_keyboard_alone(window: LabelerWindow) -> None:
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
    QTest.keyClick(canvas, Key.Key_Delete)
    ready(window)
    assert kept(window) == []
    with Dataset.open(window.worker.root) as dataset:
        steps = [s.name for s in window_steps(dataset)][-3:]
    assert steps == ["Draw 1 box", "Move 1 box", "Remove 1 box"]
    assert view.canvas.current == -1


def window_steps(dataset: Dataset) -> list:
    from gleanset.db.sorting import SampleTiles

    return SampleTiles(dataset.db).list_steps()


def test_levelling_turns_the_cut(window: LabelerWindow) -> None:
    view, box = view_of(window), draw(window)
    QTest.keyClick(view.canvas, Key.Key_BracketRight, SHIFT)
    until(lambda: kept(window)[0].key != box.key)
    ready(window)
    (turned,) = kept(window)
    assert turned.angle == 10.0
    with Dataset.open(window.worker.root) as dataset:
        sample = dataset.samples.get(turned.key)
        assert sample is not None
        assert sample.angle == 10.0
    window.undo()
    ready(window)
    assert [(one.key, one.angle) for one in kept(window)] == [(box.key, 0.0)]


def test_pages_and_any_image(window: LabelerWindow) -> None:
    view = view_of(window)
    QTest.keyClick(view.canvas, Key.Key_PageDown)
    ready(window)
    assert "2 of 3" in view.title.text()
    view.selection_box.setCurrentIndex(1)
    ready(window)
    assert "of 60" in view.title.text()
    QTest.keyClicks(view.text, "0042")
    until(lambda: "0042" in view.title.text())
    ready(window)
    (result,) = kept(window)
    assert not result.by_hand
    box = result.box
    middle = spot(view, box.x + box.width / 2, box.y + box.height / 2)
    QTest.mouseClick(view.canvas.viewport(), Button.LeftButton, NONE, middle)
    QTest.keyClick(view.canvas, Key.Key_Delete)
    ready(window)
    assert [one.status for one in kept(window)] == ["rejected"]


@pytest.mark.damages("takes a file away")
def test_a_lost_file_says_so(opened: Opened, few: FaceSet) -> None:
    with Dataset.open(few.root) as dataset:
        image = next(iter(dataset.images.iterate()))
        dataset.image_path(image.sha256, image.format).unlink()
    window = opened(few.root, "crop")
    view = view_of(window)
    view.text.setText(image.sha256[:12])
    until(lambda: view.canvas.placeholder.startswith("⚠"))
    assert view.canvas.image.isNull()
    drag(view, QPoint(50, 50), QPoint(200, 200))
    assert view.canvas.boxes == [] or view.canvas.boxes[0].sample is not None


def test_an_answer_while_a_new_box_is_drawn_leaves_it_alone(window: LabelerWindow) -> None:
    view = view_of(window)
    with locked(window.worker.root):
        drag(view, spot(view, 20, 10), spot(view, 60, 50))
        end = spot(view, 90, 80)
        press_and_pull(view, spot(view, 70, 60), spot(view, 80, 70))
    until(lambda: len(kept(window)) == 1)
    ready(window)
    assert len(view.canvas.boxes) == 2
    assert view.canvas.boxes[0].sample is not None
    hover(view.canvas.viewport(), end, Button.LeftButton)
    QTest.mouseRelease(view.canvas.viewport(), Button.LeftButton, NONE, end)
    ready(window)
    one, other = kept(window)
    assert near(one, 20, 10, 40, 40)
    assert near(other, 70, 60, 20, 20)


def test_a_refusal_while_a_new_box_is_drawn_leaves_it_alone(
    window: LabelerWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer has no box at all."""
    view = view_of(window)

    def refuse(*arguments: object) -> None:
        raise UsageError("there are boxes like this already", "move it a little")

    with locked(window.worker.root), monkeypatch.context() as patched:
        patched.setattr(crop, "put_box", refuse)
        drag(view, spot(view, 20, 10), spot(view, 60, 50))
        press_and_pull(view, spot(view, 70, 60), spot(view, 80, 70))
        until(lambda: not view.worker.unsaved_count)
        settle(window)
        assert len(view.canvas.boxes) == 1
    end = spot(view, 90, 80)
    hover(view.canvas.viewport(), end, Button.LeftButton)
    QTest.mouseRelease(view.canvas.viewport(), Button.LeftButton, NONE, end)
    ready(window)
    (box,) = kept(window)
    assert near(box, 70, 60, 20, 20)


def test_a_label_given_before_a_move_is_saved_moves_along(window: LabelerWindow) -> None:
    view, first = view_of(window), draw(window)
    name, key = next(iter(window.worker.progress.keys.items()))
    QTest.keyClick(view.canvas, Key.Key_Right, SHIFT)  # not saved before the keys rest
    QTest.keyClick(view.canvas, key)
    QTest.keyClick(view.canvas, Key.Key_Down, SHIFT)
    until(lambda: near(kept(window)[0], 30, 20, 40, 40))
    ready(window)
    (box,) = kept(window)
    assert (box.label, box.status) == (name, "labelled")
    with Dataset.open(window.worker.root) as dataset:
        before = dataset.samples.get(first.key)
        assert before is not None
        assert (before.status, before.label) == ("retired", None)


def test_a_key_brings_back_no_class_that_is_gone(window: LabelerWindow) -> None:
    """The window looks twice a second at what others do; a hand may be quicker."""
    draw(window)
    gone = next(iter(window.worker.progress.keys))
    with Dataset.open(window.worker.root) as dataset:
        ClassEditor(dataset).delete(gone)
        assert view_of(window).send(gone)
        ready(window)
        assert gone not in dataset.classes.list_names()
    (box,) = kept(window)
    assert box.status == "queue"


def test_a_box_that_is_deleted_or_labelled_while_it_is_saved(window: LabelerWindow) -> None:
    view = view_of(window)
    name, key = next(iter(window.worker.progress.keys.items()))
    with locked(window.worker.root):
        drag(view, spot(view, 20, 10), spot(view, 60, 50))
        QTest.keyClick(view.canvas, key)
        drag(view, spot(view, 70, 60), spot(view, 90, 80))
        QTest.keyClick(view.canvas, Key.Key_Delete)
        assert len(view.canvas.boxes) == 1
    until(lambda: not view.worker.unsaved_count)
    ready(window)
    (box,) = kept(window)
    assert near(box, 20, 10, 40, 40)
    assert box.label == name
    assert [draft.sample for draft in view.canvas.boxes] == [box]


def test_undo_takes_back_a_move_that_was_not_saved_yet(window: LabelerWindow) -> None:
    view, box = view_of(window), draw(window)
    QTest.keyClick(view.canvas, Key.Key_Right, SHIFT)
    window.undo()
    ready(window)
    assert kept(window) == [box]
    assert [draft.sample for draft in view.canvas.boxes] == [box]


def test_a_page_that_was_asked_for_before_a_gesture_waits_for_its_end(
    window: LabelerWindow,
) -> None:
    view = view_of(window)
    assert view._sheet is not None
    before = view._sheet.sha256
    view.turn_to(1)
    press_and_pull(view, spot(view, 20, 10), spot(view, 60, 50))
    settle(window)
    assert view._sheet.sha256 == before
    QTest.mouseRelease(view.canvas.viewport(), Button.LeftButton, NONE, spot(view, 60, 50))
    ready(window)
    assert view._sheet.sha256 != before
    with Dataset.open(window.worker.root) as dataset:
        assert len(BoxedSamples(dataset.db).list_in_image(before)) == 1


def test_an_image_is_enlarged_and_moved_by_keys_wheel_and_middle_button(
    window: LabelerWindow,
) -> None:
    canvas = view_of(window).canvas
    whole = canvas.transform().m11()
    for _ in range(8):
        QTest.keyClick(canvas, Key.Key_Plus, CONTROL)
    assert canvas.transform().m11() > 2.5 * whole
    bars = canvas.horizontalScrollBar(), canvas.verticalScrollBar()
    before = [bar.value() for bar in bars]
    port, start = canvas.viewport(), canvas.viewport().rect().center()
    QTest.mousePress(port, Button.MiddleButton, pos=start)
    for far in (10, 30, 60):
        hover(port, start - QPoint(far, far), Button.MiddleButton)
    QTest.mouseRelease(port, Button.MiddleButton, pos=start - QPoint(60, 60))
    assert [bar.value() - was for bar, was in zip(bars, before, strict=True)] == [60, 60]
    assert not canvas.busy
    boxes = len(canvas.boxes)
    QTest.keyClick(canvas, Key.Key_0, CONTROL)
    assert canvas.transform().m11() == pytest.approx(whole)
    assert len(canvas.boxes) == boxes  # the middle button has drawn none


def test_keys_held_turn_one_image_make_one_box_and_delete_one(window: LabelerWindow) -> None:
    view = view_of(window)
    hold(view.canvas, Key.Key_Return)
    ready(window)
    assert view._index == 1
    hold(view.canvas, Key.Key_N, "n")
    assert len(view.canvas.boxes) == 1
    drag(view, spot(view, 5, 5), spot(view, 40, 40))
    ready(window)
    assert len(view.canvas.boxes) == 2
    hold(view.canvas, Key.Key_Delete)
    ready(window)
    assert len(view.canvas.boxes) == 1
