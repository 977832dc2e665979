"""The overlay of an enlarged face and the context menu, with real events at every size."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawn_faces import FaceSet, copied, drawn_once, labels, propose
from person import CONTROL, Opened, Person, click, double_click, right_click, settle, until
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMenu

from labeler.qt.views.labeling import FaceMenu
from labeler.qt.views.overlays import EnlargedFaceOverlay

Key, Left = Qt.Key, Qt.MouseButton.LeftButton


@pytest.fixture(scope="module")
def drawn_film(tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    """Eight shots of three frames each; copy it, do not change it."""
    return drawn_once(tmp_path_factory, 24, classes=3, frames=3)


@pytest.fixture
def film(drawn_film: FaceSet, tmp_path: Path) -> FaceSet:
    return copied(drawn_film, tmp_path / "film")


def named(person: Person) -> dict[str, str]:
    return {key: name for key, name in labels(person.window.worker.root).items() if name}


def enlarged(person: Person, row: int, how: str = "space") -> EnlargedFaceOverlay:
    if how == "space":
        person.point(row)
        QTest.keyClick(person.view.view, Key.Key_Space)
    else:
        double_click(person, row)
    face = person.view.enlarged
    until(lambda: face.isVisible() and face.ready)
    return face


@pytest.mark.parametrize("how", ["space", "double click"])
def test_a_face_is_enlarged_with_its_box_and_its_film(
    opened: Opened, film: FaceSet, how: str
) -> None:
    person = Person(opened(film.root), film)
    face = enlarged(person, 4, how)
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
    until(lambda: face.ready and face.at == 6)
    assert "frame 7 of 24   ·   +2" in face.caption()
    # A class key means the face that was enlarged, whichever frame is shown.
    QTest.keyClick(face, person.keys[person.truth[key]])
    settle(person.window)
    assert named(person) == {key: person.truth[key]}
    assert f"→ {person.truth[key]}" in face.caption()
    QTest.keyClick(face, Key.Key_Z, CONTROL)
    settle(person.window)
    assert named(person) == {}
    assert face.isVisible()
    QTest.keyClick(face, Key.Key_Escape if how == "space" else Key.Key_Space)
    assert not face.isVisible()
    assert person.window.focusWidget() is person.view.view


def test_from_face_to_face_and_no_key_reaches_the_grid(opened: Opened, few: FaceSet) -> None:
    person = Person(opened(few.root), few)
    face = enlarged(person, 2)
    assert "frame" not in face.caption()
    for key in (Key.Key_Right, Key.Key_Down, Key.Key_Up):
        QTest.keyClick(face, key)
    until(lambda: face.ready)
    assert face.row == 3
    QTest.keyClick(face, Key.Key_Return)
    QTest.keyClick(face, Key.Key_B)
    assert "does nothing here" in person.window.statusBar().currentMessage()
    QTest.keyClick(face, Key.Key_L)
    settle(person.window)
    assert person.window.worker.progress.counts.later == 1
    assert person.view.model.state(3).target == "later"
    # A field that has no use for a key hands it on to what is seen, and not to the tiles below.
    person.window.class_panel.field.setFocus()
    QTest.keyClick(person.window.class_panel.field, Key.Key_Left)
    assert (face.row, person.window.focusWidget()) == (2, face)
    QTest.mouseClick(face, Left, pos=QPoint(20, 20))
    assert not face.isVisible()
    assert person.view.view.selected_rows() == []


# -- the menu


def menu_of(person: Person, row: int) -> FaceMenu:
    right_click(person.view.view.viewport(), person.place(row))
    menu = person.view.view.findChildren(FaceMenu)[-1]
    assert menu.isVisible()
    return menu


def submenu(menu: QMenu, text: str) -> QMenu:
    result = next(action for action in menu.actions() if action.text().startswith(text)).menu()
    result.popup(QPoint(300, 200))
    return result


@pytest.fixture
def person(opened: Opened, film: FaceSet) -> Person:
    propose(film, 1.0)
    return Person(opened(film.root, size=(1280, 720)), film)


def test_one_face_or_the_selection_is_sent_by_the_menu(person: Person) -> None:
    click(submenu(menu_of(person, 3), "Label as"), "rei")
    settle(person.window)
    assert list(named(person).values()) == ["rei"]
    for row in (5, 6):
        person.click(row, modifiers=CONTROL)
    click(submenu(menu_of(person, 6), "Label as"), "hana")
    settle(person.window)
    assert sorted(named(person).values()) == ["hana", "hana", "rei"]
    person.click(8, modifiers=CONTROL)
    click(menu_of(person, 9), "Skip")  # beside the selection: that face alone
    settle(person.window)
    assert person.window.worker.progress.counts.later == 1
    assert person.view.model.state(9).target == "later"
    click(menu_of(person, 10), "Not a face")
    click(menu_of(person, 11), "Unlisted person")
    settle(person.window)
    counts = person.window.worker.progress.counts
    assert (counts.rejected, counts.other) == (1, 1)
    click(menu_of(person, 10), "Back to queue")
    settle(person.window)
    assert person.window.worker.progress.counts.rejected == 0


def test_the_menu_looks_closer(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    files: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: files.append(url.toLocalFile()))
    click(menu_of(person, 3), "Open full image")
    until(lambda: bool(files))
    assert Path(files[0]).is_file()
    click(menu_of(person, 3), "Copy name")
    assert QGuiApplication.clipboard().text() == person.view.model.tile(3).title
    click(menu_of(person, 3), "Copy path")
    until(lambda: QGuiApplication.clipboard().text() == files[0])
    click(menu_of(person, 3), "Enlarge")
    assert person.view.enlarged.isVisible()
    person.view.enlarged.end()
    person.send(3, "rei")
    person.send(4, "rei")
    settle(person.window)
    person.view.model.refresh()
    settle(person.window)
    click(menu_of(person, 4), "Show class rei")
    settle(person.window)
    assert person.view.model.rowCount() == 2
    click(menu_of(person, 0), "Show its group")
    settle(person.window)
    assert person.view.model.rowCount() == 3  # the frames of one shot
    assert "All faces · 3 of 24 faces" in person.view.title.text()


def test_why_a_class_is_proposed(person: Person) -> None:
    person.send(0, person.who(0))
    settle(person.window)
    menu = menu_of(person, 1)
    why = submenu(menu, "Why this")
    until(lambda: len(why.actions()) > 1)
    lines = [action.text() for action in why.actions()]
    assert lines[0] == f"Model: {person.who(1)}, 100 %"
    assert lines[1].startswith(f"Similar to a face of {person.who(0)} (")
    menu.close()
