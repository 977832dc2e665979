"""Notices of empty views: why nothing is shown, and buttons for what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QFontDatabase, QGuiApplication, QPalette
from PySide6.QtWidgets import (
    QAbstractScrollArea,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gleanset import Dataset
from gleanset.db.sorting import LabelCounts
from gleanset.work.stage import is_running
from labeler.qt.theme import em, larger
from labeler.qt.translations import counted, tr
from labeler.qt.views.base import LabelerView
from labeler.qt.widgets import (
    announce,
    button,
    enlarge_targets,
    keep_focus,
    name_part,
    plain_label,
    row_layout,
)
from labeler.sorting.grid_query import ALL_PLACES, DUPLICATES
from labeler.sorting.session import Place

FOCUS_RING = 3
WIDTH_EM, TITLE_SCALE = 34, 1.35


class NextStep(NamedTuple):
    """A button with its action, or a terminal command to copy."""

    text: str = ""
    do: Callable[[], object] | None = None
    command: str = ""


class Notice(NamedTuple):
    """Why a view is empty, and what to do next, the most likely first."""

    title: str
    text: str = ""
    steps: tuple[NextStep, ...] = ()


class EmptyNotice(QWidget):
    """Covers an empty view; the view below keeps the keys."""

    def __init__(self, below: QAbstractScrollArea) -> None:
        super().__init__(below.viewport())
        self._below, self._bars = below, below.verticalScrollBarPolicy()
        self.notice: Notice | None = None
        self._widgets: list[QWidget] = []
        self.title, self.text = plain_label(), plain_label()
        self._column = QVBoxLayout()
        layout = QVBoxLayout(self)
        layout.addStretch(2)
        layout.addLayout(row_layout(None, self._column, None))
        layout.addStretch(3)
        self._column.setSpacing(em(self, 0.6))
        for label in (self.title, self.text):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            label.setFixedWidth(em(self, WIDTH_EM))
            self._column.addWidget(label)
        self.setAutoFillBackground(True)
        self.setBackgroundRole(QPalette.ColorRole.Window)
        below.viewport().installEventFilter(self)
        self.hide()

    def show_notice(self, notice: Notice | None) -> None:
        self.setVisible(notice is not None)
        bars = Qt.ScrollBarPolicy.ScrollBarAlwaysOff if notice is not None else self._bars
        self._below.setVerticalScrollBarPolicy(bars)
        if notice is None or notice[:2] == (self.notice or ("", ""))[:2]:
            self.notice = notice
            return
        self.notice = notice
        self.title.setFont(larger(self.font(), TITLE_SCALE))
        self.title.setText(notice.title)
        self.text.setText(notice.text)
        self.text.setVisible(bool(notice.text))
        self._add_widgets(notice)
        self._fit()
        self.raise_()
        announce(self, f"{notice.title} {notice.text}")

    def _add_widgets(self, notice: Notice) -> None:
        for old in self._widgets:
            old.setParent(None)
            old.deleteLater()
        buttons = [button(step.text, step.do) for step in notice.steps if step.do is not None]
        commands = [self._command(step) for step in notice.steps if step.command]
        self._widgets = [*([_in_a_row(None, *buttons, None)] if buttons else []), *commands]
        for part in self._widgets:
            self._column.addWidget(part)
        enlarge_targets(self)
        keep_focus(self)
        before: QWidget = self._below  # in the order of Tab, they follow the view
        for part in self._widgets:
            for push_button in part.findChildren(QPushButton):
                QWidget.setTabOrder(before, push_button)
                before = push_button

    def _command(self, step: NextStep) -> QWidget:
        field = QLineEdit(step.command, readOnly=True)
        clipboard = QGuiApplication.clipboard()
        copy = button(self.tr("Copy"), lambda: clipboard.setText(step.command))
        field.setCursorPosition(0)
        field.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        field.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys belong to the view
        field.setAccessibleName(self.tr("Terminal command"))
        name_part(copy, self.tr("Copy command"))
        return _in_a_row(field, copy)

    def _fit(self) -> None:
        self.setGeometry(
            self._below.viewport().rect().adjusted(FOCUS_RING, FOCUS_RING, -FOCUS_RING, -FOCUS_RING)
        )

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize:
            self._fit()
        return False


def _in_a_row(*parts: QWidget | None) -> QWidget:
    row = QWidget()
    row.setLayout(row_layout(*parts))
    return row


def command(*words: str) -> NextStep:
    """Return a step for a terminal command."""
    return NextStep(command=shlex.join(words))


def to_view(view: LabelerView, name: str, text: str) -> NextStep:
    """Return a step that shows another view."""
    return NextStep(text, lambda: view.window_actions.show_view(name))


def to_queue(view: LabelerView) -> NextStep:
    """Return a step that shows the unsorted faces."""
    text = tr("Go to unsorted faces")
    return NextStep(text, lambda: view.window_actions.show_place(Place.QUEUE.target))


def to_pages(view: LabelerView) -> NextStep:
    """Return a step that shows the class pages."""
    return to_view(view, "pages", tr("Go to class pages"))


class DetectionState(NamedTuple):
    """Number of images, and whether a process detects faces in them now."""

    images: int
    at_work: bool

    @classmethod
    def from_dataset(cls, dataset: Dataset) -> DetectionState:
        return cls(dataset.images.count(), is_running(dataset.cache, "facecrop"))


def no_faces(view: LabelerView, search: DetectionState) -> Notice:
    """Return the notice of a dataset without samples."""
    if view.context.imports.running or search.at_work:
        return Notice(tr("Detecting faces…"), tr("They appear here as they are detected."))
    if not search.images:
        return Notice(
            tr("No faces yet"),
            tr("Drop images, folders or videos here, or choose them:"),
            (
                NextStep(tr("Folder…"), view.context.drops.choose_folder),
                NextStep(tr("Images and videos…"), view.context.drops.choose_files),
            ),
        )
    return Notice(
        tr("No faces detected yet"),
        counted(tr("{count} images are in the dataset."), search.images),
        (
            NextStep(tr("Detect faces"), view.context.imports.detect_faces),
            to_view(view, "crop", tr("Draw boxes manually")),
        ),
    )


def all_sorted(view: LabelerView, counts: LabelCounts) -> Notice:
    """Return the notice when no face is unsorted."""
    text, show = tr("{count} faces are sorted."), view.window_actions.show_place
    skipped, done = tr("Show skipped faces: {count}"), counts.total - counts.later
    skipped_step = NextStep(counted(skipped, counts.later), lambda: show(Place.LATER.target))
    return Notice(
        tr("Everything is sorted"),
        counted(text, done),
        (
            *([skipped_step] if counts.later else []),
            to_view(view, "review", tr("Review labels")),
            to_view(view, "duplicates", tr("Find duplicates")),
            to_view(view, "statistics", tr("Split and export")),
        ),
    )


def empty_place(view: LabelerView, target: str, name: str, key: str, counts: LabelCounts) -> Notice:
    """Return the notice of a class or place without faces."""
    if target in (Place.QUEUE.target, ALL_PLACES):
        return all_sorted(view, counts)
    texts = {
        Place.LATER.target: (
            tr("No skipped faces"),
            tr("Press L to keep a face here for later."),
        ),
        Place.OTHER.target: (
            tr("No unlisted people"),
            tr("Press O to move faces of people without a class here."),
        ),
        Place.REJECT.target: (
            tr("No rejected faces"),
            tr("Press Del to move a face here, Q to move it back."),
        ),
        DUPLICATES: (
            tr("No duplicates"),
            tr("Finding duplicates keeps the best copy of each image."),
        ),
    }
    find = to_view(view, "duplicates", tr("Find duplicates"))
    if target in texts:
        title, text = texts[target]
        return Notice(title, text, (find,) if target == DUPLICATES else (to_queue(view),))
    text = tr("Point at a face and press {key}, or drag faces onto its row on the left.")
    text = text.format(key=key.upper()) if key else tr("Drag faces onto its row on the left.")
    title = tr("No faces of {name} yet").format(name=name)
    return Notice(title, text, (to_queue(view), to_pages(view)))


def no_matching_faces(clear: Callable[[], object]) -> Notice:
    """Return the notice when filters leave nothing."""
    return Notice(tr("No faces match the filters"), "", (NextStep(tr("Clear filters"), clear),))


def empty_wall(view: LabelerView, wall: str, root: Path) -> Notice:
    """Return the notice of an empty list of the review."""
    folder = str(root)
    notices: dict[str, Notice] = {
        "model": Notice(
            tr("No label differs from its prediction"),
            tr("Update the suggestions to compare labels with newer predictions."),
            (
                NextStep(tr("Update suggestions now"), view.window_actions.update_suggestions),
                command("baseline", "prelabel", "-d", folder),
            ),
        ),
        "label-issues": Notice(
            tr("No label issues"),
            tr("To find label issues, run:"),
            (command("baseline", "label-issues", "-d", folder),),
        ),
        "page": Notice(
            tr("No labels accepted by page"),
            tr("Faces accepted with Enter on class pages appear here."),
            (to_pages(view),),
        ),
        "flags": Notice(
            tr("No quality issues"),
            tr("To find blurred, black, tiny and unusual images, run:"),
            (command("labeler", "quality", "-d", folder),),
        ),
    }
    no_labels = Notice(
        tr("No labels yet"),
        tr("Sort some faces first, then review them here."),
        (to_pages(view), to_queue(view)),
    )
    return notices.get(wall, no_labels)


def no_duplicates(find: Callable[[], object]) -> Notice:
    """Return the notice when no duplicate set is left."""
    return Notice(
        tr("No duplicates to review"),
        tr("Images added since the last search are not compared yet."),
        (NextStep(tr("Find duplicates"), find),),
    )


def no_missed_images(view: LabelerView, show_all: Callable[[], object]) -> Notice:
    """Return the notice when every image has a face."""
    return Notice(
        tr("Every image has a detected face"),
        tr("Boxes can be drawn on any image."),
        (
            NextStep(tr("Show all images"), show_all),
            NextStep(tr("Detect faces in new images"), view.context.imports.detect_faces),
        ),
    )


def no_matching_image(clear: Callable[[], object]) -> Notice:
    """Return the notice when a search finds no image."""
    return Notice(tr("No matching image"), "", (NextStep(tr("Clear search"), clear),))


def no_classes(view: LabelerView) -> Notice:
    """Return the notice of a dataset without classes."""
    return Notice(
        tr("No classes yet"),
        tr("Type a name on a class page, or press N over a face in the grid."),
        (to_pages(view), to_queue(view)),
    )
