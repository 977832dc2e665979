"""What is to become of files that were dropped: asked once, with what is likeliest chosen."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QLabel,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from labeler.qt.theme import em
from labeler.sorting.dropped import DroppedFiles, HowTaken, TakePlan

SHOWN_FOLDERS = 4
"""So many names of folders are shown."""


class TakeChoice(QWidget):
    """Says what there is, and lets a person choose what becomes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        self.hints = QCheckBox(self.tr("Folders have the names of those who are in them"))
        self.hints.setToolTip(
            self.tr("The names are hints: they are offered when you sort, and decide nothing")
        )
        self.meaning = QLabel()
        self.meaning.setWordWrap(True)
        self.found = DroppedFiles()
        self.buttons = {
            HowTaken.FIND: QRadioButton(self.tr("Find the faces in them")),
            HowTaken.FACES: QRadioButton(self.tr("The pictures are faces, as they are")),
            HowTaken.WHOLE: QRadioButton(self.tr("Whole pictures: they show something else")),
        }
        group, column = QButtonGroup(self), QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.summary)
        for button in self.buttons.values():
            group.addButton(button)
            column.addWidget(button)
            button.toggled.connect(self._explain)
        column.addWidget(self.meaning)
        column.addWidget(self.hints)

    def offer(self, found: DroppedFiles) -> None:
        """Show what was found, with the likeliest choice."""
        self.found = found
        self.summary.setText(files_in_words(found, self))
        self.buttons[found.guess].setChecked(True)
        self.buttons[HowTaken.FACES].setVisible(bool(found.pictures))
        self.hints.setVisible(bool(found.folders))
        self.hints.setChecked(found.by_class)

    @property
    def how(self) -> HowTaken:
        """What is chosen."""
        chosen = (how for how, button in self.buttons.items() if button.isChecked())
        return next(chosen, self.found.guess)

    def _explain(self) -> None:
        words = {
            HowTaken.FIND: self.tr("They are searched beside the window: each face is a tile."),
            HowTaken.FACES: self.tr("Each picture is a tile; in videos, faces are looked for."),
            HowTaken.WHOLE: self.tr("Each picture, and each frame of a video, is a tile."),
        }
        self.meaning.setText(words[self.how])

    def plan(self, label: str | None = None) -> TakePlan:
        """Return what was chosen; `label` is the class it was dropped on."""
        hints = self.hints.isChecked() and bool(self.found.folders)
        return TakePlan(self.found, self.how, hints, label)


def files_in_words(found: DroppedFiles, by: QObject) -> str:
    """Return how many of what there is."""
    parts = []
    if found.pictures:
        text = by.tr("{count} pictures") if found.pictures > 1 else by.tr("1 picture")
        if len(found.folders) > 1:
            text = by.tr("{count} pictures in {number} folders ({names})")
        names = ", ".join(found.folders[:SHOWN_FOLDERS])
        more = ", …" if len(found.folders) > SHOWN_FOLDERS else ""
        parts.append(
            text.format(
                count=f"{found.pictures:,}",
                number=f"{len(found.folders):,}",
                names=names + more,
            )
        )
    if found.videos:
        text = by.tr("{count} videos") if found.videos > 1 else by.tr("1 video")
        parts.append(text.format(count=f"{found.videos:,}"))
    if found.archives:
        text = by.tr("{count} archives") if found.archives > 1 else by.tr("1 archive")
        parts.append(text.format(count=f"{found.archives:,}"))
    text = by.tr("Found: {what}") if found.complete else by.tr("Found, among more: {what}")
    return text.format(what=", ".join(parts))


class TakeSheet(QDialog):
    """Asks what is to become of a drop; `chosen` (TakePlan) when it is to be taken in."""

    chosen = Signal(object)

    def __init__(self, parent: QWidget, found: DroppedFiles, label: str | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Take in"))
        self._label = label
        self.choice = TakeChoice()
        self.choice.offer(found)
        keys = QDialogButtonBox.StandardButton
        self.answers = QDialogButtonBox(keys.Ok | keys.Cancel)
        self.answers.button(keys.Ok).setText(self.tr("Take in"))
        self.answers.accepted.connect(self.accept)
        self.answers.rejected.connect(self.reject)
        self.accepted.connect(lambda: self.chosen.emit(self.choice.plan(self._label)))
        self.finished.connect(self.deleteLater)
        note = QLabel(self.tr("They are copied into the dataset; your files stay as they are."))
        note.setWordWrap(True)
        column = QVBoxLayout(self)
        for part in (self.choice, note, self.answers):
            column.addWidget(part)
        self.setMinimumWidth(em(self, 26))
