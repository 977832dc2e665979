"""The crop view: boxes by mouse and keyboard, saved at once."""

from collections.abc import Iterator
from typing import Any

import pytest
from catalogue_rows import locked
from drawn_faces import FaceSet, step_texts
from person import CONTROL, NONE, SHIFT, OpenWindow, hover, settle, wait_until
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt
from PySide6.QtGui import QTransform
from PySide6.QtTest import QTest

from gleanset import Dataset
from gleanset.db.regions import BoxedSample, BoxedSamples
from gleanset.errors import UsageError
from labeler.cropping import BoxEdit
from labeler.qt.crop_canvas import HANDLES, BoxDraft
from labeler.qt.views import crop
from labeler.qt.views.crop import CropView
from labeler.qt.window import LabelerWindow
from labeler.sorting.session import StepKind

Key, Button = Qt.Key, Qt.MouseButton


@pytest.fixture
def window(open_window: OpenWindow, faces: FaceSet) -> Iterator[LabelerWindow]:
    """Open the crop view of a dataset with three images without a face."""
    with Dataset.open(faces.root) as dataset:
        for image in list(dataset.images.iterate())[:3]:
            dataset.faces.replace(image.sha256, "drawn", "again", [])
    window = open_window(faces.root, "crop")
    wait_until_saved(window)
    return window


def crop_view(window: LabelerWindow) -> CropView:
    return window.view


def wait_until_saved(window: LabelerWindow) -> None:
    settle(window)
    view = crop_view(window)
    wait_until(lambda: not view.canvas.image.isNull() and not view.worker.unsaved_count)
    settle(window)


def saved_boxes(window: LabelerWindow) -> list[BoxedSample]:
    view = crop_view(window)
    with Dataset.open(window.worker.root) as dataset:
        return BoxedSamples(dataset.db).list_in_image(view._sheet.sha256)


def viewport_point(view: CropView, x: float, y: float) -> QPoint:
    return view.canvas.mapFromScene(QPointF(x, y))


def start_drag(view: CropView, start: QPoint, end: QPoint) -> None:
    QTest.mousePress(view.canvas.viewport(), Button.LeftButton, NONE, start)
    hover(view.canvas.viewport(), (start + end) / 2, Button.LeftButton)
    hover(view.canvas.viewport(), end, Button.LeftButton)


def drag(view: CropView, start: QPoint, end: QPoint) -> None:
    start_drag(view, start, end)
    QTest.mouseRelease(view.canvas.viewport(), Button.LeftButton, NONE, end)


def draw(window: LabelerWindow) -> BoxedSample:
    view = crop_view(window)
    drag(view, viewport_point(view, 20, 10), viewport_point(view, 60, 50))
    wait_until_saved(window)
    (box,) = saved_boxes(window)
    return box


def is_near(box: BoxedSample, *expected: int) -> bool:
    return all(abs(a - b) <= 1 for a, b in zip(box.box, expected, strict=True))


def test_drawn_box_becomes_sample_and_keeps_label_when_moved(
    window: LabelerWindow,
) -> None:
    view = crop_view(window)
    assert "1 of 3" in view.title.text()
    box = draw(window)
    assert is_near(box, 20, 10, 40, 40)
    assert (box.by_hand, box.status) == (True, "queue")
    with Dataset.open(window.worker.root) as dataset:
        assert dataset.crop_path(box.key).is_file()
    window.undo()
    wait_until_saved(window)
    assert (saved_boxes(window), view.canvas.boxes) == ([], [])
    window.worker.take_back(StepKind.REDO)
    wait_until_saved(window)
    assert [saved.key for saved in saved_boxes(window)] == [box.key]
    view.canvas.choose(0)
    key = next(iter(window.worker.progress.keys.items()))
    QTest.keyClick(view.canvas, key[1])
    wait_until_saved(window)
    assert saved_boxes(window)[0].label == key[0]
    drag(view, viewport_point(view, 40, 30), viewport_point(view, 50, 35))
    wait_until_saved(window)
    (moved,) = saved_boxes(window)
    assert is_near(moved, 30, 15, 40, 40)
    assert moved.key != box.key
    assert (moved.label, moved.status) == (key[0], "labelled")
    window.undo()
    wait_until_saved(window)
    (back,) = saved_boxes(window)
    assert (back.key, back.label) == (box.key, key[0])
    view.canvas.choose(0)
    QTest.keyClick(view.canvas, Key.Key_Right, SHIFT)  # saved only after a pause
    window.undo()
    wait_until_saved(window)
    assert saved_boxes(window) == [back]
    assert [draft.sample for draft in view.canvas.boxes] == [back]


def test_box_is_drawn_in_box_of_whole_image(window: LabelerWindow) -> None:
    view = crop_view(window)
    width, height = view.canvas.image_size
    drag(view, viewport_point(view, 0, 0), viewport_point(view, width, height))
    wait_until_saved(window)
    (whole,) = saved_boxes(window)
    assert whole.box[2:] == view.canvas.image_size
    before = view.canvas.grab().toImage()
    QTest.keyClick(view.canvas, "1")
    wait_until_saved(window)
    named = view.canvas.grab().toImage()
    rows = [
        y
        for y in range(named.height())
        if named.copy(0, y, 99, 1) != before.copy(0, y, 99, 1)
    ]
    assert len(rows) >= view.canvas.fontMetrics().height(), "its name is in the window"
    view.canvas.choose(-1)
    click = QTest.mouseClick
    click(view.canvas.viewport(), Button.LeftButton, NONE, viewport_point(view, 30, 30))
    assert view.canvas.current == 0
    start_drag(view, viewport_point(view, 20, 10), viewport_point(view, 50, 50))
    QTest.keyClick(view.canvas, Qt.Key.Key_Escape)
    assert len(view.canvas.boxes) == 1
    drag(view, viewport_point(view, 20, 10), viewport_point(view, 60, 50))
    wait_until_saved(window)
    boxes = {box.key: box for box in saved_boxes(window)}
    assert boxes.pop(whole.key).box == whole.box
    assert is_near(*boxes.values(), 20, 10, 40, 40)


def test_boxes_are_edited_by_keyboard(window: LabelerWindow) -> None:
    view = crop_view(window)
    canvas = crop_view(window).canvas
    canvas.setFocus()
    QTest.keyClick(canvas, Key.Key_N)
    start = canvas.boxes[0].box
    QTest.keyClick(canvas, Key.Key_Right)
    QTest.keyClick(canvas, Key.Key_Down, SHIFT)
    QTest.keyClick(canvas, Key.Key_Left, CONTROL)
    assert canvas.boxes[0].box == (
        start.x + 1,
        start.y + 10,
        start.width - 1,
        start.height,
    )
    assert saved_boxes(window) == []  # saved only after a pause
    wait_until(lambda: len(saved_boxes(window)) == 1)
    wait_until_saved(window)
    assert saved_boxes(window)[0].box == canvas.boxes[0].box
    first = saved_boxes(window)[0]
    QTest.keyClick(canvas, Key.Key_Up, SHIFT)
    wait_until(lambda: saved_boxes(window)[0].key != first.key)
    wait_until_saved(window)
    QTest.keyClick(canvas, Key.Key_Delete)
    wait_until_saved(window)
    assert saved_boxes(window) == []
    steps = step_texts(window.worker.root)[-3:]
    assert steps == ["Draw 1 box", "Move 1 box", "Delete 1 box"]
    assert view.canvas.current == -1
    initial_scale = canvas.transform().m11()
    place = canvas.viewport().rect().center().toPointF()
    for angle, scale in ((120, 1.15 * initial_scale), (-120, initial_scale)):
        QTest.wheelEvent(
            window.windowHandle(), place, QPoint(0, angle), QPoint(), CONTROL
        )
        assert canvas.transform().m11() == pytest.approx(scale)


def test_paging_and_search_reach_images(window: LabelerWindow) -> None:
    view = crop_view(window)
    QTest.keyClick(view.canvas, Key.Key_PageDown)
    wait_until_saved(window)
    assert "2 of 3" in view.title.text()
    view.selection_box.setCurrentIndex(1)
    wait_until_saved(window)
    assert "of 60" in view.title.text()
    QTest.keyClicks(view.text, "0042")
    wait_until(lambda: "0042" in view.title.text())
    wait_until_saved(window)
    (result,) = saved_boxes(window)
    assert not result.by_hand
    box = result.box
    middle = viewport_point(view, box.x + box.width / 2, box.y + box.height / 2)
    QTest.mouseClick(view.canvas.viewport(), Button.LeftButton, NONE, middle)
    QTest.keyClick(view.canvas, Key.Key_Delete)
    wait_until_saved(window)
    assert [saved.status for saved in saved_boxes(window)] == ["rejected"]


@pytest.mark.damages("takes a file away")
def test_missing_file_is_reported(open_window: OpenWindow, faces: FaceSet) -> None:
    with Dataset.open(faces.root) as dataset:
        image = next(iter(dataset.images.iterate()))
        dataset.image_path(image.sha256, image.format).unlink()
    view = crop_view(open_window(faces.root, "crop"))
    view.text.setText(image.sha256[:12])
    wait_until(lambda: view.canvas.placeholder.startswith("⚠"))
    assert view.canvas.image.isNull()
    drag(view, QPoint(50, 50), QPoint(200, 200))
    assert view.canvas.boxes == [] or view.canvas.boxes[0].sample is not None


@pytest.mark.parametrize("refused", [False, True])
def test_answer_during_drawing_keeps_new_box(
    window: LabelerWindow, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    """The answer about one box, or its refusal, arrives while another one is drawn."""
    view = crop_view(window)
    put_box = crop.put_box

    def put_or_refuse(*arguments: Any) -> BoxEdit:
        if refused:
            raise UsageError("there are boxes like this already", "move it a little")
        return put_box(*arguments)

    with locked(window.worker.root), monkeypatch.context() as patched:
        patched.setattr(crop, "put_box", put_or_refuse)
        drag(view, viewport_point(view, 20, 10), viewport_point(view, 60, 50))
        start_drag(view, viewport_point(view, 70, 60), viewport_point(view, 80, 70))
        wait_until(lambda: not (refused and view.worker.unsaved_count))
    wait_until(lambda: not view.worker.unsaved_count)
    settle(window)
    assert len(view.canvas.boxes) == (1 if refused else 2)
    end = viewport_point(view, 90, 80)
    hover(view.canvas.viewport(), end, Button.LeftButton)
    QTest.mouseRelease(view.canvas.viewport(), Button.LeftButton, NONE, end)
    wait_until_saved(window)
    *first, second = saved_boxes(window)
    assert [is_near(box, 20, 10, 40, 40) for box in first] == [True] * (not refused)
    assert is_near(second, 70, 60, 20, 20)


def test_label_follows_unsaved_move(window: LabelerWindow) -> None:
    view = crop_view(window)
    first = draw(window)
    name, key = next(iter(window.worker.progress.keys.items()))
    QTest.keyClick(view.canvas, Key.Key_Right, SHIFT)  # saved only after a pause
    QTest.keyClick(view.canvas, key)
    QTest.keyClick(view.canvas, Key.Key_Down, SHIFT)
    wait_until(lambda: is_near(saved_boxes(window)[0], 30, 20, 40, 40))
    wait_until_saved(window)
    (box,) = saved_boxes(window)
    assert (box.label, box.status) == (name, "labelled")
    with Dataset.open(window.worker.root) as dataset:
        before = dataset.samples.get(first.key)
        assert (before.status, before.label) == ("retired", None)


def test_box_is_deleted_or_labelled_while_saving(window: LabelerWindow) -> None:
    view = crop_view(window)
    name, key = next(iter(window.worker.progress.keys.items()))
    with locked(window.worker.root):
        drag(view, viewport_point(view, 20, 10), viewport_point(view, 60, 50))
        QTest.keyClick(view.canvas, key)
        drag(view, viewport_point(view, 70, 60), viewport_point(view, 90, 80))
        QTest.keyClick(view.canvas, Key.Key_Delete)
        assert len(view.canvas.boxes) == 1
    wait_until(lambda: not view.worker.unsaved_count)
    wait_until_saved(window)
    (box,) = saved_boxes(window)
    assert is_near(box, 20, 10, 40, 40)
    assert (box.label, [draft.sample for draft in view.canvas.boxes]) == (name, [box])


def test_requested_image_waits_for_drag_end(window: LabelerWindow) -> None:
    view = crop_view(window)
    before = view._sheet.sha256
    view.turn_to(1)
    start_drag(view, viewport_point(view, 20, 10), viewport_point(view, 60, 50))
    settle(window)
    assert view._sheet.sha256 == before
    QTest.mouseRelease(
        view.canvas.viewport(), Button.LeftButton, NONE, viewport_point(view, 60, 50)
    )
    wait_until_saved(window)
    assert view._sheet.sha256 != before
    with Dataset.open(window.worker.root) as dataset:
        assert len(BoxedSamples(dataset.db).list_in_image(before)) == 1


@pytest.mark.parametrize("number", range(len(HANDLES)))
def test_dragging_a_handle_of_a_rotated_box_keeps_the_opposite_side(
    number: int,
) -> None:
    box = BoxDraft(QRectF(100, 80, 60, 40), angle=30)
    opposite = HANDLES.index((1 - HANDLES[number][0], 1 - HANDLES[number][1]))
    before = _drawn_handle(box, opposite)
    # Outwards along the line between both handles.
    outwards = _drawn_handle(box, number) - before
    to = before + 1.5 * outwards

    moved = box.with_handle_at(number, to)
    for drawn, expected in (
        (_drawn_handle(moved, opposite), before),
        (_drawn_handle(moved, number), to),
    ):
        assert (drawn - expected).manhattanLength() < 1e-6


def test_resizing_a_rotated_box_by_keys_keeps_its_upper_left_corner() -> None:
    box = BoxDraft(QRectF(100, 80, 60, 40), angle=-20)
    larger = box.resize_by(QPointF(10, 4))
    assert (larger.rect.width(), larger.rect.height()) == (70, 44)
    moved = _drawn_handle(larger, 0) - _drawn_handle(box, 0)
    assert moved.manhattanLength() < 1e-6


def _drawn_handle(box: BoxDraft, number: int) -> QPointF:
    """Return where a handle is drawn: rotated clockwise about the center of its box."""
    middle = box.rect.center()
    return QTransform().rotate(box.angle).map(box.handle(number) - middle) + middle


def test_notice_without_images_has_no_frame(
    open_window: OpenWindow, faces: FaceSet
) -> None:
    window = open_window(faces.root, "crop")
    wait_until(lambda: crop_view(window).empty.isVisible())
    port = crop_view(window).canvas.viewport()
    assert port.grab().toImage().pixelColor(1, 1) == window.palette().window().color()
