"""Every key acts or explains why not; the enlarged face, the menu, and the class list."""

import re
from pathlib import Path

import pytest
from drawn_faces import FaceSet, copied, drawn_once, hint, propose
from person import (
    CONTROL,
    NAMED_KEYS,
    NONE,
    SHIFT,
    VIEW_NAMES,
    OpenWindow,
    Person,
    click,
    collect_messages,
    double_click,
    press,
    right_click,
    settle,
    wait_for_enter,
    wait_for_page,
    wait_until,
)
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit, QMenu

from gleanset import Dataset
from labeler.qt.grid.mouse import TileMimeData
from labeler.qt.keyboard import shortcut_sections
from labeler.qt.settings import SettingsDialog
from labeler.qt.theme import SPACE_M, lit
from labeler.qt.views import page_grid
from labeler.qt.views.labeling import EnlargedFaceOverlay
from labeler.qt.widgets import KeyHints, LetterKeysChip
from labeler.qt.window import LabelerWindow
from labeler.sorting import page_layout, pages
from labeler.sorting.keys import ASSIGNED_KEYS, DIGITS
from labeler.sorting.session import SortingSession, StepKind

Key, Button = Qt.Key, Qt.MouseButton
ALL_KEYS = (
    *"abcdefghijklmnopqrstuvwxyz1234567890/?,.;'[]-=",
    *(Key(Key.Key_F1 + number) for number in range(12)),
    Key.Key_Backspace,
    *NAMED_KEYS,
)
USUAL_KEYS = (
    *"abgklnoqswz19/?,.[-=",
    *(Key(Key.Key_F1 + number) for number in range(7)),
    *NAMED_KEYS,
)
"""All keys with a meaning in some view, and some without."""


def move_mouse(window: LabelerWindow, place: QPoint) -> None:
    QTest.mouseMove(window.windowHandle(), place)
    QApplication.processEvents()


def tile_point(person: Person, row: int) -> QPoint:
    """Return the centre of a tile in the window's coordinates."""
    return person.view.view.viewport().mapTo(person.window, person.tile_center(row))


def click_class(
    window: LabelerWindow, target: str, button: Qt.MouseButton = Button.LeftButton
) -> QPoint:
    panel = window.class_panel
    number = panel.model.row_of(target)
    center = panel.list.visualRect(panel.model.index(number)).center()
    place = panel.list.viewport().mapTo(window, center)
    QTest.mouseClick(window.windowHandle(), button, NONE, place)
    QApplication.processEvents()
    settle(window)
    return place


def has_grid_focus(person: Person) -> bool:
    return person.window.focusWidget() is person.view.view


def test_name_goes_to_first_pointed_face_then_keys_work(person: Person) -> None:
    """The mouse moves on while the name is typed."""
    window = person.window
    move_mouse(window, tile_point(person, 3))
    press(window, "/", *"nag")
    move_mouse(window, tile_point(person, 9))
    press(window, *"isa", Key.Key_Return)
    assert person.view.model.state(3).target == "nagisa"
    assert (person.view.model.state(9).target, person.view.view.point) == ("", 9)
    assert has_grid_focus(person)
    press(window, person.keys["rei"])
    assert person.view.model.state(9).target == "rei"


def test_narrow_window_keeps_the_hint_of_f1(
    open_window: OpenWindow, faces: FaceSet
) -> None:
    (hints,) = open_window(faces.root, size=(900, 600)).view.findChildren(KeyHints)
    shown = [key for key, *_ in hints.fitting_hints(hints.fontMetrics())]
    assert (shown[0], shown[-1]) == ("G", "F1")
    assert len(shown) < 5
    text = hints.text()
    hints.setText("F1: all keys")
    ((_, _, _, width),) = hints.fitting_hints(hints.fontMetrics())
    hints.resize(width + 2 * SPACE_M - 1, hints.height())
    assert not hints.fitting_hints(hints.fontMetrics())  # it would touch the edge
    hints.setText(text)
    hints.resize(2000, hints.height())
    assert "1–9" in [key for key, *_ in hints.fitting_hints(hints.fontMetrics())]
    hints.has_classes = False
    assert "1–9" not in [key for key, *_ in hints.fitting_hints(hints.fontMetrics())]


def test_details_follow_the_label(person: Person) -> None:
    person.point(3)
    wait_until(lambda: person.window.details.shown_id == person.view.model.id(3))
    for act, is_labelled in (
        (lambda: person.press(person.keys["rei"]), True),
        (person.undo, False),
    ):
        act()
        about = person.window.details._about
        wait_until(
            lambda about=about, label=is_labelled: ("rei" in about.text()) == label
        )


def test_shown_class_is_highlighted(person: Person) -> None:
    window = person.window
    rows = person.window.class_panel.list
    click_class(window, "hana")
    assert rows.place == "hana"
    index = window.class_panel.model.index(window.class_panel.model.row_of("hana"))
    corner = rows.visualRect(index).bottomLeft() + QPoint(9, -4)
    assert rows.viewport().grab().toImage().pixelColor(corner) == lit()
    window.worker.decide(lambda session: session.rename_class("hana", "Hana K."))
    settle(window)
    assert rows.place == "Hana K."
    window.show_view("statistics")
    settle(window)
    assert rows.place == ""
    window.show_view("grid")
    settle(window)
    assert rows.place == "Hana K."


def test_keys_work_after_class_list_actions(person: Person) -> None:
    window = person.window
    move_mouse(window, tile_point(person, 0))
    press(window, person.keys["rei"])
    click_class(window, "rei")
    assert person.view.model.rowCount() == 1
    assert has_grid_focus(person)
    click_class(window, "rei", Button.RightButton)
    QTest.keyClick(window.focusWidget(), Key.Key_F10, Qt.KeyboardModifier.ShiftModifier)
    wait_until(lambda: isinstance(QApplication.activePopupWidget(), QMenu))
    assert QApplication.activePopupWidget().actions()[0].text() == "Rename (F2)"
    QTest.keyClick(QApplication.activePopupWidget(), Key.Key_Escape)
    wait_until(lambda: QApplication.activePopupWidget() is None)
    assert has_grid_focus(person)
    window.activateWindow()  # a desktop would activate it
    wait_until(window.isActiveWindow)
    press(window, Key.Key_F2)  # renames the shown class
    field = window.focusWidget()
    assert isinstance(field, QLineEdit)
    person.add_class("aya")  # the list is refreshed while the field is open
    person.send(2, "aya")
    settle(window)
    assert field.isVisible()
    assert field.selectedText() == field.text() == "rei"
    hints = []
    for letter in "áYá":  # without accents or case, it is the class aya
        field.insert(letter)
        hints.append(field.hint)
    assert hints == ["", "", "= aya: merges them"]
    field.selectAll()
    press(window, *"ayanami", Key.Key_Return)
    assert "ayanami" in person.keys
    assert has_grid_focus(person)
    press(window, Key.Key_Right, "q")
    assert person.labels == {}
    for part in (window.class_panel.list, window.class_panel.add):
        part.setFocus()
        press(window, Key.Key_Return)
    assert "does nothing" not in person.status
    assert window.focusWidget() is window.class_panel.field
    press(window, *"rei/asuka")
    assert window.class_panel.heading.text() == "No class contains this"
    window.class_panel.add.click()
    assert window.class_panel.field.text() == "rei/asuka", "to be corrected"
    press(window, Key.Key_Escape)
    assert window.class_panel.heading.text() == "Classes"
    window.show_view("review")
    settle(window)
    click_class(window, "ayanami")
    settle(window)
    press(window, Key.Key_F2, *"rei", Key.Key_Return)
    assert (window.shown_name, "rei" in person.keys) == ("review", True)
    press(window, Key.Key_F5)
    # From the list itself the next class is renamed as well.
    window.class_panel.list.setFocus(Qt.FocusReason.TabFocusReason)
    window.class_panel.list.setCurrentIndex(window.class_panel.model.index(0))
    for name in ("first", "second"):
        press(window, Key.Key_F2, *name, Key.Key_Return, Key.Key_Down)
        assert name in person.keys
        assert window.class_panel.list.hasFocus()


def test_early_letters_label_nothing(clusters_person: Person) -> None:
    """Letters typed before a page appears stay in the field and run no command."""
    view = wait_for_page(clusters_person)
    window = clusters_person.window
    first = clusters_person.page
    while view.view.list_unmarked(range(len(first.tiles))):
        press(window, *"mio", Key.Key_Return)
    sorted_by_then = clusters_person.decided_count
    QTest.mouseClick(view.header.file_button, Qt.MouseButton.LeftButton)
    for letter in "rol":  # o and l are shortcuts, r is not
        QTest.keyClick(window.windowHandle(), letter)
    wait_until(lambda: view.page not in (None, first))
    for letter in "lo":
        QTest.keyClick(window.windowHandle(), letter)
    settle(window)
    assert view.header.name.text() == "rollo"
    assert clusters_person.decided_count == sorted_by_then
    wait_for_page(clusters_person)
    press(window, Key.Key_Return)
    assert "rollo" in clusters_person.keys


@pytest.mark.parametrize("begun", ["x", ""])
def test_name_begun_for_card_ends_with_its_page(
    clusters_person: Person, monkeypatch: pytest.MonkeyPatch, begun: str
) -> None:
    # Next: several classes.
    monkeypatch.setattr(page_layout, "MIN_CLASS_PAGE_PART", 2.0)
    monkeypatch.setattr(pages, "MIN_LATER_CLUSTER_SIZE", 60)
    monkeypatch.setattr(page_grid, "MAX_PAGE_FACES", 40)
    view = wait_for_page(clusters_person)
    window = clusters_person.window
    messages = collect_messages(window)
    QTest.keyClick(window.windowHandle(), Key.Key_R, CONTROL)
    settle(window)
    first = wait_for_page(clusters_person).page
    for number, cluster in enumerate(first.cards):
        clusters_person.point(cluster[0])
        press(window, *f"mio{number}", Key.Key_Return)
    clusters_person.point(0)
    QTest.keyClicks(window.focusWidget(), begun)
    wait_for_enter(view)
    QTest.mouseClick(view.header.file_button, Qt.MouseButton.LeftButton)
    wait_until(lambda: view.page not in (None, first))
    wait_for_page(clusters_person)
    assert clusters_person.page.kind == "left"
    assert not begun or "Typed, but not used: x" in messages
    assert (view.header.name.text(), view.header.name.isVisible()) == ("", False)
    sorted_before = clusters_person.decided_count
    clusters_person.point(0)
    press(window, "2")  # always the key of a class
    assert clusters_person.decided_count == sorted_before + len(
        clusters_person.page.tiles[0].rows
    )


def test_resting_mouse_points_at_face(open_window: OpenWindow, faces: FaceSet) -> None:
    hint(faces, 0.97)
    person = Person(open_window(faces.root, "pages", (1440, 900)), faces)
    view = wait_for_page(person)
    move_mouse(person.window, tile_point(person, 2))
    press(person.window, Key.Key_Return)
    wait_for_page(person)
    assert view.view.point >= 0
    other_class = next(
        name for name in person.keys if view.page and name != view.page.label
    )
    press(person.window, person.keys[other_class])
    assert view.model.state(view.view.point).target == other_class


@pytest.mark.parametrize("some", [True, pytest.param(False, marks=pytest.mark.long)])
def test_every_key_acts_or_explains(
    open_window: OpenWindow, faces: FaceSet, some: bool
) -> None:
    hint(faces, 0.97)
    window = open_window(faces.root, size=(1000, 640))
    window.activateWindow()
    wait_until(window.isActiveWindow)
    messages = collect_messages(window)
    for number, name in enumerate(VIEW_NAMES):
        # Every third usual key is pressed in this view, the others in the next two.
        for key in USUAL_KEYS[number % 3 :: 3] if some else ALL_KEYS:
            window.sheet.hide()
            window.show_view(name)
            window.view.focus_home()
            settle(window)
            before = state(window)
            messages.clear()
            press(window, key)
            assert messages or state(window) != before, (name, key)
            assert not any("bug in Gleanset" in text for text in messages)


@pytest.mark.parametrize("name", VIEW_NAMES)
def test_shift_and_class_key_act_or_explain(
    open_window: OpenWindow, faces: FaceSet, name: str
) -> None:
    hint(faces, 0.97)
    window = open_window(faces.root, name)
    settle(window)
    messages = collect_messages(window)
    before = state(window)
    QTest.keyClick(window.windowHandle(), Key.Key_1, SHIFT)
    settle(window)
    assert messages or state(window) != before


def state(window: LabelerWindow) -> tuple[bytes, int, bool, int]:
    """Return pixels without the status bar, the focus, whether F1 is open, and saved steps."""
    image = window.grab(window.centralWidget().geometry()).toImage()
    progress = window.worker.progress
    saved = progress.step_count if progress else 0
    sheet = window.sheet.isVisible()
    return bytes(image.constBits()), id(window.focusWidget()), sheet, saved


@pytest.mark.parametrize("are_keys", [False, True])
def test_letters_are_keys_of_classes_only_if_one_wants(
    open_window: OpenWindow, faces: FaceSet, are_keys: bool
) -> None:
    settings = faces.root / "dataset.toml"
    text = re.sub('rei = "."', 'rei = "r"', settings.read_text())
    settings.write_text(text)
    hint(faces, 0.97)
    person = Person(open_window(faces.root, "pages"), faces)
    view = wait_for_page(person)
    dialog = SettingsDialog(person.window)
    assert not dialog.letters.isChecked()
    dialog.letters.setChecked(are_keys)
    chip = person.window.findChildren(LetterKeysChip)[0]
    assert chip.isVisible() is are_keys
    row = next(n for n in range(20) if view.model.prediction(n).label != "rei")
    person.point(row)
    press(person.window, "r")
    assert view.header.name.text() == ("" if are_keys else "r")
    assert [*person.labels.values()] == ["rei"] * are_keys

    # Only keys that act are shown: no letter of a place does here.
    press(person.window, Key.Key_Escape)
    letters = ["r"] if are_keys else []
    assert shown_letters(person, row + 1) == (letters, letters)
    person.window.show_view("grid")
    settle(person.window)
    assert shown_letters(person, 0) == ([*"loqr"], [*"loqr"])


def shown_letters(person: Person, row: int) -> tuple[list[str], list[str]]:
    """Return the letters that the menu of a face, and the class list, show as keys."""
    person.point(row)
    menu = open_menu(person, row)
    classes = open_submenu(menu, "Label as")
    entries = [entry.text() for entry in (*menu.actions(), *classes.actions())]
    menu.close()
    classes.close()
    in_menu = [text.partition("\t")[2].lower() for text in entries]
    assert {"1", "del"} <= {*in_menu}, "other keys act everywhere"

    model = person.window.class_panel.model
    role = Qt.ItemDataRole.AccessibleTextRole
    texts = [
        model.data(model.index(number), role) for number in range(model.rowCount())
    ]
    in_list = re.findall(r", key (\w),", "\n".join(texts).lower())
    return (
        sorted(key for key in in_menu if len(key) == 1 and key.isalpha()),
        sorted(key for key in in_list if key.isalpha()),
    )


ROOT = Path(__file__).parents[3]


def test_docs_list_the_shortcuts() -> None:
    page = (ROOT / "docs" / "labeling.md").read_text(encoding="utf-8")
    part = page.split("## All keys")[1].split("\n## ")[0]
    rows = [
        line.strip("| \n").split(" | ")
        for line in part.splitlines()
        if line.startswith("| ")
    ]
    expected_rows = [
        line
        for name, keys in shortcut_sections().items()
        for line in ([name, ""], *map(list, keys.items()))
    ]
    assert [
        row if len(row) == 2 else [row[0].strip(" |"), ""] for row in rows
    ] == expected_rows


DIRECT = Qt.FindChildOption.FindDirectChildrenOnly


@pytest.fixture(scope="module")
def shared_film(tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    """Draw eight shots of three frames each; read-only."""
    return drawn_once(tmp_path_factory, 24, classes=3, frames=3)


@pytest.fixture
def film(shared_film: FaceSet, tmp_path: Path) -> FaceSet:
    return copied(shared_film, tmp_path / "film")


def enlarge_face(person: Person, row: int, how: str = "space") -> EnlargedFaceOverlay:
    if how == "space":
        person.point(row)
        QTest.keyClick(person.view.view, Key.Key_Space)
    else:
        double_click(person, row)
    face = person.view.enlarged
    wait_until(lambda: face.isVisible() and face.ready)
    return face


def test_enlarged_face_shows_box_and_frames(
    open_window: OpenWindow, film: FaceSet
) -> None:
    person = Person(open_window(film.root), film)
    face = enlarge_face(person, 4)
    QTest.keyClick(face, Key.Key_Space)
    assert not face.isVisible()
    (hints,) = person.view.findChildren(KeyHints)
    assert hints.isEnabled()
    assert enlarge_face(person, 4, "double click") is face
    assert not hints.isEnabled()  # the keys of the grid do nothing meanwhile
    assert face.geometry() == person.view.view.rect()
    key = person.view.model.tile(4).key
    assert face.frame_file.frame.faces[0].id == person.view.model.id(4)
    assert "· 00:01:00   ·   frame 5 of 24" in face.caption()
    image = face.grab().toImage()
    middle = image.height() // 2
    box = {image.pixelColor(x, middle).name() for x in range(image.width())}
    assert face.palette().highlight().color().name() in box
    QTest.keyClick(face, Key.Key_Right)
    QTest.keyClick(face, Key.Key_Right)
    wait_until(lambda: face.ready and face.at == 6)
    assert "frame 7 of 24" in face.caption()
    # A class key labels the enlarged face, whichever frame is shown.
    QTest.keyClick(face, person.keys[person.truth[key]])
    settle(person.window)
    assert person.labels == {key: person.truth[key]}
    assert f"→ {person.truth[key]}" in face.caption()
    QTest.keyClick(face, Key.Key_Z, CONTROL)
    settle(person.window)
    assert person.labels == {}
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
    assert "does nothing here" in person.status
    QTest.keyClick(face, Key.Key_L)
    settle(person.window)
    assert person.window.worker.progress.counts.later == 1
    assert person.view.model.state(3).target == "later"
    # A key that a field ignores goes to the overlay, not to the tiles below.
    person.window.class_panel.field.setFocus()
    QTest.keyClick(person.window.class_panel.field, Key.Key_Left)
    assert (face.row, person.window.focusWidget()) == (2, face)
    QTest.mouseClick(face, Button.LeftButton, pos=QPoint(20, 20))
    assert not face.isVisible()
    assert person.view.view.selected_rows() == []


# -- the menu


def open_menu(person: Person, row: int) -> QMenu:
    right_click(person.view.view.viewport(), person.tile_center(row))
    menu = person.view.view.findChildren(QMenu, options=DIRECT)[-1]
    assert menu.isVisible()
    return menu


def open_submenu(menu: QMenu, text: str) -> QMenu:
    result = next(
        action for action in menu.actions() if action.text().startswith(text)
    ).menu()
    result.popup(QPoint(300, 200))
    return result


@pytest.fixture
def person(open_window: OpenWindow, film: FaceSet) -> Person:
    propose(film, 1.0)
    return Person(open_window(film.root, size=(1280, 720)), film)


def test_menu_labels_face_or_selection(person: Person) -> None:
    click(open_submenu(open_menu(person, 3), "Label as"), "rei")
    settle(person.window)
    assert list(person.labels.values()) == ["rei"]
    for row in (5, 6):
        person.click(row, modifiers=CONTROL)
    click(open_submenu(open_menu(person, 6), "Label as"), "hana")
    settle(person.window)
    assert sorted(person.labels.values()) == ["hana", "hana", "rei"]
    person.click(8, modifiers=CONTROL)
    click(open_menu(person, 9), "Not sure")  # outside the selection: that face alone
    settle(person.window)
    assert person.window.worker.progress.counts.later == 1
    assert person.view.model.state(9).target == "later"
    click(open_menu(person, 10), "Not a face")
    click(open_menu(person, 11), "Nobody I collect")
    settle(person.window)
    counts = person.window.worker.progress.counts
    assert (counts.rejected, counts.other) == (1, 1)
    click(open_menu(person, 10), "Not sorted yet")
    settle(person.window)
    assert person.window.worker.progress.counts.rejected == 0


def test_menu_shows_keys_that_do_the_same(clusters_person: Person) -> None:
    person = clusters_person
    person.click(1)  # an excluded face stands alone
    for row, has_keys in ((0, False), (1, True)):
        person.point(row)
        menu = open_menu(person, row)
        assert (
            "Not a face\tDel" in [action.text() for action in menu.actions()]
        ) == has_keys
        menu.close()
    person.point(2)
    QTest.keyClick(
        person.window.focusWidget(), Key.Key_F10, Qt.KeyboardModifier.ShiftModifier
    )
    wait_until(lambda: isinstance(QApplication.activePopupWidget(), QMenu))
    heading, *actions = QApplication.activePopupWidget().actions()
    assert heading.text().endswith(" faces")
    assert "Not a face\tDel" in [action.text() for action in actions]
    QApplication.activePopupWidget().close()
    view = person.view.view
    right_click(
        view.viewport(),
        view.visualRect(person.view.model.index(0)).topLeft() - QPoint(0, 8),
    )
    # Of the whole card.
    wait_until(lambda: isinstance(QApplication.activePopupWidget(), QMenu))
    assert QApplication.activePopupWidget().actions()[0].text() == heading.text()


def test_menu_enlarges_face(person: Person) -> None:
    click(open_menu(person, 3), "Enlarge")
    assert person.view.enlarged.isVisible()


@pytest.fixture
def crowded(open_window: OpenWindow, faces: FaceSet) -> Person:
    """Open the grid with more classes than there are single keys."""
    with Dataset.open(faces.root) as dataset:
        session = SortingSession(dataset)
        for number in range(len(DIGITS) + 8):
            session.add_class(f"extra {number:02}")
    return Person(open_window(faces.root, size=(1280, 720)), faces)


def class_of_code(crowded: Person, code: str) -> str:
    return next(name for name, key in crowded.keys.items() if key == code)


def test_two_key_code_labels_face(crowded: Person) -> None:
    assert list(crowded.keys.values()) == list(ASSIGNED_KEYS[: len(crowded.keys)])
    crowded.point(3)
    crowded.press(",")
    assert crowded.status == ", … now the second key of a class"
    assert list(crowded.labels.values()) == []
    crowded.press("2")
    settle(crowded.window)
    assert list(crowded.labels.values()) == [class_of_code(crowded, ",2")]
    assert crowded.view.model.state(3).key == ",2"
    crowded.point(4)
    crowded.press("2")  # without the comma it is another class's key
    settle(crowded.window)
    assert sorted(crowded.labels.values()) == sorted(
        [class_of_code(crowded, ",2"), class_of_code(crowded, "2")]
    )
    crowded.view.view.codes._timer.setInterval(1)
    crowded.press(",")
    wait_until(lambda: not crowded.view.view.codes.first)
    assert crowded.status == ", has no effect: the second key came too late"


def class_menu(crowded: Person, name: str) -> QMenu:
    panel = crowded.window.class_panel
    row = panel.model.row_of(name)
    index = panel.model.index(row)
    panel.list.scrollTo(index)
    right_click(panel.list.viewport(), panel.list.visualRect(index).center())
    return next(menu for menu in panel.list.findChildren(QMenu) if menu.isVisible())


def test_class_deletion_is_undone(crowded: Person) -> None:
    for row in range(3):
        crowded.send(row, "rei")
    settle(crowded.window)
    key = crowded.keys["rei"]
    crowded.enter()
    click(class_menu(crowded, "rei"), "Delete: 3 faces")
    settle(crowded.window)
    assert "rei" not in crowded.keys
    assert list(crowded.labels.values()) == []
    assert crowded.status == "Delete class rei: 3 faces no longer sorted"
    assert "60" in crowded.view.title.text()
    QTest.keyClick(crowded.view.view, Key.Key_Z, CONTROL)
    settle(crowded.window)
    assert (crowded.keys["rei"], list(crowded.labels.values())) == (key, ["rei"] * 3)
    assert "57" in crowded.view.title.text()


def test_grid_follows_rename_and_merge(crowded: Person) -> None:
    crowded.send(0, "rei")
    crowded.send(1, "hana")
    settle(crowded.window)
    crowded.window.class_panel.selected.emit("rei")
    settle(crowded.window)
    crowded.window.worker.decide(lambda session: session.rename_class("rei", "Ayanami"))
    settle(crowded.window)
    assert crowded.view.title.text() == "Ayanami · 1 face"
    crowded.window.worker.take_back(StepKind.UNDO)
    settle(crowded.window)
    assert crowded.view.title.text() == "rei · 1 face"
    merge = next(
        a.menu() for a in class_menu(crowded, "rei").actions() if a.menu() is not None
    )
    next(action for action in merge.actions() if action.text() == "hana").trigger()
    settle(crowded.window)
    assert crowded.view.title.text() == "hana · 2 faces"
    assert crowded.view.model.rowCount() == 2
    crowded.window.worker.take_back(StepKind.UNDO)
    settle(crowded.window)
    assert crowded.view.title.text() == "hana · 1 face"
    assert sorted(crowded.labels.values()) == ["hana", "rei"]


def test_search_with_matches_creates_no_class(crowded: Person) -> None:
    before = list(crowded.keys)
    name = next(iter(crowded.keys))
    crowded.point(0)
    crowded.press("/")
    settle(crowded.window)  # until the names are loaded
    QTest.keyClicks(crowded.window.focusWidget(), name[:2])
    field = crowded.window.class_panel.field
    QTest.keyClick(field, Key.Key_Return)
    settle(crowded.window)
    assert (field.text(), list(crowded.keys)) == (name[:2], before)
    assert "No class is named" in crowded.status
    QTest.keyClicks(field, "xyz")
    QTest.keyClick(field, Key.Key_Return)
    settle(crowded.window)
    assert name[:2] + "xyz" in crowded.keys


def test_class_list_scrolls_during_drag(crowded: Person) -> None:
    rows = crowded.window.class_panel.list
    mime = TileMimeData(crowded.view.model.ids([3, 8]))
    copy = Qt.DropAction.CopyAction
    left = Qt.MouseButton.LeftButton
    bar = rows.verticalScrollBar()
    bottom = QPoint(60, rows.viewport().height() - 6)
    QApplication.sendEvent(
        rows.viewport(), QDragEnterEvent(bottom, copy, mime, left, NONE)
    )

    # The list scrolls on while the mouse rests.
    move = QDragMoveEvent(bottom, copy, mime, left, NONE)
    QApplication.sendEvent(rows.viewport(), move)
    first = rows.drop_text
    wait_until(lambda: bar.value() > 150)
    row = crowded.window.class_panel.model.row(rows.indexAt(bottom).row())
    assert rows.drop_text == f"Drop 2 → {row.target}" != first
    drop = QDropEvent(QPointF(bottom), copy, mime, left, NONE)
    QApplication.sendEvent(rows.viewport(), drop)
    assert drop.dropAction() == copy
    settle(crowded.window)
    assert list(crowded.labels.values()) == [row.target] * 2
    assert rows.drop_row == -1
    scrolled = bar.value()
    QTest.qWait(300)
    assert bar.value() == scrolled
