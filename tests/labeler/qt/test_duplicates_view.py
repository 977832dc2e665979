"""The views of duplicates, review and statistics."""

import re
from pathlib import Path

import pytest
from drawn_faces import FaceSet, copied, drawn_once, labels
from duplicate_images import add_picture, encoded
from person import (
    OpenWindow,
    Person,
    collect_messages,
    double_click,
    has_tile,
    hover,
    settle,
    shown_keys,
    wait_for_enter,
    wait_until,
)
from PIL import Image
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QPushButton
from sorting_model import by_id, ids_of

from gleanset import Dataset, Origin
from gleanset.db.proposals import PrelabelledSample, Proposal, Proposals
from gleanset.db.runs import LabelIssue, LabelIssues
from labeler.duplicates.finder import DuplicateFinder
from labeler.qt.file_import import ImportBar, ImportState
from labeler.qt.grid.model import UNMARKED
from labeler.qt.views.duplicates import DuplicatesView
from labeler.qt.views.review import ReviewView
from labeler.qt.views.statistics import StatisticsView
from labeler.qt.window import LabelerWindow
from labeler.sorting.grid_query import DUPLICATES
from labeler.sorting.session import SortingSession
from tools.sample.character import CAST
from tools.sample.scene import paint_scene, plan_scene

Key = Qt.Key
SIZES = ((320, 240), (240, 180), (160, 120))
GROUPS = 3


@pytest.fixture(scope="module")
def copies_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make three images in three sizes each, with their duplicate sets."""
    root = tmp_path_factory.mktemp("copies") / "d"
    with Dataset.create(root) as dataset:
        for number in range(GROUPS):
            scene = paint_scene(plan_scene([CAST[number]], 50 + number, SIZES[0]))
            for size in SIZES:
                copy = scene.resize(size, Image.Resampling.LANCZOS)
                add_picture(dataset, f"{number}-{size[0]}", encoded(copy))
        DuplicateFinder(dataset, workers=1).search()
    return root


@pytest.fixture
def person(copies_root: Path, open_window: OpenWindow, tmp_path: Path) -> Person:
    import shutil

    shutil.copytree(copies_root, tmp_path / "d")
    person = Person(
        open_window(tmp_path / "d", "duplicates"), FaceSet(tmp_path / "d", {})
    )
    wait_until_planned(person)
    return person


def duplicates_view(person: Person) -> DuplicatesView:
    view = person.window.view
    assert isinstance(view, DuplicatesView)
    return view


def wait_until_planned(person: Person) -> None:
    view = duplicates_view(person)
    wait_until(lambda: not (view._planning.busy or person.window.imports.running))
    settle(person.window)
    wait_until(lambda: not view._planning.busy)


def duplicate_widths(person: Person) -> list[int]:
    """Return the widths of samples marked as duplicates, once the next page is planned."""
    wait_until_planned(person)
    with Dataset.open(person.window.worker.root) as dataset:
        return sorted(s.box.width for s in dataset.samples.iterate() if not s.kept)


def test_enter_accepts_page_and_k_keeps_all_until_undone(person: Person) -> None:
    view = duplicates_view(person)
    assert "Duplicate sets left: 3" in view.title.text()
    assert view.model.rowCount() == GROUPS * len(SIZES)
    wait_until(lambda: has_tile(view.model, 0))
    assert view.view.caption(0) == "320x240 JPEG"
    assert view.view.appearance(0).selected
    assert not view.view.appearance(1).selected
    assert view.model.sections[0].title == "✓ larger"
    above = QPoint(0, view.view.visualRect(view.model.index(4)).height() // 2 + 8)
    hover(view.view.viewport(), person.tile_center(4) - above)
    person.press("k")  # not duplicates, whatever a new search finds
    view.search_button.click()
    wait_until(lambda: person.window.imports.state is ImportState.DONE)
    wait_until_planned(person)
    assert "Duplicate sets left: 2" in view.title.text()
    person.window.undo()
    wait_until_planned(person)
    assert "Duplicate sets left: 3" in view.title.text()
    person.enter()
    assert duplicate_widths(person) == [160] * 3 + [240] * 3
    assert view.empty.title.text() == "9 images compared, no duplicates to review"
    buttons = [button.text() for button in view.empty.findChildren(QPushButton)]
    assert buttons == ["Go to class pages", "Go to unsorted images"]
    QTest.mouseClick(view.search_button, Qt.MouseButton.LeftButton)
    assert view.empty.title.text() in ("A command is running…", "Finding duplicates…")
    wait_until_planned(person)
    assert view.empty.title.text() == "9 images compared, no duplicates to review"
    person.window.undo()
    assert duplicate_widths(person) == []
    assert "Duplicate sets left: 3" in view.title.text()


def test_clicked_copy_becomes_best(person: Person) -> None:
    view = duplicates_view(person)
    wait_until(lambda: has_tile(view.model, 8))
    widths = [member.width for member in view.sets[0].members]
    person.click(widths.index(160))
    assert view.shown_sets[0].members[0].width == 160
    order = [view.model.id(row) for row in range(view.model.rowCount())]
    double_click(person, widths.index(240))
    assert view.enlarged.isVisible()
    view.enlarged.end()
    assert "chosen by a person" not in view.model.sections[0].title, (
        "looked at, not chosen"
    )
    person.click(widths.index(160))
    assert [view.model.id(row) for row in range(view.model.rowCount())] == order
    # The choice stays while another view is shown, in which something is decided.
    person.window.show_view("grid")
    person.add_class("hana")
    person.window.show_view("duplicates")
    wait_until_planned(person)
    assert "chosen by a person" in view.model.sections[0].title
    person.enter()
    assert duplicate_widths(person) == [160, 160, 240, 240, 240, 320]
    # Neither a new plan nor the command overrules the choice.
    with Dataset.open(person.window.worker.root) as dataset:
        finder = DuplicateFinder(dataset, workers=1)
        finder.search()
        assert finder.apply().places == []
    person.window.undo()
    wait_until_planned(person)
    with Dataset.open(person.window.worker.root) as dataset:
        plan = DuplicateFinder(dataset, workers=1).plan()
        assert not any(group.is_chosen for group in plan.sets)
    assert view.shown_sets[0].members[0].width == 160, "the click still counts"


def test_undo_takes_back_clicks_before_steps(person: Person) -> None:
    view = duplicates_view(person)
    sizes = len(SIZES)
    person.add_class("hana")
    person.undo()
    person.add_class("rin")
    for row in (1, 2, sizes + 1):  # two copies of one set, one of another
        person.click(row)
    places = {row: view.view.member(row) for row in (0, 1, 2, sizes, sizes + 1)}
    keys = {
        row: view.sets[number].members[n].key for row, (number, n) in places.items()
    }
    assert person.window.status.undo.text() == "Undo: Choose the copy to keep"
    for key, kept in (
        ("z", (2, sizes)),
        ("z", (1, sizes)),
        ("y", (2, sizes)),
        ("z", (1, sizes)),
        ("z", (0, sizes)),
        ("y", (1, sizes)),
    ):
        QTest.keyClick(
            person.window.windowHandle(), key, Qt.KeyboardModifier.ControlModifier
        )
        assert {keys[row] for row in kept} < view.view.kept
        assert list(person.keys) == ["rin"]
    assert person.status == "Redone: Choose the copy to keep"
    person.enter()
    assert duplicate_widths(person) == [160] * 3 + [240] * 2 + [320]
    person.undo()  # of Enter
    wait_until_planned(person)
    for classes in (["rin"], []):  # first the click that Enter had kept
        person.undo()
        assert (keys[0] in view.view.kept, list(person.keys)) == (True, classes)


def test_decision_of_other_process_is_kept(person: Person) -> None:
    view = duplicates_view(person)
    with Dataset.open(person.window.worker.root) as dataset:
        DuplicateFinder(dataset, workers=1).apply()
    messages = collect_messages(person.window)
    wait_for_enter(view)
    view.accept_page()
    wait_until(lambda: bool(messages))
    assert "or the samples have changed" in messages[-1]


def test_page_of_doubtful_sets_is_decided_by_one_click(person: Person) -> None:
    view = duplicates_view(person)
    with Dataset.open(person.window.worker.root) as dataset:
        dataset.db.execute("UPDATE pair SET verdict='doubtful' WHERE kind='pixels'")
    view._plan()
    wait_until_planned(person)
    page, count = len(view.shown_sets), len(view.sets)
    assert count == GROUPS * (len(SIZES) - 1)  # questions link a set without circles
    assert page > GROUPS
    assert view.accept_button.isHidden()
    # Pairs that share an image are decided one after the other.
    assert view.best_button.text() == f"Uncertain: keep the best of {GROUPS} sets"
    assert view.none_button.text() == f"Uncertain: no duplicates in {GROUPS} sets"
    click_when_seen(view, view.best_button)
    assert len(duplicate_widths(person)) == GROUPS
    person.window.undo()
    assert duplicate_widths(person) == []
    person.click(0)
    assert view.accept_button.text() == "Enter: keep the best of 1 set"
    assert view.none_button.text() == f"Uncertain: no duplicates in {GROUPS} sets"
    click_when_seen(view, view.none_button)
    wait_until_planned(person)
    assert view.title.text() == f"Duplicate sets left: {count - GROUPS}"
    person.window.undo()
    wait_until_planned(person)
    assert view.title.text() == f"Duplicate sets left: {count}"


def click_when_seen(view: DuplicatesView, page_button: QPushButton) -> None:
    wait_for_enter(view)
    QTest.mouseClick(page_button, Qt.MouseButton.LeftButton)


def test_conflicting_labels_wait_for_click(person: Person) -> None:
    view = duplicates_view(person)
    with Dataset.open(person.window.worker.root) as dataset:
        from labeler.sorting.session import SortingSession

        keys = [member.key for member in view.sets[0].members]
        session = SortingSession(dataset)
        session.decide(ids_of(session, keys[:1]), "rin")
        session.decide(ids_of(session, keys[1:2]), "hana")
    view._plan()
    wait_until_planned(person)
    assert view.sets[-1].decisions == ("hana", "rin")
    assert view.model.sections[-1].title.startswith("⚠")
    person.enter()
    wait_until_planned(person)
    assert "Duplicate sets left: 1" in view.title.text()
    person.click([member.label for member in view.sets[0].members].index("hana"))
    person.enter()
    assert len(duplicate_widths(person)) == 6
    with Dataset.open(person.window.worker.root) as dataset:
        result = {dataset.samples.get(key).label for key in keys[:2]}
    assert result == {"hana"}


def test_duplicates_are_shown_and_restored(person: Person) -> None:
    """The class list shows the duplicates; Q restores one permanently, until undone."""
    wait_until_planned(person)
    person.enter()
    wait_until(lambda: bool(duplicate_keys(person)))
    settle(person.window)
    duplicates = duplicate_keys(person)
    classes = person.window.class_panel.model
    row = classes.row(classes.rowCount() - 1)
    assert (row.name, row.count, row.target) == (
        "Duplicates",
        len(duplicates),
        DUPLICATES,
    )
    person.window.class_panel.selected.emit(row.target)
    settle(person.window)
    assert person.window.shown_name == "grid"
    assert person.view.model.rowCount() == len(duplicates) > 1
    assert f"Duplicates · {len(duplicates)} images" in person.view.title.text()
    person.add_class("somebody")
    person.point(0)
    person.press(person.keys["somebody"])  # a duplicate cannot be labelled
    assert "Q or K to restore them" in person.status
    key = person.view.model.tile(0).key
    person.point(0)
    person.press(Key.Key_Q)
    settle(person.window)
    assert duplicate_keys(person) == duplicates - {key}
    assert f"· {len(duplicates) - 1} images" in person.view.title.text()
    assert classes.row(classes.rowCount() - 1).count == len(duplicates) - 1
    person.enter()
    assert person.view.model.rowCount() == len(duplicates) - 1
    with Dataset.open(person.window.worker.root) as dataset:  # a new search keeps it
        finder = DuplicateFinder(dataset, workers=1)
        finder.search()
        finder.apply()
    assert key not in duplicate_keys(person)
    person.undo()


def duplicate_keys(person: Person) -> set[str]:
    with Dataset.open(person.window.worker.root) as dataset:
        return {sample.key for sample in dataset.samples.iterate() if not sample.kept}


WRONG = 5


@pytest.fixture
def labelled_faces(faces: FaceSet) -> FaceSet:
    """Label all faces, five of them wrongly, with predictions and label issues that show it."""
    names = faces.names
    with Dataset.open(faces.root) as dataset:
        session = SortingSession(dataset)
        given_labels = dict(faces.truth)
        for key in list(given_labels)[:WRONG]:
            given_labels[key] = names[(names.index(given_labels[key]) + 1) % len(names)]
        session.label_each(by_id(session, given_labels), "all with a page")
        Proposals(dataset.db).replace(
            [
                PrelabelledSample(
                    key,
                    place,
                    (Proposal(label, 0.9 - place / 1000),),
                    outlier=place / 100,
                )
                for place, (key, label) in enumerate(faces.truth.items())
            ],
            {},
        )
        LabelIssues(dataset.db).replace(
            [
                LabelIssue(
                    key,
                    given_labels[key],
                    faces.truth[key],
                    0.9,
                    0.9 - place / 1000,
                    "t",
                )
                for place, key in enumerate(list(given_labels)[:WRONG])
            ]
        )
    return faces


def show_list(person: Person, wall: str) -> ReviewView:
    view = person.window.view
    settle(person.window)
    view.choice.setCurrentIndex(view.choice.findData(wall))
    view.reload()
    settle(person.window)
    return view


def test_outliers_come_first_and_filters_narrow(
    open_window: OpenWindow, labelled_faces: FaceSet
) -> None:
    person = Person(open_window(labelled_faces.root, "review"), labelled_faces)
    view = show_list(person, "outliers")
    assert view.model.rowCount() == 60
    assert [
        section.title.split("  ")[0] for section in view.model.sections
    ] == labelled_faces.names
    order = list(labelled_faces.truth)
    given_labels = labels(labelled_faces.root)
    shown = shown_keys(view)
    first = 0
    for section in view.model.sections:
        part = shown[first : first + section.count]
        assert len({given_labels[key] for key in part}) == 1
        assert part == sorted(part, key=order.index, reverse=True)
        first += section.count
    # Filters narrow the list.
    QTest.keyClicks(view.bar.text, "0007")
    wait_until(lambda: view.model.rowCount() == 1)
    assert shown_keys(view) == [list(labelled_faces.truth)[7]]
    view.bar.text.setText("no such title %_")
    wait_until(lambda: view.model.rowCount() == 0)
    assert "No faces match" in view.empty.title.text()
    view.bar.text.clear()
    person.window.class_panel.selected.emit(labelled_faces.names[0])
    expected = {
        key for key, label in given_labels.items() if label == labelled_faces.names[0]
    }
    wait_until(lambda: view.model.rowCount() == len(expected))
    assert set(shown_keys(view)) == expected
    # Each view keeps its class.
    person.window.show_view("grid")
    settle(person.window)
    assert person.window.view.current_place == ":queue"
    person.window.class_panel.selected.emit(labelled_faces.names[1])
    QTest.keyClick(person.window.windowHandle(), Qt.Key.Key_F5)
    settle(person.window)
    assert (view.choice.currentData(), set(shown_keys(view))) == ("outliers", expected)
    person.window.class_panel.selected.emit(labelled_faces.names[-1])
    show_list(person, "label-issues")
    assert f"Nothing to review of {labelled_faces.names[-1]}" in view.empty.title.text()
    QTest.mouseClick(view.empty.findChildren(QPushButton)[0], Qt.MouseButton.LeftButton)
    settle(person.window)
    assert person.view.current_place == labelled_faces.names[-1], (
        "not that of the grid before"
    )
    person.window.show_view("review")
    settle(person.window)
    assert view.choice.currentData() == "label-issues", (
        "it stays as long as there is a filter"
    )


def test_enter_accepts_suggestion_and_k_keeps_label(
    open_window: OpenWindow, labelled_faces: FaceSet
) -> None:
    person = Person(open_window(labelled_faces.root, "review"), labelled_faces)
    view = show_list(person, "label-issues")
    shown = shown_keys(view)
    assert set(shown) == set(list(labelled_faces.truth)[:WRONG])
    assert view.view.caption(0).startswith(f"→ {labelled_faces.truth[shown[0]]} 9")
    person.enter()  # the first is pointed at without a mouse, then the next one
    person.press("k")
    settle(person.window)
    for key in (Qt.Key.Key_Return, "k"):  # of a decided face, both only go on
        step = person.window.worker.progress.undo
        person.point(0)
        person.press(key)
        settle(person.window)
        assert (person.window.worker.progress.undo, view.view.point) == (step, 2)
    current = labels(labelled_faces.root)
    assert current[shown[0]] == labelled_faces.truth[shown[0]]
    assert current[shown[1]] != labelled_faces.truth[shown[1]]
    assert view.model.rowCount() == WRONG  # nothing moves before a reload
    states = [UNMARKED]
    for name in [name for name in person.keys if name != current[shown[2]]][:2]:
        person.send(2, name)
        states.append(("sent", person.keys[name], name))
    for change, number in (
        (person.undo, 1),
        (person.redo, 2),
        (person.undo, 1),
        (person.undo, 0),
    ):
        change()
        assert view.model.state(2) == states[number]
    view.reload()
    settle(person.window)
    assert set(shown_keys(view)) == set(shown[2:])
    for left in range(WRONG - 2, 0, -1):
        assert "accept suggestion" in view.hints.text()
        assert view.title.text().split() == [str(left), "faces" if left > 1 else "face"]
        person.press("k")
    assert view.hints.text() == "Enter: show what is left to review"
    assert view.title.text() == "0 faces"
    person.window.undo()
    settle(person.window)
    assert view.title.text() == "1 face"
    assert "accept suggestion" in view.hints.text()
    person.press("k")
    person.enter()  # the list is finished: read it again
    settle(person.window)
    assert view.empty.title.text() == "Nothing to review in this list"
    # All are sorted.
    assert view.empty.text.text() == "Choose another list above, or continue:"
    person.undo()
    # An undone face is shown again.
    assert len(set(shown_keys(view)) & set(shown[2:])) == 1
    for _ in range(WRONG - 3):
        person.window.undo()
    person.window.undo()
    person.undo()
    assert labels(labelled_faces.root)[shown[0]] != labelled_faces.truth[shown[0]]
    assert shown[0] in shown_keys(view)


def test_review_leads_with_doubtful_labels(
    open_window: OpenWindow, labelled_faces: FaceSet
) -> None:
    """Labels that the other faces contradict, until a person has confirmed them."""
    person = Person(open_window(labelled_faces.root, "review"), labelled_faces)
    view = person.window.view
    wrong = set(list(labelled_faces.truth)[:WRONG])
    settle(person.window)
    shown = shown_keys(view)
    assert view.choice.currentData() == "doubtful"
    assert len(wrong & set(shown)) >= WRONG - 1
    assert len(set(shown) - wrong) <= 1
    person.point(0)
    # The most similar faces.
    wait_until(lambda: person.window.details._neighbours[3].isVisible())
    for has_class_key in (False, True):
        first, *others = shown_keys(view)
        person.point(0)
        person.press(
            person.keys[labels(labelled_faces.root)[first]] if has_class_key else "k"
        )
        view.reload()
        settle(person.window)
        assert set(shown_keys(view)) == set(others)
    person.window.show_view("pages")
    wait_until(lambda: "look doubtful" in person.window.view.empty.text.text())  # type: ignore[attr-defined]
    first_step, *_ = person.window.view.empty.notice.steps
    assert first_step.text == f"Review labels ({len(others)})"
    buttons = person.window.view.empty.findChildren(QPushButton)
    primary = [button.text() for button in buttons if button.property("primary")]
    assert primary == [first_step.text]
    person.window.view._show_notice()  # it stays while the labels are compared again
    assert "look doubtful" in person.window.view.empty.text.text()
    for is_chosen in (False, True):
        # Also what it falls back to without doubtful labels.
        view.choice.setCurrentIndex(1)
        if is_chosen:
            view.choice.activated.emit(1)
        person.window.show_view("review")
        assert (view.choice.currentData() == "outliers") is is_chosen
        person.window.show_view("pages")


def column_numbers(view: StatisticsView, number: int) -> list[int]:
    items = [
        view.table.topLevelItem(row) for row in range(view.table.topLevelItemCount())
    ]
    return [int(item.text(number) or 0) for item in items]


def run(window: LabelerWindow, button: QAbstractButton) -> str:
    """Press a button; return the result in the bar below."""
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    wait_until(lambda: not window.imports.running)
    return window.findChildren(ImportBar)[0].text.text()


@pytest.mark.slow
def test_dataset_is_split_and_exported(
    open_window: OpenWindow, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    # Few of each class: a split first compares all faces that look alike.
    faces = copied(drawn_once(tmp_path_factory, 24, classes=8), tmp_path / "d")
    root = faces.root
    number = len(faces.truth)
    with Dataset.open(root) as dataset:
        session = SortingSession(dataset)
        session.label_each(by_id(session, faces.truth), "all")
    window = open_window(root, "statistics", (1000, 640))
    view = window.view
    wait_until(lambda: view.table.topLevelItemCount() > 0)
    counts = column_numbers(view, 1)
    assert sum(counts) == number
    assert view.title.text() == "No split yet"
    assert not view.timeline_button.isEnabled()
    with Dataset.open(root) as dataset:
        dataset.videos.record(
            Origin("video", "e1", title="e1", video="e1"), "mode=seen fps=1", 1.0, 1
        )
    view.enter()
    wait_until(view.timeline_button.isEnabled)
    assert run(window, view.export_button).startswith(
        f"Finished  ·  {number} images exported"
    )
    assert len(list((root / "exports" / "imagefolder").glob("*/*.jpg"))) == number
    text = run(window, view.split_button)
    match = re.match(r"Finished  ·  (train \d+, val \d+, test \d+)  ·  ", text)
    assert match, text
    assert "nothing in val  ·" in text
    assert "their accuracy is uncertain  ·  " in text
    wait_until(lambda: view.title.text().startswith("train : val : test = "))
    splits = [column_numbers(view, column) for column in (2, 3, 4)]
    assert [sum(row) for row in zip(*splits, strict=True)] == counts
    assert all(map(sum, splits))
    exported = f"{number} images exported  ·  see exports/imagefolder  ·  {match[1]}"
    assert run(window, view.export_button) == f"Finished  ·  {exported}"
    assert len(list((root / "exports" / "imagefolder").rglob("*.jpg"))) == number
