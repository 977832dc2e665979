"""The view of reports from the web page: real events, and what becomes of each report."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from drawn_faces import FaceSet
from person import CONTROL, Opened, Person, alive, hold, settle, until
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu
from web_claims import Told, add_reports

from curation.web_reports import ReportPictures
from gleanset import Dataset
from gleanset.db.visitors import ACCEPTED, PENDING, REFUSED, Reports
from labeler.qt.views.reports import ReportsView
from labeler.qt.views.sending import ENTER_DEAD
from labeler.review.reports import START, report_tiles

Key = Qt.Key
HOSTILE = "<b>bold</b><img src='file:///etc/passwd'>\n\u202e" + "x" * 1000


def view_of(person: Person) -> ReportsView:
    """The view, with a page that Enter accepts."""
    view = person.window.view
    assert isinstance(view, ReportsView)
    until(view.settled)
    settle(person.window)
    alive(view)
    return view


def standing(person: Person) -> Counter[str]:
    with Dataset.open(person.window.worker.root) as dataset:
        reports = Reports(dataset.db)
        return +Counter({one: reports.count(one) for one in (PENDING, ACCEPTED, REFUSED)})


def web_labels(person: Person) -> Counter[str | None]:
    """The classes of the samples that were reports."""
    with Dataset.open(person.window.worker.root) as dataset:
        known = {one.key: one.label for one in dataset.samples.each()}
    return Counter(label for key, label in known.items() if key not in person.truth)


def said(person: Person) -> str:
    return person.window.statusBar().currentMessage()


def tab(person: Person) -> str:
    return person.window.tabs.tabText(person.window.tabs.count() - 1)


@pytest.fixture
def person(opened: Opened, few: FaceSet) -> Person:
    """Seven reports: of a first class, a second one, and one whom nobody knows."""
    one, two = few.names[:2]
    told = [Told(name) for name in (one, two, one, "toyama rin", two, one)]
    add_reports(few.root, [*told, Told(one, HOSTILE, None, 0.31)])
    return Person(opened(few.root, "reports", (1280, 720)), few)


def test_a_page_is_accepted_but_for_what_is_marked(person: Person) -> None:
    view = view_of(person)
    one, two = sorted(set(person.truth.values()))[:2]
    shown = [view.model.report(row).claim.claimed for row in range(view.model.rowCount())]
    assert shown == sorted(shown)
    assert tab(person) == "Reports  F7 · 7"
    person.click(1)
    assert "Enter accepts 6 of 7" in view.title.text()
    person.enter()
    view_of(person)
    assert standing(person) == {PENDING: 1, ACCEPTED: 6}
    assert web_labels(person) == {one: 3, two: 2, "toyama rin": 1}
    assert "toyama rin" in person.keys
    assert (tab(person), view.model.rowCount()) == ("Reports  F7 · 1", 1)
    person.enter()  # what was left out stays so
    settle(person.window)
    assert said(person) == "These are all reports that wait"
    QTest.keyClick(person.window.windowHandle(), Key.Key_Z, CONTROL)
    view_of(person)
    assert standing(person) == {PENDING: 7}
    assert (tab(person), view.model.rowCount()) == ("Reports  F7 · 7", 7)
    QTest.keyClick(person.window.windowHandle(), Key.Key_Y, CONTROL)
    view_of(person)
    assert (standing(person)[ACCEPTED], view.model.rowCount()) == (6, 1)
    person.click(0)  # taken in again
    person.enter()
    view_of(person)
    assert (tab(person), view.model.rowCount()) == ("Reports  F7", 0)
    assert view.empty.title.text() == "No reports wait"
    assert "webapp serve" in view.empty.notice.steps[0].command  # type: ignore[union-attr]


def test_one_is_refused_another_is_somebody_else(person: Person) -> None:
    view = view_of(person)
    name = sorted(set(person.truth.values()))[2]
    person.point(0)
    person.press(Key.Key_Delete, "refuse")
    person.send(1, name)
    settle(person.window)
    assert standing(person) == {PENDING: 5, ACCEPTED: 1, REFUSED: 1}
    assert tab(person) == "Reports  F7 · 5"
    person.introduce(2, "nobody knew")
    assert web_labels(person) == {name: 1, "nobody knew": 1}
    assert view.model.rowCount() == 7  # nothing moves under the hand
    person.send(0, name)
    settle(person.window)
    assert "decided already" in said(person)
    person.point(3)
    for key in ("l", "o", "q"):
        person.press(key, "nothing")
        assert "accepted (Enter" in said(person)
    for left in (5, 6, 7):
        person.window.undo()
        settle(person.window)
        assert (standing(person)[PENDING], tab(person)) == (left, f"Reports  F7 · {left}")
    assert len(view.view.unmarked()) == 7
    person.enter()
    view_of(person)
    assert standing(person) == {ACCEPTED: 7}


def test_a_report_in_its_whole_picture_and_its_menu(person: Person) -> None:
    view = view_of(person)
    person.point(0)
    person.press(Key.Key_Space, "enlarge")
    until(lambda: view.enlarged.ready)
    assert view.enlarged.shown.frame.width == 240
    assert "Model: rei, 84 %" in view.enlarged.words()
    QTest.keyClick(view.enlarged, Key.Key_Delete)
    settle(person.window)
    assert standing(person)[REFUSED] == 1
    QTest.keyClick(view.enlarged, Key.Key_Escape)
    view._show_menu([1, 2], QPoint(300, 300))
    until(lambda: isinstance(QApplication.activePopupWidget(), QMenu))
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    accept = next(one for one in menu.actions() if one.text() == "Accept as claimed")
    accept.trigger()
    menu.close()
    settle(person.window)
    assert standing(person) == {PENDING: 4, ACCEPTED: 2, REFUSED: 1}


def test_new_reports_come_with_the_next_page(person: Person) -> None:
    view, window = view_of(person), person.window
    shown = list(view.model.reports)
    add_reports(window.worker.root, [Told("a first one")], first=40)
    until(lambda: tab(person) == "Reports  F7 · 8")
    settle(window)
    assert list(view.model.reports) == shown
    person.enter()
    view_of(person)
    assert [one.claim.claimed for one in view.model.reports.values()] == ["a first one"]
    person.enter()
    view_of(person)
    assert view.empty.isVisible()
    add_reports(window.worker.root, [Told("a last one")], first=41)
    until(lambda: view.model.rowCount() == 1)  # nothing is under the hand
    assert not view.empty.isVisible()


def test_a_hostile_note_stays_text(person: Person) -> None:
    view = view_of(person)
    (row,) = [n for n in range(7) if view.model.report(n).claim.note]
    width = view.panel.width()
    least = person.window.minimumSizeHint()
    person.point(row)
    until(lambda: "xxx" in view.panel.words.toPlainText())
    told = view.panel.words.toPlainText()
    assert "<b>bold</b><img src=" in told
    assert "\u202e" not in told
    assert (view.panel.width(), person.window.minimumSizeHint()) == (width, least)
    assert view.panel.words.document().blockCount() == 5  # the note is one line, wrapped
    _, said_by_model, note, _ = view.view.words(row)
    assert said_by_model == "Model: unknown, ≤ 31 %"
    assert note.startswith("<b>bold</b>")
    assert "\n" not in note
    index = view.model.index(row)
    assert view.model.data(index, Qt.ItemDataRole.ToolTipRole) is None
    assert "<b>bold</b>" in view.model.spoken(row)


def test_what_was_not_painted_cannot_be_seen_or_is_disputed_is_not_accepted(
    opened: Opened, few: FaceSet
) -> None:
    names = [few.names[0]] * 20
    add_reports(few.root, [*map(Told, names), Told("twin", picture=4)])
    with Dataset.open(few.root) as dataset:
        seen = report_tiles(dataset, [-1])[-1].seen
        ReportPictures.at(few.root).path(seen.image, seen.format).unlink()
    person = Person(opened(few.root, "reports", (820, 330)), few)
    view = view_of(person)
    assert view.view.unseen()
    person.enter()
    assert "not shown yet" in said(person)
    assert standing(person)[ACCEPTED] == 0
    while unseen := view.view.unseen():
        view.view.look_from(unseen[0])
        settle(person.window)
    shown = view.model.rowCount()
    disputed = len([names for names in view.model.rivals.values() if names])
    person.enter()
    view_of(person)
    assert standing(person)[ACCEPTED] == shown - disputed - 1


def test_enter_held_accepts_one_page(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    view = view_of(person)
    monkeypatch.setattr(view.view, "room", lambda: 2)
    view._show_after(START)
    view_of(person)
    first = list(view.model.reports)

    def next_page_alive() -> bool:
        shown = list(view.model.reports) != first and not view.view.unseen()
        return shown and time.monotonic() - view._shown_at > ENTER_DEAD + 0.2

    hold(view.view, Key.Key_Return, enough=next_page_alive)
    view_of(person)
    assert standing(person) == {PENDING: 5, ACCEPTED: 2}
