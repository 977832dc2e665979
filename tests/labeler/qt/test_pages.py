"""Class pages: what Enter labels, undo, renamed classes; nothing unpainted is labelled."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from drawn_faces import FaceSet, add_classes, copied, drawn_once, hint, labels
from labeler_makers import add_image
from person import (
    FakeCommands,
    OpenWindow,
    Person,
    class_pages,
    double_click,
    has_tile,
    hold,
    hover,
    press,
    record_painted_samples,
    settle,
    wait_for_enter,
    wait_for_page,
    wait_until,
)
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QFocusEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog, QPushButton
from settled import is_settled, list_unseen
from sorting_model import by_id

from gleanset import Dataset
from labeler.classes import ClassEditor
from labeler.qt.file_import import ImportBar, ImportState
from labeler.qt.grid.model import UNMARKED
from labeler.qt.images import ThumbnailLoader
from labeler.qt.views import page_grid
from labeler.qt.views.base import VIEWS, EmptyNotice
from labeler.qt.views.page_grid import page_sections
from labeler.qt.window import LabelerWindow
from labeler.sorting import page_layout, page_state
from labeler.sorting.page_layout import ClassPage, PageKind, Stack
from labeler.sorting.predictions import ClassPrediction
from labeler.sorting.session import Place, SortingSession, StepResult

Key = Qt.Key


@pytest.fixture
def person(
    open_window: OpenWindow,
    shared_faces: FaceSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Person:
    """Open the pages of two classes, each enough for a page."""
    monkeypatch.setattr(page_layout, "MIN_CLASS_PAGE_PART", 0.1)
    pair = {
        key: name if name == "hana" else "rei"
        for key, name in shared_faces.truth.items()
    }
    faces = copied(FaceSet(shared_faces.root, pair), tmp_path / "two", named=False)
    add_classes(faces.root, [*faces.names, "sora"])
    hint(faces, 0.9)
    return Person(open_window(faces.root, "pages"), faces)


def test_enter_labels_unmarked_faces(person: Person) -> None:
    view = class_pages(person)
    page = person.page
    assert page.kind == "class"
    person.click(1)
    person.click(2)
    person.click(2)  # includes it again
    person.send(3, next(name for name in person.keys if name != page.label))
    settle(person.window)
    assert (view.model.state(1).mark, view.model.state(2).mark) == ("lifted", "in")
    assert len(person.labels) == 1  # the key's label is saved at once, the page is not
    wait_for_page(person)
    rows = len(page.tiles)
    assert f"all correct ({rows - 2})" in view.header.file_button.text()
    person.enter()
    assert len(person.labels) == rows - 1
    assert (
        person.window.status.undo.text()
        == f"Undo: Label {rows - 2} faces as {page.label}"
    )
    # An excluded face is never suggested as this class again.
    lifted = page.tiles[1].rows[0]
    with Dataset.open(person.window.worker.root) as dataset:
        refused = SortingSession(dataset).changes.get_refused_classes([lifted])
    assert len(refused[lifted]) == 1


def test_rest_of_corrected_page_is_suggested_again_on_request(person: Person) -> None:
    view = class_pages(person)
    page = person.page
    other = next(name for name in person.keys if name != page.label)
    for row in range(3):
        person.send(row, other)
    moved = {tile.rows[0] for tile in page.tiles[:3]}
    assert view.header.better_button.isVisible()
    QTest.qWait(600)
    assert view.page is page, "no page is exchanged while it is shown"
    QTest.mouseClick(view.header.better_button, Qt.MouseButton.LeftButton)
    wait_until(lambda: view.page not in (None, page))
    assert not moved & set(view.page.rows)
    assert set(page.rows) - moved >= set(view.page.rows) & set(page.rows)
    assert person.status == "Suggesting again what is left…"


@pytest.mark.parametrize("name", ["nanako", "1up", "ol"])
def test_letters_begin_name_of_face_that_is_pointed_at(
    person: Person, name: str
) -> None:
    view = class_pages(person)
    page = person.page
    person.point(4)
    first = name.lstrip("1")
    press(person.window, *first, Key.Key_Return)
    key = view.model.tile(4).key
    assert person.labels == {key: first}
    assert person.page is page
    person.undo()
    assert person.labels == {}
    # In the field above the faces, a name is for all of them.
    wait_for_enter(view)
    QTest.mouseClick(view.header.name, Qt.MouseButton.LeftButton)
    press(person.window, *name, Key.Key_Return)
    assert set(person.labels.values()) == {name}
    assert len(person.labels) == len(page.rows)


def test_excluded_face_stays_excluded_on_new_page(person: Person) -> None:
    view = class_pages(person)
    skipped = person.page
    press(person.window, Key.Key_PageDown)
    page = person.page
    excluded = view.model.id(1)
    person.click(1)
    person.window.worker.decide(
        lambda session: session.rename_class(str(page.label), "Rin")
    )
    settle(person.window)
    press(person.window, Key.Key_PageUp)
    assert person.page == skipped
    wait_for_page(person)
    person.enter()
    assert person.page not in (page, skipped), "made again after a decision"
    while excluded not in person.page.rows:
        person.enter()
    assert view.model.prediction(view.model.row_of(excluded)).label != "Rin"


def test_accuracy_is_unknown_before_first_page(person: Person) -> None:
    header = class_pages(person).header
    assert header.title.text().endswith(" · accuracy unknown: check each face")
    assert not any(
        digit in header.title.text().partition("·")[2] for digit in "0123456789"
    )
    wait_for_page(person)
    person.sort_page()  # of the other class, or a mixed page
    while class_pages(person).page is not None and not class_pages(person).page.tested:
        assert "accuracy unknown" in header.title.text()
        person.sort_page()
    wrong = class_pages(person).page.expected_wrong
    how = (
        f"about {round(wrong) or 1} may be wrong"
        if wrong > 0.1
        else "probably all correct"
    )
    assert header.title.text().endswith(f" · {how}")


def test_narrow_window_shows_whole_accuracy(person: Person) -> None:
    title = class_pages(person).header.title
    for width, is_narrow in ((1440, False), (900, True), (1440, False), (700, True)):
        person.window.resize(width, 600)
        settle(person.window)
        how = title.text().partition("  ")[2]
        assert title.fontMetrics().horizontalAdvance(how) < title.width()
        assert (
            title.y() + title.height() <= class_pages(person).header.name.y()
        ) == is_narrow


def test_undo_returns_to_page(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    view = class_pages(person)
    page = class_pages(person).page
    monkeypatch.setattr(page_state, "MIN_LOOK_SECONDS", 60)
    person.enter()  # ignored on a page that has just appeared
    assert (view.page, len(person.labels)) == (page, 0)
    assert "just appeared" in person.status
    monkeypatch.setattr(page_state, "MIN_LOOK_SECONDS", 0.05)
    wait_for_page(person)
    person.enter()
    assert view.page != page
    person.undo()
    assert (view.page, len(person.labels)) == (page, 0)
    person.redo()
    assert view.page != page
    assert len(person.labels) > 0


def test_label_of_other_window_is_kept(person: Person) -> None:
    """A face labelled elsewhere after the page was made keeps its label."""
    page = person.page
    with Dataset.open(person.window.worker.root) as dataset:
        session = SortingSession(dataset)
        session.decide(page.tiles[0].rows, "sora")
        key = session.tiles.get_keys(page.tiles[0].rows)[0]
    wait_until(lambda: class_pages(person).model.state(0).mark == "done")
    wait_for_page(person)
    person.enter()
    assert person.labels[key] == "sora"


def test_enter_uses_renamed_class(person: Person) -> None:
    view = class_pages(person)
    page = person.page
    person.click(1)
    label = page.label
    tiles = len(page.tiles)
    person.window.worker.decide(
        lambda session: session.rename_class(str(label), "Ayanami")
    )
    settle(person.window)
    assert view.header.title.text().startswith("Ayanami?")
    assert f"all correct ({tiles - 1})" in view.header.file_button.text()
    assert view.model.state(1).mark == "lifted"
    assert view.model.prediction(0).label == "Ayanami"
    wait_for_page(person)
    person.enter()
    assert set(person.labels.values()) == {"Ayanami"}
    assert label not in person.keys
    person.undo()
    assert view.header.title.text().startswith("Ayanami?")


@pytest.fixture
def stacks_person(
    open_window: OpenWindow, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> Person:
    faces = copied(
        drawn_once(tmp_path_factory, 24, classes=3, frames=3), tmp_path / "d"
    )
    hint(faces, 0.9, together=3)
    return Person(open_window(faces.root, "pages"), faces)


def test_stack_is_split_by_key_or_mouse(stacks_person: Person) -> None:
    person = stacks_person
    view = class_pages(person)
    for by_mouse in (False, True):
        stacks = [
            row for row, tile in enumerate(view.page.tiles) if len(tile.rows) == 3
        ]
        before = view.page
        rows = view.page.tiles[stacks[1]].rows
        if by_mouse:
            double_click(person, stacks[1])
        else:
            person.point(stacks[1])
            person.press(Key.Key_Minus)
        wait_until(
            lambda shown=before: view.page is not None and view.page is not shown
        )  # type: ignore[misc]
        settle(person.window)
        assert {(row,) for row in rows} <= {tile.rows for tile in view.page.tiles}
        assert len(view.page.rows) == len(before.rows)
        assert set(view.model.states.values()) <= {UNMARKED}
    # On a tile of one face a double click excludes it and includes it again.
    page = view.page
    single = next(n for n, t in enumerate(view.page.tiles) if len(t.rows) == 1)
    double_click(person, single)
    settle(person.window)
    assert view.page is page
    assert (view.model.state(single).mark, len(person.labels)) == ("in", 0)


def test_held_enter_accepts_one_page(person: Person) -> None:
    view = class_pages(person)
    decided = 0
    steps: list[StepResult] = []
    person.window.worker.stepped.connect(steps.append)
    for number, marked in enumerate((False, True), 1):  # by Qt as a repeat
        page = view.page
        wait_for_enter(view)

        def next_page_alive(page: ClassPage = page, number: int = number) -> bool:
            if len(steps) > number:
                return True
            shown = view.page not in (None, page) and not list_unseen(view.view)
            seen = max(view.view.seen_samples.values(), default=0.0)
            return shown and time.monotonic() - seen > 0.25

        hold(view.view, Key.Key_Return, marked=marked, enough=next_page_alive)
        settle(person.window)
        decided += len(page.rows)
        assert (person.decided_count, len(steps)) == (decided, number)


def test_held_keys_decide_once(person: Person) -> None:
    view = class_pages(person)
    steps: list[StepResult] = []
    person.window.worker.stepped.connect(steps.append)
    person.point(0)
    hold(view.view, Key.Key_Delete)
    hold(view.view, Key.Key_1, "1")
    settle(person.window)
    assert len(steps) == 2


def class_names(person: Person) -> set[str]:
    with Dataset.open(person.window.worker.root) as dataset:
        return set(dataset.classes.list_names())


def open_editor(person: Person) -> tuple[Dataset, ClassEditor]:
    dataset = Dataset.open(person.window.worker.root)
    return dataset, ClassEditor(dataset)


def test_enter_does_not_restore_deleted_class(person: Person) -> None:
    """Enter arrives before the window polls for changes of other processes."""
    view = class_pages(person)
    wait_for_page(person)
    label = str(view.page and view.page.label)
    dataset, editor = open_editor(person)
    with dataset:
        editor.delete(label)
        person.enter()
    assert label not in class_names(person)
    assert person.labels == {}


def test_sections_follow_merged_class() -> None:
    tiles = tuple(
        Stack(n, (n,), ClassPrediction(((of, 0.9),))) for n, of in enumerate("aabbbc")
    )
    page = ClassPage(PageKind.MIXED, None, tiles, 0, 6, (2, 3, 1)).rename({"a": "c"})
    above = [part.title for part in page_sections(page, {}) for _ in range(part.count)]
    assert above == [f"{name}?" for name in "ccbbbc"]


def test_page_of_deleted_class_disappears(person: Person) -> None:
    view = class_pages(person)
    dataset, editor = open_editor(person)
    wait_for_page(person)
    person.enter()
    with dataset.db.transaction():
        dataset.db.execute("UPDATE origin SET hint=NULL")
    wait_for_page(person)
    person.enter()  # one page of each class: from now on suggestions are learned
    label = sorted(view.page.labels)[0]
    with dataset:
        editor.delete(label)
    wait_until(lambda: label not in person.keys)
    settle(person.window)
    assert label not in view.header.title.text()
    if view.page is not None:
        assert label not in view.page.labels
        wait_for_page(person)
        person.enter()
    assert label not in class_names(person)


SMALL = (620, 330)


@pytest.fixture
def long_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pages of sixty faces, which a small window has to scroll through."""
    monkeypatch.setattr(page_grid, "MIN_PAGE_FACES", 60)
    monkeypatch.setattr(page_grid.PageGrid, "min_side", 72)


@pytest.fixture
def painted() -> Iterator[set[int]]:
    with record_painted_samples() as result:
        yield result


def open_pages(
    open_window: OpenWindow, faces: FaceSet, size: tuple[int, int]
) -> Person:
    first, *others = faces.truth
    # All faces but one are of one class: a full page.
    hint(FaceSet(faces.root, {first: "hana", **dict.fromkeys(others, "rei")}), 1.0)
    person = Person(open_window(faces.root, "pages", size), faces)
    wait_for_enter(class_pages(person))
    return person


@pytest.mark.usefixtures("long_pages")
def test_enter_scrolls_before_labelling(
    open_window: OpenWindow, faces: FaceSet, painted: set[int]
) -> None:
    person = open_pages(open_window, faces, SMALL)
    view = class_pages(person)
    page = person.page
    first = set(page.rows) - painted
    assert first
    presses = 0
    while len(person.labels) == 0:
        below = list_unseen(view.view)
        press(person.window, Key.Key_Return)
        if below:
            text = person.status
            assert text.startswith(f"{len(below)} faces were not shown yet")
            assert len(list_unseen(view.view)) < len(below)
        presses += 1
        assert presses < 20
    assert presses > 1
    assert len(person.labels) == len(page.rows)
    assert set(page.rows) <= painted


def test_unloaded_image_is_not_labelled(
    open_window: OpenWindow, faces: FaceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a slow disk placeholders are painted, and Enter labels nothing."""
    get = ThumbnailLoader.get
    late = [True]
    monkeypatch.setattr(
        ThumbnailLoader,
        "get",
        lambda *which, **how: None if late[0] else get(*which, **how),
    )
    hint(faces, 0.97)
    person = Person(open_window(faces.root, "pages", at_rest=False), faces)
    view = class_pages(person)
    wait_until(lambda: view.page is not None and has_tile(view.model, 0))
    wait_for_enter(view)
    QTest.keyClick(view.view, Key.Key_Return)
    assert "still loading" in person.status
    hover(view.view.viewport(), view.view.visualRect(view.model.index(0)).center())
    QTest.keyClick(view.view, "1")
    assert (view.model.states, len(person.labels)) == ({}, 0)
    late[0] = False
    view.view.viewport().update()
    settle(person.window)
    press(person.window, Key.Key_Return)
    assert len(person.labels) > 0


def test_selection_is_labelled_once_painted(
    open_window: OpenWindow, faces: FaceSet, painted: set[int]
) -> None:
    person = Person(open_window(faces.root, "grid", SMALL), faces)
    grid = person.view.view
    grid.selectAll()
    press(person.window, Key.Key_1)
    assert len(person.labels) == 0
    assert "were not shown yet" in person.status
    while list_unseen(grid):
        press(person.window, Key.Key_1)
    press(person.window, Key.Key_1)
    assert (len(person.labels), len(painted)) == (60, 60)


def notice(window: LabelerWindow) -> EmptyNotice:
    return window.view.empty  # type: ignore[attr-defined]


def notice_title(window: LabelerWindow) -> str:
    """Return the title of the notice, empty where faces are shown."""
    settle(window)
    wait_until(lambda: is_settled(window.view))
    return notice(window).title.text() if notice(window).isVisible() else ""


def press_button(window: LabelerWindow, text: str) -> None:
    buttons = notice(window).findChildren(QPushButton)
    button = next(
        button for button in buttons if button.text() == text and button.isVisible()
    )
    QTest.keyClick(button, Qt.Key.Key_Return)
    settle(window)


SORTED = "60 faces, 4 people, "


@pytest.fixture
def sorted_window(faces: FaceSet, open_window: OpenWindow) -> LabelerWindow:
    """Open the grid of a sorted dataset with one empty class."""
    with Dataset.open(faces.root) as dataset:
        session = SortingSession(dataset)
        session.add_class("nobody")
        session.label_each(by_id(session, faces.truth), "all")
    return open_window(faces.root)


def test_empty_views_show_next_steps(open_window: OpenWindow, tmp_path: Path) -> None:
    Dataset.create(tmp_path / "my set").close()
    window = open_window(tmp_path / "my set")
    titles = {}
    for kind in VIEWS:
        window.show_view(kind.name)
        titles[kind.name] = notice_title(window)
        assert notice(window).notice.steps, kind.name  # type: ignore[union-attr]
    assert titles == {
        "grid": "No faces yet",
        "pages": "No faces yet",
        "duplicates": "Not searched yet",
        "crop": "No faces yet",
        "review": "Nothing to review in this list",
        "statistics": "No classes yet",
    }
    window.show_view("pages")
    classes = window.class_panel.list
    # No window may be active.
    QApplication.sendEvent(classes, QFocusEvent(QEvent.Type.FocusIn))
    assert classes.currentIndex().data() == "Not sorted yet"  # there is no class
    press_button(window, "Video…")
    chooser = window.findChildren(QFileDialog)[0]
    assert chooser.windowTitle() == "Open an episode"
    assert "*.mkv" in chooser.selectedNameFilter()
    assert chooser.directory().absolutePath() == str(tmp_path)
    chooser.reject()
    window.drops.choose_folder()
    # As Qt does for a path that was typed and completed.
    paths = [str(tmp_path.parent), str(tmp_path)]
    window.findChildren(QFileDialog)[-1].filesSelected.emit(paths)
    assert window.drops.dialog._dropped.folders == (tmp_path,)
    window.drops.close_dialog()
    press_button(window, "Try it with the sample images")
    wait_until(lambda: not window.imports.running)
    assert window.drops.dialog is None
    assert window.imports.state is ImportState.DONE, window.imports.errors
    settle(window)
    assert window.view.page.total > 20  # type: ignore[attr-defined]


def test_button_starts_face_detection(open_window: OpenWindow, faces: FaceSet) -> None:
    with (faces.root / "dataset.toml").open("a") as settings:
        # Not the detector that was used.
        settings.write('[crop]\ndetector = "drawnface"\n')
    window = open_window(faces.root, "crop")
    notice_title(window)
    press_button(window, "Detect faces in new images")
    assert window.imports.running
    wait_until(lambda: not window.imports.running)
    assert (window.imports.state, window.imports.errors) == ("done", [])


def test_buttons_open_next_view(sorted_window: LabelerWindow) -> None:
    window = sorted_window
    assert notice_title(window).startswith(SORTED)
    wait_until(lambda: "No label looks doubtful" in notice(window).text.text())
    press_button(window, "Find duplicates")
    assert (window.shown_name, window.imports.running) == ("duplicates", True)
    wait_until(lambda: not window.imports.running)
    assert notice_title(window) == ""
    view = window.view
    while view.sets:
        view._keep_all(view.sets)
        settle(window)
        view._plan()
        title = notice_title(window)
    assert title.endswith("no duplicates to review")
    press_button(window, "Split and export")
    window.show_view("grid")
    assert notice_title(window).startswith(SORTED)
    wait_until(lambda: "No label looks doubtful" in notice(window).text.text())
    texts = [step.text for step in notice(window).notice.steps]  # type: ignore[union-attr]
    assert texts == ["Review labels"]
    press_button(window, "Review labels")
    assert (window.shown_name, notice_title(window)) == ("review", "")
    assert window.focusWidget() is window.view.home
    window.class_panel.selected.emit("nobody")
    assert window.shown_name == "review"
    wait_until(
        lambda: notice_title(window) == "Nothing to review of nobody in this list"
    )
    press_button(window, "Show all classes")
    wait_until(lambda: notice_title(window) == "")
    window.show_view("grid")
    places = {
        "nobody": "No faces of nobody",
        Place.LATER.target: "No faces of Not sure",
    }
    for place, message in places.items():
        window.class_panel.selected.emit(place)
        assert notice_title(window) == message
        press_button(window, "Go to unsorted faces")
        assert notice_title(window).startswith(SORTED)
    window.show_view("pages")
    assert notice_title(window).startswith(SORTED)
    press_button(window, "Export")
    exports = window.worker.root / "exports"
    wait_until(lambda: exports.is_dir() and not window.imports.running)
    assert window.imports.state is ImportState.DONE, window.imports.errors
    (bar,) = window.findChildren(ImportBar)
    result = bar.text.text()
    assert re.search(r"60 images exported  ·  train \d+, val", result)
    assert (
        result.count(", val ") == 1
    )  # the sizes, which the split and the export report
    assert len(list(exports.rglob("*.jpg"))) == 60


def test_typed_name_is_kept_while_preparing(
    open_window: OpenWindow, shared_faces: FaceSet, tmp_path: Path
) -> None:
    faces = copied(shared_faces, tmp_path / "d", named=False)
    window = open_window(faces.root, "pages", at_rest=False)
    QApplication.processEvents()
    assert notice(window).title.text() == "Preparing pages…"
    assert notice(window).isVisible()
    for letter in "Gin":  # G and N are shortcuts elsewhere
        QTest.keyClick(window.focusWidget(), letter)
    assert notice_title(window) == ""
    view = window.view
    assert (view.header.name.text(), window.shown_name) == ("Gin", "pages")
    QTest.keyClick(window.focusWidget(), Qt.Key.Key_Return)
    settle(window)
    said = window.statusBar().currentMessage()
    count = list(labels(faces.root).values()).count("Gin")
    assert count == view.page.card_sizes[0], said


def test_running_detection_is_shown(
    open_window: OpenWindow, tmp_path: Path, fake_commands: FakeCommands
) -> None:
    fake_commands(
        facecrop=f"""
import os, time
while not os.path.exists({str(tmp_path / "detected")!r}):
    time.sleep(0.05)
print('{{"faces": 0}}')
"""
    )
    with Dataset.create(tmp_path / "d") as dataset:
        add_image(dataset, "one")
    window = open_window(tmp_path / "d")
    assert notice_title(window) == "No faces detected yet"
    press_button(window, "Detect faces")
    for name in ("grid", "pages"):
        window.show_view(name)
        assert notice_title(window) == "Detecting faces…"
    (tmp_path / "detected").touch()
    wait_until(lambda: not window.imports.running)
    assert notice_title(window) == "No faces detected yet"


def test_detection_by_other_process_is_shown(
    open_window: OpenWindow, tmp_path: Path
) -> None:
    with Dataset.create(tmp_path / "d") as dataset, dataset.stage("facecrop"):
        add_image(dataset, "one")
        assert notice_title(open_window(tmp_path / "d")) == "Detecting faces…"
