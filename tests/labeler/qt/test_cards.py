"""Pages of cards: drops on a card, names of cards, and pages that changed meanwhile."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import Mock

import pytest
from drawn_faces import FaceSet, copied, hint
from person import (
    SHIFT,
    Person,
    card_name,
    class_pages,
    click,
    drag_from,
    drop_over,
    hover,
    right_click,
    settle,
    wait_for_enter,
    wait_until,
)
from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, Qt
from PySide6.QtGui import (
    QDragEnterEvent,
    QDragMoveEvent,
    QDropEvent,
    QFontMetrics,
    QImage,
    QPainter,
    QPixmap,
)
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu
from window_fixtures import OpenWindow

from gleanset import Dataset
from gleanset.db.classes import Placement
from gleanset.db.journal import Choice
from gleanset.operations import make_operation
from labeler.duplicates.plan import apply_step
from labeler.qt.grid.layout import INSET, GridLayout, Section
from labeler.qt.grid.mouse import TileMimeData
from labeler.qt.grid.tile_view import draw_filling
from labeler.qt.theme import SMALL, SPACE_M, SPACE_S, draw_box, scale_font
from labeler.qt.translations import install, tr
from labeler.qt.views.page_grid import FOLD_WIDTH
from labeler.sorting.page_parts import Message
from labeler.sorting.page_state import press, show_next
from labeler.sorting.session import MIN_LOOK_SECONDS, StepKind

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def person(open_window: OpenWindow, shared_faces: FaceSet, tmp_path: Path) -> Person:
    """Open a page of several weak labels, none of which is a class."""
    faces = copied(shared_faces, tmp_path / "d", named=False)
    hint(faces, 1.0)
    person = Person(open_window(faces.root, "pages"), faces)
    assert person.page.kind == "left"
    return person


def card(person: Person, number: int) -> range:
    """Return the tiles of a card."""
    return class_pages(person).view._grid.placed[number].rows


def heading(person: Person, rows: range) -> QPoint:
    """Return a point on the heading of a card."""
    view = class_pages(person).view
    return view.visualRect(view.tiles.index(rows[0])).topLeft() + QPoint(30, -12)


def title(person: Person, rows: range) -> str:
    """Return the name that a card would give to faces."""
    return card_name(person, rows[0])


def write(person: Person, name: str) -> None:
    """Type a name into the field that a click on a heading opened."""
    field = class_pages(person).header.name
    assert field.hasFocus()
    assert field.parentWidget() is class_pages(person).view.viewport()
    QTest.keyClicks(field, name)
    QTest.keyClick(field, Qt.Key.Key_Return)
    settle(person.window)


def labels_of(person: Person, ids: Sequence[int]) -> set[str | None]:
    """Return the saved labels of samples."""
    with Dataset.open(person.window.worker.root) as dataset:
        joined = "sample s LEFT JOIN class c ON c.id=s.label"
        sql = f"SELECT c.name FROM {joined} WHERE s.id IN (:items)"
        return {row["name"] for row in dataset.db.iter_rows_in(sql, ids)}


def test_drop_on_card_gives_its_class(person: Person) -> None:
    view = class_pages(person).view
    first = card(person, 0)
    second = card(person, 1)
    moved = view.tiles.ids(first[:1])
    name = title(person, second)
    assert name not in person.keys
    assert drop_over(view.viewport(), TileMimeData(moved), heading(person, first)) == (
        Qt.DropAction.IgnoreAction
    )
    assert drop_over(
        view.viewport(), TileMimeData(moved), person.tile_center(second[0])
    ) == (Qt.DropAction.CopyAction)
    settle(person.window)
    assert (labels_of(person, moved), person.decided_count) == ({name}, 1)
    assert person.keys == {name: "1"}
    # Also where a face of the card was sent to another class before.
    person.add_class("other")
    person.send(second[0], "other")
    drop_over(
        view.viewport(),
        TileMimeData(view.tiles.ids(first[1:2])),
        heading(person, second),
    )
    settle(person.window)
    assert list(person.labels.values()).count(name) == 2


def test_drop_after_next_page_was_shown_does_nothing(person: Person) -> None:
    view = class_pages(person).view
    second = card(person, 1)
    mime = TileMimeData(view.tiles.ids(card(person, 0)[:1]))
    point = QPointF(person.tile_center(second[0]))
    copy = Qt.DropAction.CopyAction
    no_keys = Qt.KeyboardModifier.NoModifier
    for kind in (QDragEnterEvent, QDragMoveEvent):
        over = kind(point.toPoint(), copy, mime, LEFT, no_keys)
        QApplication.sendEvent(view.viewport(), over)
        assert over.isAccepted()

    page = person.page
    class_pages(person).take(press, show_next)
    settle(person.window)
    assert person.page is not page
    drop = QDropEvent(point, copy, mime, LEFT, no_keys)
    QApplication.sendEvent(view.viewport(), drop)
    settle(person.window)
    assert not drop.isAccepted()
    assert person.decided_count == 0


def test_click_on_heading_names_card_of_suggestions(person: Person) -> None:
    view = class_pages(person).view
    rows = card(person, 1)
    ids = view.tiles.ids(rows[1:])
    before = title(person, rows)
    person.click(rows[0])  # excluded
    person.point(rows[0])
    person.press("9")  # the key of no class
    assert view.tiles.state(rows[0]).mark == "lifted"
    QTest.mouseClick(view.viewport(), LEFT, pos=heading(person, rows))
    field = class_pages(person).header.name
    assert (field.text(), field.selectedText()) == (before, before)
    QTest.mouseClick(view.viewport(), LEFT, pos=view.viewport().rect().bottomRight())
    assert not field.isVisible()
    QTest.mouseClick(view.viewport(), LEFT, pos=heading(person, rows))
    write(person, "Rin")
    assert (labels_of(person, ids), person.decided_count) == ({"Rin"}, len(ids))
    assert title(person, rows) == "Rin"
    assert not field.isVisible()


def test_sweep_over_named_card_takes_only_its_faces(person: Person) -> None:
    view = class_pages(person).view
    first = card(person, 0)
    second = card(person, 1)
    for rows, name in ((first, "Rin"), (second, "Miku")):
        QTest.mouseClick(view.viewport(), LEFT, pos=heading(person, rows))
        write(person, name)
    person.add_class("Mio")
    person.point(first[0])
    QTest.keyPress(view, person.keys["Mio"])
    for row in (first[1], second[0]):
        hover(view.viewport(), person.tile_center(row))
    QTest.keyRelease(view, person.keys["Mio"])
    settle(person.window)
    assert labels_of(person, view.tiles.ids(first[:2])) == {"Mio"}
    assert labels_of(person, view.tiles.ids(first[2:])) == {"Rin"}
    assert labels_of(person, view.tiles.ids(second)) == {"Miku"}


def test_corrected_name_leaves_no_class(clusters_person: Person) -> None:
    person = clusters_person
    rows = card(clusters_person, 0)
    view = class_pages(person).view
    ids = view.tiles.ids(rows)
    person.point(rows[0])
    person.type_name("Mikku")
    settle(person.window)
    assert person.keys == {"Mikku": "1"}
    QTest.mouseClick(view.viewport(), LEFT, pos=heading(person, rows))
    write(person, "Miku")
    assert (person.keys, labels_of(person, ids)) == ({"Miku": "1"}, {"Miku"})
    person.undo()
    assert (person.keys, labels_of(person, ids)) == ({"Mikku": "1"}, {"Mikku"})
    person.redo()
    assert person.keys == {"Miku": "1"}
    person.add_class("Rin")
    person.click(rows[0])  # takes its label, and excludes it
    person.point(rows[0])
    excluded = (None, "lifted")
    rin = ("Rin", "sent")
    miku = ("Miku", "sent")
    for change, expected in (
        (lambda: None, excluded),
        (lambda: person.press("2"), rin),
        (person.undo, excluded),
        (person.redo, rin),
        (person.undo, excluded),
        (person.undo, miku),
        (person.redo, excluded),
    ):
        change()
        settle(person.window)
        shown = *labels_of(person, ids[:1]), view.tiles.state(rows[0]).mark
        assert (shown, card_name(person, rows[0])) == (expected, "Miku")
    person.click(rows[0])
    assert card_name(person, rows[0]) == "", "the card has a face without a name"
    person.window.worker.take_back(StepKind.REDO)
    wait_until(lambda: "nothing to redo" in person.status.lower())


@pytest.mark.parametrize("has_suggestions", [False, True])
def test_whole_card_is_dragged_by_gap_or_heading(
    has_suggestions: bool, request: pytest.FixtureRequest
) -> None:
    person = request.getfixturevalue("person" if has_suggestions else "clusters_person")
    view = class_pages(person).view
    rows = card(person, 0)
    below = view._grid.placed[0].box.bottomRight() - QPoint(3, 3)
    drop = Mock(return_value=Qt.DropAction.IgnoreAction)
    starts = (heading(person, rows), below, person.tile_center(rows[1]))
    assert [view.indexAt(start).row() for start in starts] == [-1, -1, rows[1]]
    for start in starts:
        drag_from(view.viewport(), start, drop)
    dragged = [call.args[0].ids for call in drop.call_args_list]
    assert dragged == [view.tiles.ids(rows)] * 2 + [view.tiles.ids([rows[1]])]


def test_earlier_page_shows_excluded_face_labelled_elsewhere(person: Person) -> None:
    view = class_pages(person)
    page = person.page
    sample = view.model.id(0)
    person.click(0)
    QTest.keyClick(view.view, Qt.Key.Key_PageDown)
    settle(person.window)
    assert person.page is not page
    person.window.worker.decide(lambda session: session.decide([sample], "Rin"))
    QTest.keyClick(view.view, Qt.Key.Key_PageUp)
    settle(person.window)
    assert (person.page, view.model.state(0)) == (page, ("done", "1", "Rin"))
    person.undo()
    assert view.model.state(0).mark == "lifted"


def test_heading_says_how_many_faces_a_name_is_for(clusters_person: Person) -> None:
    person = clusters_person
    grid = class_pages(person).view
    first = card(person, 0)

    def notes() -> list[str]:
        return [grid._note(placed) for placed in grid._grid.placed]

    person.point(first[1])
    assert notes()[0] == f"Del: reject {len(first)}"
    QTest.keyClick(grid, "M")
    assert notes()[0] == f"Enter: {len(first)}"
    assert notes()[1] == str(len(card(person, 1)))
    QTest.keyClick(person.window.focusWidget(), Qt.Key.Key_Escape)
    person.click(first[1])  # taken out of its cluster
    QTest.keyClick(grid, "R")
    assert notes()[0] == f"Enter: {len(first) - 1}"


def test_first_card_is_lit_when_the_mouse_leaves(clusters_person: Person) -> None:
    person = clusters_person
    view = class_pages(person)
    person.point(card(person, 1)[0])
    QApplication.sendEvent(view.view, QEvent(QEvent.Type.Leave))
    assert view.state.targets() == tuple(card(person, 0))
    assert view.state.under < 0

    # Its name is for this card, and the next one for another card.
    for number in range(2):
        time.sleep(MIN_LOOK_SECONDS)
        QTest.keyClick(view.view, "M")
        assert view.state.name is not None
        assert view.state.name.tiles == tuple(card(person, number))
        QTest.keyClick(person.window.focusWidget(), Qt.Key.Key_Return)
        settle(person.window)


def test_page_without_correct_face_is_left(person: Person) -> None:
    view = class_pages(person)
    grid = view.view
    page = person.page
    titles = []
    for _ in range(2):
        QTest.keyClick(grid, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        QTest.keyClick(grid, Qt.Key.Key_Space, Qt.KeyboardModifier.ControlModifier)
        shown = view.state.shown
        titles.append(view.header.file_button.text())
        assert not any(shown.is_done(box) for box, _ in grid.cards())
        if shown.lifted:
            person.enter()
            settle(person.window)
            assert person.page is not page
            assert not any(person.labels.values())
            person.undo()
            assert view.state.shown == shown
            assert view.header.file_button.isEnabled()

    all_correct = f"Enter: all correct ({len(page.rows)})"
    assert titles == ["Enter: next page", all_correct]


@pytest.mark.parametrize("language", ["en", "ja", "zh_CN"])
def test_texts_of_the_narrowest_card_fit(
    clusters_person: Person, language: str
) -> None:
    grid = class_pages(clusters_person).view
    section = Section("3 similar", 3, shares_shelf=True, portrait=0)
    narrow, *_ = GridLayout([section, section], 500, grid.min_side).placed
    name_room = grid._name_line(narrow).width()
    application = QApplication.instance()
    assert isinstance(application, QApplication)
    install(application, language)
    try:
        texts = {
            tr("Name?"): name_room - SPACE_M,
            "Enter: 20": name_room + FOLD_WIDTH - SPACE_S,
            tr("Del: reject {count}", count=20): name_room + FOLD_WIDTH - SPACE_S,
        }
    finally:
        install(application, "en")

    # As `draw_text` draws what is too long.
    metrics = QFontMetrics(scale_font(grid.font(), SMALL, bold=False))
    for text, room in texts.items():
        assert metrics.horizontalAdvance(text) <= room


def test_last_row_is_not_stretched() -> None:
    for count in (3, 4, 5):
        sections = [
            Section(f"{number} similar", 1, shares_shelf=True)
            for number in range(count)
        ]
        first, second, third, *rest = GridLayout(sections, 620, 72).placed
        assert first.top == third.top
        assert third.box.right() == pytest.approx(620 - INSET, abs=INSET)
        for above, below in zip((first, second), rest, strict=False):
            assert below.top > first.bottom
            assert below.box.left() == pytest.approx(above.box.left(), abs=1)
            assert below.box.width() == pytest.approx(above.box.width(), abs=1)


def test_details_show_the_card_that_is_lit(clusters_person: Person) -> None:
    person = clusters_person
    grid = class_pages(person).view
    details = person.window.details
    person.point(card(person, 0)[1])
    wait_until(lambda: details.shown_id == grid.tiles.id(card(person, 0)[1]))
    hover(grid.viewport(), heading(person, card(person, 1)))
    portrait = grid._portrait_row(grid._grid.placed[1])
    assert portrait in card(person, 1)
    wait_until(lambda: details.shown_id == grid.tiles.id(portrait))


@pytest.mark.parametrize("at", [(0, 0), (15, 35), (36, 7)])
def test_border_of_a_box_is_within_the_image(at: tuple[int, int]) -> None:
    screen = QImage(90, 90, QImage.Format.Format_RGB32)
    screen.fill(Qt.GlobalColor.green)
    blank = QImage(screen)
    image = QRect(20, 20, 50, 50)
    painter = QPainter(screen)
    draw_box(painter, QRect(*at, 40, 40).translated(image.topLeft()), 2, image)
    painter.fillRect(image.adjusted(3, 3, -3, -3), Qt.GlobalColor.green)
    painter.end()
    assert screen != blank  # the border is at the edge of the image

    painter = QPainter(screen)
    painter.fillRect(image, Qt.GlobalColor.green)
    painter.end()
    assert screen == blank


def mark_duplicates(person: Person, rows: Sequence[int]) -> None:
    """Mark samples (rows of the catalogue) as duplicates in another view."""
    person.window.show_view("duplicates")
    operation = make_operation("set-aside", count=len(rows))
    placements = [Placement(row, False, "set") for row in rows]
    person.window.worker.decide(
        lambda session: session.adopt(
            apply_step(session.dataset, operation, placements=placements)
        )
    )
    settle(person.window)


def show_pages(person: Person) -> None:
    person.window.show_view("pages")
    settle(person.window)


def test_page_drops_duplicates_and_keeps_names(clusters_person: Person) -> None:
    person = clusters_person
    view = class_pages(clusters_person)
    first, second, third = (card(person, number) for number in range(3))
    copies = view.model.ids(first[:2])
    named = view.model.ids(second)
    excluded = view.model.id(third[0])
    person.point(second[0])
    person.type_name("Miku")
    person.click(third[0])
    settle(person.window)
    mark_duplicates(person, copies)
    assert view.model.state(first[0]).mark == "in"  # its details are not read again yet
    show_pages(person)
    assert not set(copies) & set(person.page.rows)
    assert set(named) <= set(person.page.rows)
    assert f"{len(person.page.rows)} faces" in view.header.title.text()
    left = 58 - len(named)
    assert view.header.file_button.text() == f"Enter: next page ({left} faces left)"
    assert view.model.state(view.model.row_of(excluded)).mark == "lifted"
    size = len(card(person, 0))
    assert size == len(first) - 2
    person.point(0)
    person.type_name("Rin")
    settle(person.window)
    assert list(person.labels.values()).count("Rin") == size
    for _ in range(3):
        person.undo()
    assert person.labels == {}
    assert card_name(person, view.model.row_of(named[0])) == ""  # its mark is gone


def test_duplicates_of_other_window_are_not_labelled(person: Person) -> None:
    view = class_pages(person)
    row = person.page.rows[0]
    with Dataset.open(person.window.worker.root) as dataset:
        apply_step(dataset, "elsewhere", placements=[Placement(row, False, "set")])
    wait_until(lambda: view.model.state(0).mark == "done")
    rows = len(person.page.rows)
    person.enter()
    assert (person.decided_count, labels_of(person, [row])) == (rows - 1, {None})


@pytest.fixture
def late_person(
    open_window: OpenWindow, shared_faces: FaceSet, tmp_path: Path
) -> Person:
    """Open a clusters page of eight faces; the others are rejected and come back later."""
    faces = copied(shared_faces, tmp_path / "d", named=False)
    with Dataset.open(faces.root) as dataset:
        others = [Choice(key, "reject") for key in [*faces.truth][8:]]
        dataset.journal.apply("Reject", others)
    return Person(open_window(faces.root, "pages"), faces)


def bring_back(person: Person) -> None:
    person.window.show_view("duplicates")
    with Dataset.open(person.window.worker.root) as dataset:
        dataset.journal.apply(
            "Back", [Choice(key, "clear") for key in [*person.truth][8:]]
        )
    wait_until(lambda: person.window.worker.progress.counts.rejected == 0)  # type: ignore[union-attr]


def test_untouched_page_is_remade_for_new_faces(late_person: Person) -> None:
    person = late_person
    before = person.page
    bring_back(person)
    show_pages(person)
    wait_until(lambda: len(person.page.rows) > len(before.rows))


def test_begun_page_is_kept_until_nothing_is_left(late_person: Person) -> None:
    person = late_person
    view = class_pages(late_person)
    before = person.page
    clusters = len(person.page.card_sizes)
    assert clusters > 1
    for number in range(clusters):
        person.point(card(person, number)[0])
        person.type_name("Miku")
        settle(person.window)
        if not number:
            bring_back(person)
            show_pages(person)
        assert person.page is before
    assert view.header.file_button.text() == "Enter: next page (52 faces left)"
    person.window.show_view("grid")
    show_pages(person)
    assert not set(before.rows) & set(person.page.rows)


def test_tiles_that_moved_under_resting_mouse_are_not_pointed_at(
    late_person: Person,
) -> None:
    view = class_pages(late_person)
    late_person.point(3)
    bring_back(late_person)
    late_person.window.show_view("pages")
    late_person.point(3)
    sample = view.model.id(3)
    settle(late_person.window)
    assert view.view.point == view.view.indexAt(view.view.mouse.at).row()
    assert view.model.id(view.view.point) != sample


def counts(person: Person) -> dict[str, int]:
    settle(person.window)
    return dict(Counter(person.labels.values()))


@pytest.mark.parametrize("leave", [Qt.Key.Key_PageDown, Qt.Key.Key_Return])
def test_page_that_was_left_takes_no_names(
    clusters_person: Person, leave: Qt.Key
) -> None:
    person = clusters_person
    view = class_pages(clusters_person)
    page = clusters_person.page
    first = card(person, 0)
    second = card(person, 1)
    person.add_class("Rei")
    person.point(first[0])
    person.type_name("Miku")
    settle(person.window)
    person.point(second[0])
    wait_for_enter(view)
    # Makes the next page, too.
    person.window.worker.ask(lambda session: time.sleep(0.3))
    QTest.keyClick(view.view, leave)
    person.press("1")
    assert person.status == "Point at a face first: 1 did nothing"
    view.send_ids(view.model.ids(second), "Rei")
    assert person.status == "Preparing pages…"
    person.click(second[0])
    assert not view.model.states.get(second[0])
    QTest.keyClicks(person.window.focusWidget(), "Rin")
    QTest.keyClick(person.window.focusWidget(), Qt.Key.Key_Return)
    settle(person.window)
    assert (person.page is page, view.header.name.text()) == (False, "Rin")
    assert counts(person) == {"Miku": len(first)}
    QTest.keyClick(person.window.focusWidget(), Qt.Key.Key_Return)
    assert counts(person)["Rin"] in person.page.card_sizes


def test_earlier_and_later_pages_are_not_made_again(clusters_person: Person) -> None:
    person = clusters_person
    view = class_pages(clusters_person)
    pages = list[object]()
    first = card(person, 0)
    person.point(0)
    person.type_name("Miku")
    for key in (Qt.Key.Key_PageDown, Qt.Key.Key_PageUp) * 2:
        settle(person.window)
        pages.append(person.page)
        QTest.keyClick(view.view, key)
    for name in ("grid", "pages"):
        settle(person.window)
        person.window.show_view(name)
    assert counts(person) == {"Miku": len(first)}
    assert [pages.index(page) for page in (*pages, person.page)] == [0, 1, 0, 1, 0]
    assert card_name(person, 0) == "Miku"
    person.type_name("Rin")
    QTest.keyClick(view.view, Qt.Key.Key_PageDown)
    settle(person.window)
    assert not any(person.page is page for page in pages), "made again after a decision"
    for key in (Qt.Key.Key_PageUp, Qt.Key.Key_PageDown):
        QTest.keyClicks(person.window.focusWidget(), "mi")
        QTest.keyClick(person.window.focusWidget(), key)
        assert view.header.name.text() == "", "it was for a card of the page before"
        settle(person.window)


def test_pages_before_and_after_one_that_an_undo_shows(clusters_person: Person) -> None:
    person = clusters_person
    view = class_pages(clusters_person)
    first = clusters_person.page
    person.point(0)
    person.type_name("Miku")
    person.enter()
    person.undo()
    QTest.keyClick(view.view, Qt.Key.Key_PageUp)
    assert (person.status, person.page) == ("No earlier page", first)
    QTest.keyClick(view.view, Qt.Key.Key_PageDown)
    settle(person.window)
    assert person.page != first


def test_card_is_folded_and_unfolded_in_place(clusters_person: Person) -> None:
    """Folding hides the faces of one card; no card beside it moves, and its name is for all."""
    person = clusters_person
    view = class_pages(person).view
    before = [placed.box for placed in view._grid.placed]
    first = card(person, 0)
    name_line = view._name_line(view._grid.placed[0])
    assert view._grid.placed[0].portrait.width() > view._grid.rect(first[0]).width()
    fold = name_line.topRight() + QPoint(8, name_line.height() // 2)
    QTest.mouseClick(view.viewport(), LEFT, pos=fold)
    assert not {*first} & {*view.in_sight()}
    beside = [
        number
        for number, box in enumerate(before[1:], 1)
        if box.top() == before[0].top()
    ]
    for number in beside:
        assert view._grid.placed[number].box.topLeft() == before[number].topLeft()
    hover(view.viewport(), view._grid.placed[0].portrait.center())
    person.type_name("Miku")
    settle(person.window)
    assert list(person.labels.values()) == ["Miku"] * len(first)
    QTest.mouseClick(view.viewport(), LEFT, pos=fold)
    assert {*first} & {*view.in_sight()}
    assert [placed.box for placed in view._grid.placed] == before


def test_folded_card_opens_for_faces_that_were_not_seen(
    clusters_person: Person,
) -> None:
    view = class_pages(clusters_person).view
    first = card(clusters_person, 0)
    view.fold(view._grid.placed[0])
    view.look_from(first[-1])
    assert not view._grid.placed[0].section.folded


def test_menu_of_card_names_splits_and_joins(clusters_person: Person) -> None:
    person = clusters_person
    view = class_pages(person)
    first = card(person, 0)
    second = card(person, 1)

    def open_menu() -> QMenu:
        right_click(view.view.viewport(), heading(person, first))
        return next(menu for menu in view.view.findChildren(QMenu) if menu.isVisible())

    menu = open_menu()
    others = next(
        action.menu()
        for action in menu.actions()
        if action.menu() and (action.text() == "Join with")
    )
    assert all(not entry.icon().isNull() for entry in others.actions())
    others.actions()[0].trigger()
    menu.close()
    assert {*view.state.shown.members(1)} == {*first, *second}
    person.undo()
    click(open_menu(), Message.PARTED.value)
    settle(person.window)
    assert len({view.state.shown.cards[row] for row in first}) == 2
    person.undo()
    click(open_menu(), "Name")
    write(person, "Miku")
    assert list(person.labels.values()) == ["Miku"] * len(first)


def test_shift_draws_band_from_a_face(clusters_person: Person) -> None:
    view = class_pages(clusters_person).view
    first = card(clusters_person, 0)
    start, end = (clusters_person.tile_center(row) for row in (first[0], first[2]))
    QTest.mousePress(view.viewport(), LEFT, SHIFT, start)
    for place in (start + QPoint(30, 0), end):
        hover(view.viewport(), place, LEFT, SHIFT)
    QTest.mouseRelease(view.viewport(), LEFT, SHIFT, end)
    assert view.selected_rows() == [*first[:3]]


def test_wide_image_fills_its_tile(application: QApplication) -> None:
    wide = QPixmap(80, 40)
    wide.fill(Qt.GlobalColor.blue)
    painter = QPainter(wide)
    painter.fillRect(20, 0, 40, 40, Qt.GlobalColor.red)  # the middle
    painter.end()
    tile = QImage(40, 40, QImage.Format.Format_RGB32)
    tile.fill(Qt.GlobalColor.white)
    painter = QPainter(tile)
    draw_filling(painter, tile.rect(), wide)
    painter.end()
    corners = {tile.pixelColor(x, y).name() for x in (0, 39) for y in (0, 39)}
    assert corners == {"#ff0000"}
