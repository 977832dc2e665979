"""The overlay of an enlarged face and the context menu, with real events at every size."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawn_faces import FaceSet, copied, drawn_once, labels, propose
from person import CONTROL, OpenWindow, Person, click, double_click, right_click, settle, wait_until
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMenu

from labeler.qt.views.labeling import EnlargedFaceOverlay

Key, Left = Qt.Key, Qt.MouseButton.LeftButton
DIRECT = Qt.FindChildOption.FindDirectChildrenOnly


@pytest.fixture(scope="module")
def shared_film(tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    """Draw eight shots of three frames each; read-only."""
    return drawn_once(tmp_path_factory, 24, classes=3, frames=3)


@pytest.fixture
def film(shared_film: FaceSet, tmp_path: Path) -> FaceSet:
    return copied(shared_film, tmp_path / "film")


def assigned_labels(person: Person) -> dict[str, str]:
    return {key: name for key, name in labels(person.window.worker.root).items() if name}


def enlarge_face(person: Person, row: int, how: str = "space") -> EnlargedFaceOverlay:
    if how == "space":
        person.point(row)
        QTest.keyClick(person.view.view, Key.Key_Space)
    else:
        double_click(person, row)
    face = person.view.enlarged
    wait_until(lambda: face.isVisible() and face.ready)
    return face


def test_enlarged_face_shows_box_and_frames(open_window: OpenWindow, film: FaceSet) -> None:
    person = Person(open_window(film.root), film)
    face = enlarge_face(person, 4)
    QTest.keyClick(face, Key.Key_Space)
    assert not face.isVisible()
    assert enlarge_face(person, 4, "double click") is face
    assert face.geometry() == person.view.view.rect()
    key = person.view.model.tile(4).key
    assert face.frame_file.frame.faces[0].id == person.view.model.id(4)
    assert "frame 5 of 24" in face.caption()
    image = face.grab().toImage()
    box = {
        image.pixelColor(x, y).name() for x in range(image.width()) for y in (image.height() // 2,)
    }
    assert face.palette().highlight().color().name() in box
    QTest.keyClick(face, Key.Key_Right)
    QTest.keyClick(face, Key.Key_Right)
    wait_until(lambda: face.ready and face.at == 6)
    assert "frame 7 of 24" in face.caption()
    # A class key labels the enlarged face, whichever frame is shown.
    QTest.keyClick(face, person.keys[person.truth[key]])
    settle(person.window)
    assert assigned_labels(person) == {key: person.truth[key]}
    assert f"→ {person.truth[key]}" in face.caption()
    QTest.keyClick(face, Key.Key_Z, CONTROL)
    settle(person.window)
    assert assigned_labels(person) == {}
    assert face.isVisible()
    QTest.keyClick(face, Key.Key_Escape)
    assert not face.isVisible()
    assert person.window.focusWidget() is person.view.view


def test_enlarged_face_takes_all_keys(open_window: OpenWindow, faces: FaceSet) -> None:
    person = Person(open_window(faces.root), faces)
    face = enlarge_face(person, 2)
    assert "frame" not in face.caption()
    for key in (Key.Key_Right, Key.Key_Down, Key.Key_Up):
        QTest.keyClick(face, key)
    wait_until(lambda: face.ready)
    assert face.row == 3
    QTest.keyClick(face, Key.Key_Return)
    QTest.keyClick(face, Key.Key_B)
    assert "does nothing here" in person.window.statusBar().currentMessage()
    QTest.keyClick(face, Key.Key_L)
    settle(person.window)
    assert person.window.worker.progress.counts.later == 1
    assert person.view.model.state(3).target == "later"
    # A key that a field ignores goes to the overlay, not to the tiles below.
    person.window.class_panel.field.setFocus()
    QTest.keyClick(person.window.class_panel.field, Key.Key_Left)
    assert (face.row, person.window.focusWidget()) == (2, face)
    QTest.mouseClick(face, Left, pos=QPoint(20, 20))
    assert not face.isVisible()
    assert person.view.view.selected_rows() == []


# -- the menu


def open_menu(person: Person, row: int) -> QMenu:
    right_click(person.view.view.viewport(), person.tile_center(row))
    menu = person.view.view.findChildren(QMenu, options=DIRECT)[-1]
    assert menu.isVisible()
    return menu


def open_submenu(menu: QMenu, text: str) -> QMenu:
    result = next(action for action in menu.actions() if action.text().startswith(text)).menu()
    result.popup(QPoint(300, 200))
    return result


@pytest.fixture
def person(open_window: OpenWindow, film: FaceSet) -> Person:
    propose(film, 1.0)
    return Person(open_window(film.root, size=(1280, 720)), film)


def test_menu_labels_face_or_selection(person: Person) -> None:
    click(open_submenu(open_menu(person, 3), "Label as"), "rei")
    settle(person.window)
    assert list(assigned_labels(person).values()) == ["rei"]
    for row in (5, 6):
        person.click(row, modifiers=CONTROL)
    click(open_submenu(open_menu(person, 6), "Label as"), "hana")
    settle(person.window)
    assert sorted(assigned_labels(person).values()) == ["hana", "hana", "rei"]
    person.click(8, modifiers=CONTROL)
    click(open_menu(person, 9), "Skip")  # outside the selection: that face alone
    settle(person.window)
    assert person.window.worker.progress.counts.later == 1
    assert person.view.model.state(9).target == "later"
    click(open_menu(person, 10), "Not a face")
    click(open_menu(person, 11), "Unlisted person")
    settle(person.window)
    counts = person.window.worker.progress.counts
    assert (counts.rejected, counts.other) == (1, 1)
    click(open_menu(person, 10), "Back to queue")
    settle(person.window)
    assert person.window.worker.progress.counts.rejected == 0


def test_menu_enlarges_and_shows_group(person: Person) -> None:
    click(open_menu(person, 3), "Enlarge")
    assert person.view.enlarged.isVisible()
    person.view.enlarged.end()
    click(open_menu(person, 4), "Show its group")
    settle(person.window)
    assert person.view.model.rowCount() == 3  # the frames of one shot
    assert "All faces · 3 of 24 faces" in person.view.title.text()
