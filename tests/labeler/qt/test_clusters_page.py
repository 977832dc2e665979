"""The clusters page: clusters are named, corrected and skipped with real keys and clicks."""

from __future__ import annotations

import pytest
from drawn_faces import labels
from person import (
    SHIFT,
    Person,
    alive,
    class_pages,
    drop_over,
    hover,
    settle,
    shifted_digit,
)
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtGui import QDrag
from PySide6.QtTest import QTest

from labeler.qt.grid.mouse import TileMimeData

Key = Qt.Key


@pytest.fixture
def person(unnamed: Person) -> Person:
    return unnamed


def group_rows(person: Person, number: int) -> range:
    page = class_pages(person).page
    assert page is not None
    first = sum(page.cluster_sizes[:number])
    return range(first, first + page.cluster_sizes[number])


def named(person: Person, name: str) -> int:
    settle(person.window)
    return list(labels(person.window.worker.root).values()).count(name)


def leave(person: Person) -> None:
    alive(class_pages(person))
    person.enter()


def test_a_name_and_a_key_name_groups_and_a_click_leaves_one_out(person: Person) -> None:
    view = class_pages(person)
    assert view.page is not None
    assert view.page.kind == "groups"
    assert len(view.page.cluster_sizes) >= 3
    one, other, third = (group_rows(person, number) for number in range(3))
    person.point(other[0])
    person.write("Miku")
    assert named(person, "Miku") == len(other)
    person.click(one[1])
    person.point(one[0])
    person.press("1", "key", SHIFT)
    assert named(person, "Miku") == len(other) + len(one) - 1
    assert view.view.heading(view.view._grid.placed[0]) == "1  Miku"
    # A click takes a face out of its name: then a key is for it alone.
    person.point(third[0])
    person.write("Rin")
    person.click(third[1])
    person.point(third[1])
    person.press("1", "key", SHIFT)
    assert (named(person, "Rin"), named(person, "Miku")) == (
        len(third) - 1,
        len(other) + len(one),
    )
    page = view.page
    leave(person)
    assert view.page is not page
    assert person.window.worker.progress is not None
    sorted_ = named(person, "Miku") + named(person, "Rin")
    assert person.window.worker.progress.counts.pending == len(person.truth) - sorted_


def test_the_last_name_files_the_page_as_well(person: Person) -> None:
    view = class_pages(person)
    page = view.page
    assert page is not None
    alive(view)
    person.point(group_rows(person, 0)[0])
    for letter in "Miku":
        QTest.keyClick(person.window.focusWidget(), letter)
    QTest.keyClick(view.header.name, Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert named(person, "Miku") == page.cluster_sizes[0]
    assert view.page is not page
    assert person.window.worker.progress is not None
    assert person.window.worker.progress.counts.pending == len(person.truth) - page.cluster_sizes[0]


@pytest.mark.parametrize("name", ["2", "Mi", "L"])
def test_what_is_typed_is_the_name_and_no_key_of_it_acts(person: Person, name: str) -> None:
    for known in ("Miku", "Rei", "Asuka"):
        person.window.worker.decide(lambda session, label=known: session.add_class(label))
    settle(person.window)
    view, rows = class_pages(person), group_rows(person, 1)
    person.point(rows[0])
    for letter in name:
        QTest.keyClick(person.window.focusWidget(), letter)
    assert person.sorted == 0
    assert view.names.completion.hint.text().startswith("new")
    QTest.keyClick(person.window.focusWidget(), Key.Key_Return)
    assert named(person, name) == len(rows) == person.sorted


def test_tab_an_arrow_and_a_click_complete_a_name(person: Person) -> None:
    for known in ("Miku", "Mio", "Rei"):
        person.window.worker.decide(lambda session, label=known: session.add_class(label))
    settle(person.window)
    view = class_pages(person)
    view.next_page()  # the names are known by then
    settle(person.window)
    field, hint = view.header.name, view.names.completion.hint
    person.point(0)
    for letter in "mi":
        QTest.keyClick(person.window.focusWidget(), letter)
    assert (field.text(), hint.text()) == ("mi", "new · Tab: Miku")
    QTest.keyClick(field, Key.Key_Tab)
    assert (field.text(), hint.isVisible()) == ("Miku", False)
    QTest.keyClick(field, Key.Key_Down)
    assert field.text() == "Mio"
    field.clear()
    QTest.keyClicks(field, "re")
    QTest.mouseClick(hint, Qt.MouseButton.LeftButton)
    QTest.keyClick(field, Key.Key_Return)
    assert named(person, "Rei") == person.sorted > 0


def test_the_whole_box_of_a_group_is_the_group_and_lights_up(person: Person) -> None:
    view = class_pages(person).view
    one, other = group_rows(person, 0), group_rows(person, 1)
    tile = view.visualRect(view.tiles.index(other[0]))
    heading, gap = tile.topLeft() - QPoint(-30, 12), tile.topRight() + QPoint(2, 20)
    corner = view._grid.placed[1].box.topRight() + QPoint(-6, 6)
    before = view.viewport().grab().toImage()
    for place, name in ((heading, "Miku"), (gap, "Rin")):
        hover(view.viewport(), place)
        assert (view.indexAt(place).row(), view.point) == (-1, -1)
        assert view.drop_section() == other
        lit = view.viewport().grab().toImage()
        assert lit.pixelColor(corner) == view.palette().highlight().color()
        assert before.pixelColor(corner) != lit.pixelColor(corner)
        person.write(name)
        assert named(person, name) == len(other) == person.sorted  # renamed: all of them
    person.window.undo()
    assert (named(person, "Miku"), named(person, "Rin")) == (len(other), 0)
    person.point(one[0])
    assert view.drop_section() == one


@pytest.mark.parametrize("key", ["1", "Rin"])
def test_a_group_that_was_named_wrongly_is_renamed_as_a_group(person: Person, key: str) -> None:
    person.add_class("Rin")
    rows = group_rows(person, 1)
    person.click(rows[2])  # another one, which is left out
    person.point(rows[0])
    person.write("Miku")
    assert named(person, "Miku") == len(rows) - 1
    person.point(rows[1])
    if key == "Rin":
        person.write(key)
    else:
        person.press(key, "key", SHIFT)
    assert (named(person, "Rin"), named(person, "Miku")) == (len(rows) - 1, 0)
    person.window.undo()
    assert (named(person, "Rin"), named(person, "Miku")) == (0, len(rows) - 1)
    person.press("1", "key", SHIFT)  # and again, after what was undone
    assert (named(person, "Rin"), named(person, "Miku")) == (len(rows) - 1, 0)


def test_a_sweep_over_a_group_that_has_a_name_leaves_it(person: Person) -> None:
    view, one, other, third = class_pages(person).view, *(group_rows(person, n) for n in range(3))
    person.window.worker.decide(lambda session: session.add_class("Rin"))
    person.point(other[0])
    person.write("Miku")
    settle(person.window)
    person.point(one[0])
    shifted_digit(view, "1", QEvent.Type.KeyPress)
    for row in (other[0], third[0]):
        hover(view.viewport(), person.place(row))
    shifted_digit(view, "1", QEvent.Type.KeyRelease)
    assert (named(person, "Rin"), named(person, "Miku")) == (len(one) + len(third), len(other))
    person.point(third[0])
    person.write("Miku")  # one group of those that were named at once
    assert (named(person, "Rin"), named(person, "Miku")) == (len(one), len(third) + len(other))


def test_over_nothing_a_name_is_refused_and_names_nobody(person: Person) -> None:
    view = class_pages(person)
    below = view.view.viewport().rect().bottomLeft() + QPoint(3, -3)
    assert not view.view.section_at(below)
    person.point(0)
    hover(view.view.viewport(), below)
    QTest.keyClick(person.window.focusWidget(), "m")
    assert "Point at a cluster first" in person.window.statusBar().currentMessage()
    assert (view.header.name.text(), person.window.focusWidget()) == ("", view.view)
    QTest.mouseClick(view.header.name, Qt.MouseButton.LeftButton)
    QTest.keyClicks(view.header.name, "Miku")
    QTest.keyClick(view.header.name, Key.Key_Return)
    assert "Point at a cluster first" in person.window.statusBar().currentMessage()
    person.press("1", "key", SHIFT)
    settle(person.window)
    assert (person.sorted, view.header.name.text()) == (0, "Miku")
    hover(view.view.viewport(), person.place(0))
    QTest.keyClick(view.header.name, Key.Key_Return)
    assert named(person, "Miku") == view.page.cluster_sizes[0]


def test_with_keys_alone_the_next_name_is_for_the_next_group(person: Person) -> None:
    one, other = group_rows(person, 0), group_rows(person, 1)
    person.write("Miku")
    settle(person.window)
    assert class_pages(person).view.point == other[0]
    person.write("Rin")
    assert (named(person, "Miku"), named(person, "Rin")) == (len(one), len(other))


def test_a_full_stop_says_that_nobody_of_a_group_is_collected(person: Person) -> None:
    rows = group_rows(person, 1)
    person.point(rows[0])
    person.press(".", "place")
    settle(person.window)
    assert person.window.worker.progress is not None
    assert person.window.worker.progress.counts.other == len(rows)


def test_an_overview_without_a_name_is_not_left_by_enter(person: Person) -> None:
    view = class_pages(person)
    page = view.page
    person.click(group_rows(person, 0)[0])  # to leave one out names nobody
    leave(person)
    assert view.page is page
    assert "type its name" in person.window.statusBar().currentMessage()
    assert person.window.focusWidget() is view.view


def test_a_minus_takes_a_group_apart_and_keeps_what_was_done(person: Person) -> None:
    view = class_pages(person)
    assert view.page is not None
    whole, rows = view.page, group_rows(person, 0)
    person.click(rows[0])
    lifted = view.model.id(rows[0])
    person.point(rows[1])
    person.press("-", "split")
    settle(person.window)
    parted = view.page
    assert parted is not None
    assert len(parted.cluster_sizes) == len(whole.cluster_sizes) + 1
    assert parted.cluster_sizes[0] + parted.cluster_sizes[1] == whole.cluster_sizes[0]
    assert view.model.state(view.model.row_of(lifted)).mark == "lifted"


def drop_on(person: Person, rows: list[int], onto: int) -> Qt.DropAction:
    """Let tiles go over another one, as the desktop would."""
    view = class_pages(person).view
    drag = QDrag(view)
    drag.setMimeData(TileMimeData(view.tiles.ids(rows), lambda ids: []))
    there = view.visualRect(view.tiles.index(onto)).topLeft() - QPoint(0, 8)  # on the heading
    done = drop_over(view.viewport(), drag, there)
    settle(person.window)
    return done


def test_a_group_dropped_on_another_one_becomes_one_with_it(person: Person) -> None:
    view = class_pages(person)
    whole, one, other = view.page, group_rows(person, 0), group_rows(person, 1)
    assert whole is not None
    assert drop_on(person, list(other), other[0]) is Qt.DropAction.IgnoreAction  # it is there
    moved = {view.model.id(row) for row in other}
    assert drop_on(person, list(other), one[0]) is Qt.DropAction.CopyAction
    both = view.page
    assert both is not None
    assert len(both.cluster_sizes) == len(whole.cluster_sizes) - 1
    assert both.cluster_sizes[0] == len(one) + len(other)
    assert {view.model.id(row) for row in group_rows(person, 0)} >= moved
    person.point(0)
    person.write("Miku")
    assert named(person, "Miku") == len(one) + len(other)
    # What is dropped on a group that has a name gets that name.
    third = list(group_rows(person, 1))
    drop_on(person, third, 0)
    assert named(person, "Miku") == len(one) + len(other) + len(third)
    for _ in range(2):
        person.undo()
    assert named(person, "Miku") == 0
