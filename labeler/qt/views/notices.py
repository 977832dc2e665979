"""What a view says when it has nothing to show: why, and what to do next, with its button."""

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
from gleanset.work.stage import is_at_work
from labeler.qt.theme import em, larger
from labeler.qt.translations import counted, tr
from labeler.qt.views.base import LabelerView
from labeler.qt.widgets import (
    announce,
    beside,
    button,
    enlarge_targets,
    keep_focus,
    name_part,
    plain_label,
)
from labeler.sorting.grid_rows import ALL_PLACES, SET_ASIDE
from labeler.sorting.session import Place

FOCUS_RING = 3
WIDTH, LARGER = 34, 1.35


class NextStep(NamedTuple):
    """What to do next: a button that does it, or a command for a terminal, to be copied."""

    text: str = ""
    do: Callable[[], object] | None = None
    command: str = ""


class Notice(NamedTuple):
    """Why there is nothing, and what to do next, the likeliest first."""

    title: str
    text: str = ""
    steps: tuple[NextStep, ...] = ()


class EmptyNotice(QWidget):
    """Lies over the faces, the table or the canvas while there is nothing on them.

    Keys stay with what is below.
    """

    def __init__(self, below: QAbstractScrollArea) -> None:
        super().__init__(below.viewport())
        self._below, self._bars = below, below.verticalScrollBarPolicy()
        self.notice: Notice | None = None
        self._made: list[QWidget] = []
        self.title, self.text = plain_label(), plain_label()
        self._column = QVBoxLayout()
        whole = QVBoxLayout(self)
        whole.addStretch(2)
        whole.addLayout(beside(None, self._column, None))
        whole.addStretch(3)
        self._column.setSpacing(em(self, 0.6))
        for label in (self.title, self.text):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            label.setFixedWidth(em(self, WIDTH))
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
        self.title.setFont(larger(self.font(), LARGER))
        self.title.setText(notice.title)
        self.text.setText(notice.text)
        self.text.setVisible(bool(notice.text))
        self._make(notice)
        self._fit()
        self.raise_()
        announce(self, f"{notice.title} {notice.text}")

    def _make(self, notice: Notice) -> None:
        for old in self._made:
            old.setParent(None)
            old.deleteLater()
        buttons = [button(step.text, step.do) for step in notice.steps if step.do is not None]
        commands = [self._command(step) for step in notice.steps if step.command]
        self._made = [*([_in_a_row(None, *buttons, None)] if buttons else []), *commands]
        for part in self._made:
            self._column.addWidget(part)
        enlarge_targets(self)
        keep_focus(self)
        before: QWidget = self._below  # Tab comes to them after what they lie on
        for part in self._made:
            for made in part.findChildren(QPushButton):
                QWidget.setTabOrder(before, made)
                before = made

    def _command(self, step: NextStep) -> QWidget:
        """What can only be done in a terminal: the words to type there, and a button that copies
        them.
        """
        words = QLineEdit(step.command, readOnly=True)
        clipboard = QGuiApplication.clipboard()
        copy = button(self.tr("Copy"), lambda: clipboard.setText(step.command))
        words.setCursorPosition(0)
        words.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        words.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys are for the view
        words.setAccessibleName(self.tr("Terminal command"))
        name_part(copy, self.tr("Copy command"))
        return _in_a_row(words, copy)

    def _fit(self) -> None:
        self.setGeometry(
            self._below.viewport().rect().adjusted(FOCUS_RING, FOCUS_RING, -FOCUS_RING, -FOCUS_RING)
        )

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize:
            self._fit()
        return False


def _in_a_row(*parts: QWidget | None) -> QWidget:
    made = QWidget()
    made.setLayout(beside(*parts))
    return made


def command(*words: str) -> NextStep:
    """Return a step that only a terminal can do."""
    return NextStep(command=shlex.join(words))


def to_view(view: LabelerView, name: str, text: str) -> NextStep:
    """Return a step that leads to another view."""
    return NextStep(text, lambda: view.window_actions.show_view(name))


def to_queue(view: LabelerView) -> NextStep:
    """Return a step that leads to what is not sorted."""
    text = tr("Go to unsorted faces")
    return NextStep(text, lambda: view.window_actions.show_place(Place.QUEUE.target))


def to_pages(view: LabelerView) -> NextStep:
    """Return a step that leads to the class pages."""
    return to_view(view, "pages", tr("Go to class pages"))


def making_pages() -> Notice:
    """The first page is not there yet."""
    return Notice(tr("Preparing pages…"), tr("You can already type a name."))


class DetectionState(NamedTuple):
    """How many images there are, and whether a process finds faces in them now."""

    images: int
    at_work: bool

    @classmethod
    def of(cls, dataset: Dataset) -> DetectionState:
        return cls(dataset.images.count(), is_at_work(dataset.cache, "facecrop"))


def no_faces(view: LabelerView, search: DetectionState) -> Notice:
    """A dataset without samples: with images, or without any."""
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
    """Nothing waits any more."""
    text = tr("{count} faces are sorted.")
    later, done = tr("Show skipped faces: {count}"), counts.total - counts.later
    place = Place.LATER.target
    put_off = NextStep(counted(later, counts.later), lambda: view.window_actions.show_place(place))
    return Notice(
        tr("Everything is sorted"),
        counted(text, done),
        (
            *([put_off] if counts.later else []),
            to_view(view, "review", tr("Review labels")),
            to_view(view, "duplicates", tr("Find duplicates")),
            to_view(view, "numbers", tr("Split and export")),
        ),
    )


def of_place(view: LabelerView, target: str, name: str, key: str, counts: LabelCounts) -> Notice:
    """A class, or a place besides classes, with nobody in it."""
    if target in (Place.QUEUE.target, ALL_PLACES):
        return all_sorted(view, counts)
    words = {
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
        SET_ASIDE: (
            tr("No duplicates"),
            tr("Finding duplicates keeps the best copy of each image."),
        ),
    }
    look = to_view(view, "duplicates", tr("Find duplicates"))
    if target in words:
        title, text = words[target]
        return Notice(title, text, (look,) if target == SET_ASIDE else (to_queue(view),))
    how = tr("Point at a face and press {key}, or drag faces onto its row on the left.")
    how = how.format(key=key.upper()) if key else tr("Drag faces onto its row on the left.")
    title = tr("No faces of {name} yet").format(name=name)
    return Notice(title, how, (to_queue(view), to_pages(view)))


def nothing_fits(clear: Callable[[], object]) -> Notice:
    """Filters that leave nothing."""
    text = tr("Clear filters")
    title = tr("No faces match the filters")
    return Notice(title, "", (NextStep(text, clear),))


def of_wall(view: LabelerView, wall: str, root: Path) -> Notice:
    """A wall of the review without anything on it."""
    whole = str(root)
    notices: dict[str, Notice] = {
        "model": Notice(
            tr("No label differs from its prediction"),
            tr("Update the suggestions to compare labels with newer predictions."),
            (
                NextStep(tr("Update suggestions now"), view.window_actions.update_suggestions),
                command("baseline", "presort", "-d", whole),
            ),
        ),
        "doubts": Notice(
            tr("No label issues"),
            tr("To find label issues, run:"),
            (command("baseline", "doubts", "-d", whole),),
        ),
        "page": Notice(
            tr("No labels accepted by page"),
            tr("Faces accepted with Enter on class pages appear here."),
            (to_pages(view),),
        ),
        "flags": Notice(
            tr("No quality issues"),
            tr("To find blurred, black, tiny and unusual images, run:"),
            (command("labeler", "quality", "-d", whole),),
        ),
    }
    nothing = Notice(
        tr("No labels yet"),
        tr("Sort some faces first, then review them here."),
        (to_pages(view), to_queue(view)),
    )
    return notices.get(wall, nothing)


def no_copies(look: Callable[[], object]) -> Notice:
    """No groups of copies are left to be decided."""
    return Notice(
        tr("No duplicates to review"),
        tr("Images added since the last search are not compared yet."),
        (NextStep(tr("Find duplicates"), look),),
    )


def comparing() -> Notice:
    """Copies are being looked for."""
    return Notice(tr("Finding duplicates…"))


def no_missed_images(view: LabelerView, show_all: Callable[[], object]) -> Notice:
    """No image without a face."""
    return Notice(
        tr("Every image has a detected face"),
        tr("Boxes can be drawn on any image."),
        (
            NextStep(tr("Show all images"), show_all),
            NextStep(tr("Detect faces in new images"), view.context.imports.detect_faces),
        ),
    )


def no_such_image(clear: Callable[[], object]) -> Notice:
    """A search among images that finds none."""
    title = tr("No matching image")
    text = tr("Clear search")
    return Notice(title, "", (NextStep(text, clear),))


def no_classes(view: LabelerView) -> Notice:
    """No class yet: there is nothing to count."""
    return Notice(
        tr("No classes yet"),
        tr("Type a name on a class page, or press N over a face in the grid."),
        (to_pages(view), to_queue(view)),
    )
