"""The dialogs that ask what to import: dropped files, or images that a site finds.

That of files shows what `harvest folder --simulate` reports.
"""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLineEdit,
    QRadioButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from labeler.qt.commands import CommandEnd, CommandQueue, last_error
from labeler.qt.theme import em
from labeler.qt.translations import counted
from labeler.qt.widgets import column_layout, enlarge_targets, form_layout, plain_label
from labeler.sorting.import_plan import (
    DroppedPaths,
    ImportPlan,
    SearchPlan,
    SimulatedImport,
    are_face_crops,
)

MAX_SHOWN_NAMES = 4
DEFAULT_LIMIT, MAX_LIMIT = 100, 10_000


class TileChoice(QWidget):
    """Asks what becomes a tile: each face, or each image."""

    def __init__(self) -> None:
        super().__init__()
        self.faces = QRadioButton(self.tr("Detect faces"))
        self.whole_images = QRadioButton(self.tr("Whole images, or faces that are already cropped"))
        self.faces.setChecked(True)
        self.setLayout(column_layout(self.faces, self.whole_images))


class PlanDialog(QDialog):
    """Base of dialogs that ask for a plan; `confirmed` (the plan) if the user starts it."""

    confirmed = Signal(object)

    def __init__(self, parent: QWidget, title: str, start: str) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        standard = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(standard.Ok | standard.Cancel)
        self.start_button = self.buttons.button(standard.Ok)
        self.start_button.setText(start)
        self.start_button.setProperty("primary", True)
        self.start_button.setEnabled(False)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.accepted.connect(lambda: self.confirmed.emit(self.plan()))
        self.finished.connect(self.deleteLater)
        self.setMinimumWidth(em(self, 26))

    def plan(self) -> ImportPlan | SearchPlan:
        """Return what the user chose."""
        raise NotImplementedError

    def lay_out(self, *parts: QWidget | QFormLayout) -> None:
        """Set the parts above the buttons."""
        QVBoxLayout(self).addLayout(column_layout(*parts, self.buttons))
        enlarge_targets(self)


class ImportDialog(PlanDialog):
    """Shows what `harvest folder --simulate` reports of dropped files; asks how to import them.

    `label` is the weak label of all files, `report` what was reported.
    """

    def __init__(
        self, parent: QWidget, dropped: DroppedPaths, root: Path, label: str | None = None
    ) -> None:
        super().__init__(parent, self.tr("Import"), self.tr("Import"))
        self.summary, self.tiles = plain_label(self.tr("Scanning files…")), TileChoice()
        self.names = QCheckBox(self.tr("Folder names are class names"))
        self.names.setToolTip(
            self.tr(
                "Names become weak labels: suggested while sorting, never applied automatically"
            )
        )
        self.names.hide()
        self.tiles.whole_images.setChecked(are_face_crops(dropped))
        self.report: SimulatedImport | None = None
        self._dropped, self._label, self._counts = dropped, label, SimulatedImport()
        self._simulation = CommandQueue(self)
        self._simulation.ended.connect(self._add_counts)
        self._simulation.emptied.connect(self._show_result)
        self.finished.connect(self._simulation.stop)
        note = self.tr("Files are copied into the dataset; the originals are not changed.")
        self.lay_out(self.summary, self.tiles, self.names, plain_label(note))
        commands = dropped.harvest(root, hints=True, label=label)
        self._simulation.add([*words, "--simulate"] for words in commands)

    def _add_counts(self, words: list[str], end: CommandEnd) -> None:
        if end.code:
            self._counts.error = last_error(end.words)
            self._simulation.pending = []
        else:
            self._counts.add(Path(words[2]), end.result)

    def _show_result(self) -> None:
        report = self.report = self._counts
        self.summary.setText(self._summary_text(report))
        self.names.setVisible(self._label is None and bool(report.hints))
        self.names.setChecked(self._label is None and report.has_class_folders)
        self.start_button.setEnabled(self.can_import)
        self.start_button.setDefault(True)
        self.adjustSize()

    @property
    def can_import(self) -> bool:
        report = self.report
        if report is None or report.error:
            return False
        return bool(report.images or report.known_images or report.videos or self._dropped.videos)

    def _summary_text(self, report: SimulatedImport) -> str:
        if report.error:
            return report.error
        videos = report.videos.total() + len(self._dropped.videos)
        counts = {
            self.tr("{count} new images"): report.images,
            self.tr("{count} already in the dataset"): report.known_images,
            self.tr("{count} videos"): videos,
            self.tr("{count} ignored"): report.ignored.total(),
        }
        parts = [counted(text, count) for text, count in counts.items() if count]
        if not self.can_import:
            parts = [self.tr("No images or videos found")]
        lines = ["  ·  ".join(parts)]
        if report.hints:
            common = report.hints.most_common(MAX_SHOWN_NAMES)
            names = ", ".join(f"{name} {count:,}" for name, count in common)
            names += ", …" if len(report.hints) > MAX_SHOWN_NAMES else ""
            lines.append(self.tr("Folders: {names}").format(names=names))
        return "\n".join(lines)

    def plan(self) -> ImportPlan:
        videos = tuple(self.report.videos) if self.report is not None else ()
        names = not self.names.isHidden() and self.names.isChecked()
        whole_images = self.tiles.whole_images.isChecked()
        return ImportPlan(self._dropped, whole_images, names, self._label, videos)


class SearchDialog(PlanDialog):
    """Asks for what to search, where, and how many images."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, self.tr("Search a site"), self.tr("Search"))
        self.words, self.label, self.limit = QLineEdit(), QLineEdit(), QSpinBox()
        self.site, self._need, self.tiles = QComboBox(), plain_label(), TileChoice()
        self._needs = {
            "bing": self.tr("Needs no account."),
            "flickr": self.tr("Needs an API key; to store it, run: harvest login flickr"),
            "google": self.tr("Needs Chromium and the extra google."),
            "pixiv": self.tr("Needs an account; to log in, run: harvest login pixiv"),
        }
        for name in self._needs:
            self.site.addItem(name.capitalize(), name)
        self.limit.setRange(1, MAX_LIMIT)
        self.limit.setValue(DEFAULT_LIMIT)
        self.label.setToolTip(self.tr("Suggested while sorting, never applied automatically"))
        form = form_layout(
            {
                self.tr("Words"): (self.words,),
                self.tr("Class"): (self.label,),
                self.tr("Images"): (self.limit,),
                self.tr("Site"): (self.site,),
            }
        )
        form.addRow("", self._need)
        self.words.textChanged.connect(self._show_words)
        self.site.currentIndexChanged.connect(self._show_need)
        self._show_need()
        self.lay_out(form, self.tiles)

    def _show_words(self, text: str) -> None:
        self.label.setPlaceholderText(text.strip())
        self.start_button.setEnabled(bool(text.strip()))

    def _show_need(self) -> None:
        self._need.setText(self._needs[self.site.currentData()])

    def plan(self) -> SearchPlan:
        return SearchPlan(
            self.words.text().strip(),
            self.site.currentData(),
            self.limit.value(),
            self.label.text().strip(),
            self.tiles.whole_images.isChecked(),
        )
