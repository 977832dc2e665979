"""The clusters page: naming, correcting, and better clusters, with real keys and clicks."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
from drawn_faces import FaceSet, copied
from person import (
    CONTROL,
    SHIFT,
    Person,
    card_name,
    class_pages,
    collect_messages,
    drop_over,
    hover,
    pointed_card,
    press,
    settle,
    store_vectors,
    wait_for_enter,
    wait_for_page,
    wait_until,
)
from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtTest import QTest
from window_fixtures import OpenWindow

from gleanset import Dataset
from gleanset.db.journal import Choice
from labeler.qt import window
from labeler.qt.grid.mouse import TileMimeData
from labeler.qt.theme import lit
from labeler.qt.views import class_pages as pages_module
from labeler.qt.views.class_pages import ClassPagesView
from labeler.sorting.page_state import click_heading
from labeler.sorting.session import StepKind

Key = Qt.Key


@pytest.fixture
def person(clusters_person: Person) -> Person:
    return clusters_person


def cluster_rows(person: Person, number: int) -> range:
    page = person.page
    first = sum(page.card_sizes[:number])
    return range(first, first + page.card_sizes[number])


def label_counts(person: Person) -> dict[str, int]:
    settle(person.window)
    return dict(Counter(person.labels.values()))


def press_enter(person: Person) -> None:
    wait_for_enter(class_pages(person))
    person.enter()


def buttons_shown(view: ClassPagesView) -> tuple[bool, bool]:
    """Return whether the buttons of Enter and of PgDn are shown."""
    return view.header.file_button.isVisible(), view.header.skip_button.isVisible()


def test_name_and_key_label_clusters_without_excluded_face(person: Person) -> None:
    view = class_pages(person)
    page = person.page
    shown = f"{len(page.card_sizes)} people to name · {len(page.rows)} faces ·"
    assert f"Who are they?  {shown}" in view.header.title.text()
    assert buttons_shown(view) == (False, True)  # Enter would only ask for a name
    first, second, third = (cluster_rows(person, number) for number in range(3))
    person.point(second[0])
    person.type_name("Miku")
    assert label_counts(person) == {"Miku": len(second)}
    assert buttons_shown(view) == (True, False)
    assert (
        view.header.file_button.text()
        == f"Enter: next page ({60 - len(second)} faces left)"
    )
    person.click(first[1])
    person.point(first[0])
    person.press("1", SHIFT)
    assert label_counts(person) == {"Miku": len(second) + len(first) - 1}
    assert card_name(person, 0) == "Miku"
    assert len(view.state.shown.targets(0)) == len(first) - 1  # the number on the card
    person.point(second[0])
    assert view.view.target_rows() == [second[0]], (
        "a key corrects one face of a named card"
    )
    person.type_name("Asuka")
    assert label_counts(person)["Asuka"] == 1, "and so does a name"
    person.undo()
    # A clicked face is excluded from its cluster's name, also when pointed at; a key labels it.
    person.click(third[1])
    person.point(third[1])
    person.type_name("Rin")
    view.model.refresh()
    assert label_counts(person)["Rin"] == len(third) - 1
    person.point(third[1])
    person.type_name("Mio")  # now that the others have a name
    counts = label_counts(person)
    assert (counts["Rin"], counts["Mio"]) == (len(third) - 1, 1)
    person.undo()
    person.point(third[1])
    person.press("1")
    person.click(second[0])
    person.point(second[0])
    person.press("2")  # before the removed label is saved
    counts = {"Rin": len(third), "Miku": len(second) + len(first) - 1}
    assert label_counts(person) == counts
    press_enter(person)
    assert view.page is not page
    assert person.decided_count == sum(counts.values())


def test_ctrl_enter_labels_cluster_and_accepts_page(person: Person) -> None:
    view = class_pages(person)
    control = Qt.KeyboardModifier.ControlModifier
    page = person.page
    sizes = person.page.card_sizes
    wait_for_enter(view)
    person.point(cluster_rows(person, 0)[0])  # where the mouse stays
    person.type_name("Rei")
    for key, number in ((Key.Key_Right, 2), (Key.Key_Left, 1)):
        person.press(key, control)
        assert pointed_card(person) == cluster_rows(person, number)
    person.type_name("Rin")
    QTest.keyClick(person.window.focusWidget(), "m")
    QTest.keyClick(view.header.name, Key.Key_Return, control)
    counts = {"Rei": sizes[0], "Rin": sizes[1], "m": sizes[2]}
    assert label_counts(person) == counts
    for name, number in (("m", 2), ("Rin", 1)):
        person.undo()
        del counts[name]
        assert (view.page, label_counts(person)) == (page, counts)
        # Ctrl+Enter or a name is for it.
        assert pointed_card(person) == cluster_rows(person, number)
    assert buttons_shown(view) == (True, False)
    for _ in range(2):
        person.redo()
        assert view.page == page
    assert label_counts(person).keys() == {"Rei", "Rin", "m"}


def test_typed_name_triggers_no_shortcut_and_is_completed(person: Person) -> None:
    for label in ("Miku", "Mio", "Rei"):
        person.add_class(label)
    expected: dict[str, int] = {}
    for number, name in enumerate(("4", "L"), 1):  # "l" is a command elsewhere
        rows = cluster_rows(person, number)
        person.point(rows[0])
        QTest.keyClick(person.window.focusWidget(), name)
        assert label_counts(person) == expected
        assert class_pages(person).header.name.hint.startswith("new")
        QTest.keyClick(person.window.focusWidget(), Key.Key_Return)
        expected[name] = len(rows)
        assert label_counts(person) == expected
    view = class_pages(person)
    press(person.window, Key.Key_PageDown)  # the names are loaded with it
    field = view.header.name
    person.point(0)
    for letter in "mi":
        QTest.keyClick(person.window.focusWidget(), letter)
    assert (field.text(), field.hint) == ("mi", "Tab: Miku · new")
    QTest.keyClick(field, Key.Key_Tab)
    assert (field.text(), field.hint) == ("Miku", "")
    QTest.keyClick(field, Key.Key_Down)
    assert field.text() == "Mio"
    field.clear()
    QTest.keyClicks(field, "re")
    QTest.keyClick(field, Key.Key_Tab)
    QTest.keyClick(field, Key.Key_Return)
    assert "Rei" in label_counts(person)


def test_cluster_box_is_highlighted_under_mouse(person: Person) -> None:
    view = class_pages(person).view
    first = cluster_rows(person, 0)
    second = cluster_rows(person, 1)
    tile = view.visualRect(view.tiles.index(second[0]))
    heading = tile.topLeft() - QPoint(-30, 12)
    gap = tile.topRight() + QPoint(2, 20)
    corner = view._grid.placed[1].box.topRight() + QPoint(-6, 6)
    before = view.viewport().grab().toImage()
    for place, name in ((heading, "Miku"), (gap, "Rin")):
        hover(view.viewport(), place)
        assert (view.indexAt(place).row(), view.point) == (-1, -1)
        assert view.lit_sections() == {second[0]}
        lit_card = view.viewport().grab().toImage()
        assert lit_card.pixelColor(corner) == lit()
        assert before.pixelColor(corner) != lit_card.pixelColor(corner)
        person.type_name(name)
        # The second time the whole cluster is relabelled.
        assert label_counts(person) == {name: len(second)}
        assert view.point == cluster_rows(person, 2)[0]
    person.window.undo()
    assert label_counts(person) == {"Miku": len(second)}
    person.point(first[0])
    assert view.lit_sections() == {first[0]}


def test_sweep_skips_labelled_cluster(person: Person) -> None:
    view = class_pages(person).view
    first, second, third = (cluster_rows(person, number) for number in range(3))
    person.add_class("Rin")
    person.point(second[0])
    person.type_name("Miku")
    settle(person.window)
    person.point(first[0])
    QTest.keyPress(view, "1")
    for row in (second[0], third[0]):
        hover(view.viewport(), person.tile_center(row))
    QTest.keyRelease(view, "1")
    assert label_counts(person) == {"Rin": len(first) + len(third), "Miku": len(second)}
    person.point(third[0])
    person.type_name("Miku")  # one face of a cluster labelled by the sweep
    rin = len(first) + len(third) - 1
    assert label_counts(person) == {"Rin": rin, "Miku": len(second) + 1}


def test_name_without_cluster_stays_until_one_is_pointed_at(person: Person) -> None:
    view = class_pages(person)
    below = view.view.viewport().rect().bottomLeft() + QPoint(3, -3)
    assert not view.view.section_at(below)
    person.point(0)
    hover(view.view.viewport(), below)
    for letter in "Miku":
        QTest.keyClick(person.window.focusWidget(), letter)
    QTest.keyClick(view.header.name, Key.Key_Return)
    assert "Point at a face or a card" in person.status
    assert (person.decided_count, view.header.name.text()) == (0, "Miku")
    hover(view.view.viewport(), person.tile_center(0))
    QTest.keyClick(view.header.name, Key.Key_Return)
    assert label_counts(person) == {"Miku": view.page.card_sizes[0]}


def test_enter_keeps_unlabelled_page_and_full_stop_marks_unlisted(
    person: Person,
) -> None:
    view = class_pages(person)
    rows = cluster_rows(person, 1)
    page = view.page
    person.click(cluster_rows(person, 0)[0])  # excluding a face labels nothing
    press_enter(person)
    assert view.page is page
    assert "type its name" in person.status
    assert person.window.focusWidget() is view.view
    person.point(rows[0])
    QTest.qWait(100)  # it has to be lit for a moment
    person.press(".")
    settle(person.window)
    assert person.window.worker.progress.counts.other == len(rows)


def test_del_rejects_only_the_enlarged_face(person: Person) -> None:
    view = class_pages(person)
    person.point(cluster_rows(person, 0)[1])
    person.press(Key.Key_Space)
    settle(person.window)
    QTest.keyClick(view.enlarged, Key.Key_Delete)
    settle(person.window)
    assert person.window.worker.progress.counts.rejected == 1


def places(person: Person) -> list[QRect]:
    """Return where each tile is."""
    view = class_pages(person).view
    return [view.visualRect(view.model().index(row, 0)) for row in range(58)]


def test_minus_splits_cluster_in_place(person: Person) -> None:
    view = class_pages(person)
    page = person.page
    before = places(person)
    rows = cluster_rows(person, 0)
    person.click(rows[0])
    person.point(rows[1])
    person.press("-")
    settle(person.window)
    assert (view.page, places(person)) == (page, before)
    parts = {view.state.shown.cards[row] for row in rows}
    assert len(parts) == 2
    new = view.state.shown.members(max(parts))
    assert {*new} < {*rows[1:]}, "an excluded face belongs to neither"
    assert {view.view.appearance(row).state.key for row in new} == {
        chr(ord("A") + max(parts))
    }
    for change, cards, mark in (
        (person.undo, 1, "lifted"),
        (person.undo, 1, "in"),
        (person.redo, 1, "lifted"),
        (person.redo, 2, "lifted"),
        (person.undo, 1, "lifted"),
    ):
        change()
        assert len({view.state.shown.cards[row] for row in rows}) == cards
        assert view.model.state(rows[0]).mark == mark
    person.redo()
    person.point(new[0])
    person.type_name("Miku")
    assert label_counts(person) == {"Miku": len(new)}
    person.click(rows[1])
    person.window.redo()
    settle(person.window)
    assert "nothing to redo" in person.status.lower(), "another change leaves nothing"


def drop_on(person: Person, rows: list[int], onto: int) -> Qt.DropAction:
    """Drop tiles on another cluster with the desktop's events."""
    view = class_pages(person).view
    heading = view.visualRect(view.tiles.index(onto)).topLeft() - QPoint(0, 8)
    action = drop_over(view.viewport(), TileMimeData(view.tiles.ids(rows)), heading)
    settle(person.window)
    return action


def test_dropped_cards_and_faces_keep_their_places(person: Person) -> None:
    """Two drags that were aimed at the same screen both hit."""
    view = class_pages(person)
    page = view.page
    before = places(person)
    first, second, third = (cluster_rows(person, number) for number in range(3))
    assert drop_on(person, list(second), second[0]) is Qt.DropAction.IgnoreAction
    drop_on(person, list(second), first[0])
    undo = person.window.status.undo
    assert undo.text() == "Undo: Move to another card"
    assert drop_on(person, [third[0]], first[0]) is Qt.DropAction.CopyAction
    assert (view.page, places(person)) == (page, before)
    joined = {*first, *second, third[0]}
    assert {*view.state.shown.members(0)} == joined
    undo.click()
    assert person.status == "Undone: Move to another card"
    assert {*view.state.shown.members(0)} == {*first, *second}
    person.redo()
    # Both boxes are lit, and the face that has its tag.
    hover(view.view.viewport(), view.view.mouse.at + QPoint(1, 0))
    person.point(second[1])
    assert view.view.lit_sections() == {first[0], second[0]}
    face = view.view.appearance(third[0])
    assert (face.state.key, face.pointed) == ("A", True)
    person.type_name("Miku")
    assert label_counts(person) == {"Miku": len(joined)}
    # Faces dropped on a labelled cluster get its label.
    drop_on(person, list(third[1:]), first[0])
    assert label_counts(person) == {"Miku": len(joined) + len(third) - 1}
    for _ in range(2):
        person.undo()
    assert label_counts(person) == {}
    for _ in range(2):
        person.undo()
    assert view.state.shown.cards == view.state.shown.boxes


def test_named_cluster_names_others_and_moved_face_loses_name(person: Person) -> None:
    view = class_pages(person)
    first, second, third = (cluster_rows(person, number) for number in range(3))
    person.point(first[0])
    person.type_name("Miku")
    settle(person.window)
    person.window.show_view("grid")
    person.undo()
    person.window.show_view("pages")
    settle(person.window)
    assert card_name(person, first[0]) == "", "also after an undo in another view"
    person.redo()
    drop_on(person, list(first), second[0])
    assert label_counts(person) == {"Miku": len(first) + len(second)}
    drop_on(person, [first[0]], third[0])
    # The move and the label are one step.
    for change in (
        None,
        person.undo,
        person.redo,
    ):
        if change is not None:
            change()
        is_moved = change != person.undo
        count = len(first) + len(second) - is_moved
        assert label_counts(person) == {"Miku": count}
        assert (view.state.shown.cards[first[0]] == 2) is is_moved
        assert view.model.state(first[0]).mark == ("in" if is_moved else "sent")
        assert card_name(person, first[1]) == "Miku", "a card that a face left keeps it"
    person.point(third[0])
    person.type_name("Rei")
    assert label_counts(person)["Rei"] == len(third) + 1


def test_trembling_mouse_does_not_point_back(person: Person) -> None:
    view = class_pages(person).view
    person.point(0)
    person.type_name("Miku")
    settle(person.window)
    at = view.mouse.at
    following = view.point
    assert at is not None
    hover(view.viewport(), at + QPoint(2, 1))
    assert view.point == following
    hover(view.viewport(), at + QPoint(8, 0))
    assert view.point in cluster_rows(person, 0)


def test_click_on_heading_renames_cluster(person: Person) -> None:
    view = class_pages(person)
    rows = cluster_rows(person, 0)
    field = view.header.name
    tile = view.view.visualRect(view.model.index(0))
    person.type_name("Miku")
    settle(person.window)
    heading = tile.topLeft() - QPoint(-20, 12)
    QTest.mouseClick(view.view.viewport(), Qt.MouseButton.LeftButton, pos=heading)
    assert (field.hasFocus(), field.selectedText()) == (True, "Miku")
    QTest.keyClicks(field, "a/b")
    QTest.keyClick(field, Key.Key_Return)
    assert "'a/b' is not a class name – leave out /" in person.status
    assert (field.hasFocus(), field.text()) == (True, "a/b")
    field.selectAll()
    QTest.keyClicks(field, "Rei")
    QTest.keyClick(field, Key.Key_Return)
    assert label_counts(person) == {"Rei": len(rows)}
    assert not field.isVisible()
    person.window.worker.decide(lambda session: session.rename_class("Rei", "Mio"))
    settle(person.window)
    assert card_name(person, 0) == "Mio"
    wait_until(lambda: field.resolve("Rei") == "Mio")  # its former name
    for card in view.view._grid.placed:
        view.take(click_heading, card.first)
        assert card.box.contains(view.view.name_field_rect())
    person.window.worker.decide(lambda session: session.decide(range(1, 61), "Mio"))
    settle(person.window)
    assert view.header.file_button.text() == "Enter: next page"


UPDATE_MESSAGE = "Suggesting again what is left…"


@pytest.fixture(autouse=True)
def _short_refresh_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages_module, "REFRESH_MS", 40)


def prelabel(person: Person) -> None:
    store_vectors(person.window.worker.root, person.truth)


def classes_per_cluster(person: Person) -> list[set[str]]:
    page = person.page
    first = 0
    result = []
    for size in page.card_sizes:
        result.append({person.true_class(row) for row in range(first, first + size)})
        first += size
    return result


def test_plain_grid_until_features_are_computed(
    open_window: OpenWindow,
    shared_faces: FaceSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(window, "EMBEDDING_DELAY_MS", 60_000)  # started below
    shutil.copytree(shared_faces.root, tmp_path / "d")
    with Dataset.open(tmp_path / "d") as dataset:
        dataset.db.execute("DELETE FROM quality")
    person = Person(
        open_window(tmp_path / "d", "pages"),
        FaceSet(tmp_path / "d", shared_faces.truth),
    )
    view = class_pages(person)
    before = person.page
    titles = set[str]()
    messages = collect_messages(person.window)
    assert (before.kind, len(before.tiles)) == ("plain", 60)
    assert view.header.title.text() == (
        "Comparing faces…  Cards of similar ones follow; or point and type a name"
    )
    wait_for_enter(view)
    QTest.keyClick(view.view, Qt.Key.Key_Return)
    settle(person.window)
    assert messages[0] == "Point at a face or a card, then type its name"
    person.point(3)
    person.type_name("luffy")
    settle(person.window)
    assert person.labels == {view.model.tile(3).key: "luffy"}
    person.undo()
    assert person.page is before
    assert person.labels == {}
    # Neither these keys nor a look at another view keep the page without suggestions.
    for name in ("duplicates", "pages"):
        QTest.keyClick(person.window.windowHandle(), Qt.Key.Key_F3)
        person.window.show_view(name)
    button = person.window._learning_button
    person.window.embedding_task.left.connect(lambda left: titles.add(button.text()))
    person.window.embedding_task.begin()
    wait_until(lambda: person.page is not before)
    settle(person.window)
    assert person.page.kind == "groups"
    assert "Comparing faces: 44 faces left" in titles
    assert UPDATE_MESSAGE not in messages
    result = classes_per_cluster(person)
    assert sum(len(people) == 1 for people in result) >= 0.8 * len(result)


def test_single_face_is_asked_for(
    open_window: OpenWindow, shared_faces: FaceSet, tmp_path: Path
) -> None:
    faces = copied(shared_faces, tmp_path / "d", named=False)
    others = [Choice(key, "reject") for key in [*faces.truth][1:]]
    with Dataset.open(faces.root) as dataset:
        dataset.journal.apply("Reject", others)
    store_vectors(faces.root, faces.truth, centered=True)  # of one face, zero
    view = wait_for_page(Person(open_window(faces.root, "pages"), faces))
    assert view.header.title.text() == "Who is this?  1 face · type the name"


def test_better_clusters_are_offered(person: Person) -> None:
    """The page stays until the person asks for the better one."""
    view = class_pages(person)
    before = person.page
    QTest.qWait(300)
    assert not view.header.better_button.isVisible()
    prelabel(person)
    wait_until(view.header.better_button.isVisible)
    QTest.qWait(300)
    assert person.page is before
    QTest.keyClick(person.window.windowHandle(), Key.Key_R, CONTROL)
    wait_until(lambda: person.page is not before)
    settle(person.window)
    assert (person.status, view.header.better_button.isVisible()) == (
        "Suggesting again what is left…",
        False,
    )
    assert all(len(people) == 1 for people in classes_per_cluster(person))
    wait_for_enter(view)
    person.point(0)
    person.type_name("Miku")
    settle(person.window)
    assert "Miku" in person.labels.values(), person.status


def test_touched_page_is_kept(person: Person) -> None:
    view = class_pages(person)
    handle = person.window.windowHandle()
    place = view.view.viewport().mapTo(person.window, person.tile_center(3))
    before = person.page
    left = Qt.MouseButton.LeftButton
    gestures = (
        lambda: QTest.keyClick(handle, Qt.Key.Key_Right),
        lambda: QTest.mouseClick(handle, left, pos=place),
        lambda: QTest.wheelEvent(handle, place.toPointF(), QPoint(0, -120)),
    )
    for touch in gestures:
        touch()
    prelabel(person)
    wait_until(view.header.better_button.isVisible)
    QTest.qWait(300)
    assert person.page is before


def test_backspaces_after_letters_only_delete_letters(person: Person) -> None:
    view = class_pages(person)
    handle = person.window.windowHandle()
    person.point(0)
    QTest.keyClicks(person.window.focusWidget(), "mik")
    for _ in range(5):
        QTest.keyClick(handle, Key.Key_Backspace)
    settle(person.window)
    assert (view.header.name.text(), person.decided_count) == ("", 0)
    QTest.keyClick(handle, Key.Key_Escape)
    assert view.view.hasFocus()
    QTest.keyClick(handle, Key.Key_Backspace)
    settle(person.window)
    assert (person.decided_count, person.status.partition(" ")[0]) == (0, "Backspace")


def test_excluded_face_under_mouse_keeps_pointer(person: Person) -> None:
    view = class_pages(person)
    (rows, following) = (cluster_rows(person, n) for n in range(2))
    person.add_class("Rin")
    person.point(rows[1])
    person.click(rows[1])
    person.type_name("Miku")
    settle(person.window)
    for far in (0, 3):  # at rest, and trembling
        hover(view.view.viewport(), person.tile_center(rows[1]) + QPoint(far, 0))
        assert view.view.target_rows() == [rows[1]]
    person.press("1")
    assert label_counts(person) == {"Miku": len(rows) - 1, "Rin": 1}
    person.point(following[0])
    person.type_name("Rei")
    settle(person.window)
    person.click(following[1])  # no move: the mouse is where it was
    person.press("1")
    counts = label_counts(person)
    assert (counts["Rin"], counts["Rei"]) == (2, len(following) - 1)


def test_next_name_after_redo_is_for_next_cluster(person: Person) -> None:
    view = class_pages(person)
    page = person.page
    sizes = page.card_sizes
    person.point(0)
    person.type_name("Miku")
    person.undo()
    assert pointed_card(person) == cluster_rows(person, 0)
    person.window.worker.take_back(StepKind.REDO)
    settle(person.window)
    assert card_name(person, 0) == "Miku"
    assert pointed_card(person) == cluster_rows(person, 1)
    person.type_name("Rin")
    assert label_counts(person) == {"Miku": sizes[0], "Rin": sizes[1]}
    for key in (Key.Key_PageDown, Key.Key_PageUp):
        QTest.keyClick(view.view, key)
        settle(person.window)
    assert (person.page, pointed_card(person)) == (page, cluster_rows(person, 2))
    person.undo()
    assert card_name(person, sizes[0]) == ""
    assert pointed_card(person) == cluster_rows(person, 1)


def test_begun_name_is_for_its_cluster_or_discarded(person: Person) -> None:
    view = class_pages(person)
    rows = [cluster_rows(person, number) for number in range(2)]
    field = view.header.name
    handle = person.window.windowHandle()
    person.point(rows[0][0])
    person.type_name("Miku")
    for end, counts in (
        ("click", {}),
        (Key.Key_Escape, {}),
        (Key.Key_Return, {"yu": len(rows[1])}),
    ):
        person.point(rows[1][0])
        QTest.keyClicks(person.window.focusWidget(), "yu")
        person.point(rows[0][1])
        person.window.undo()  # by its button
        person.window.worker.take_back(StepKind.REDO)
        settle(person.window)
        assert view.view._grid.placed[1].box.contains(field.geometry())
        if end == "click":
            person.click(rows[0][0])
            assert person.status == "Typed, but not used: yu"
        else:
            QTest.keyClick(handle, end)
        assert (field.text(), field.isVisible()) == ("", False)
        assert label_counts(person) == {"Miku": len(rows[0]) - 1, **counts}
        assert card_name(person, rows[0][1]) == "Miku"
