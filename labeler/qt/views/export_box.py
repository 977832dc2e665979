"""Export from the window: what, where to, how far it is, and a way to end it."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import (
    QComboBox,
    QGridLayout,
    QGroupBox,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
)

from gleanset import Dataset
from gleanset.errors import UsageError
from gleanset.work.progress import Progress
from labeler.export.job import export
from labeler.export.options import FORMATS, NAMES, ExportOptions, parse_size
from labeler.qt.preferences import Preferences
from labeler.qt.session_worker import SessionWorker
from labeler.qt.translations import singular


class ExportBox(QGroupBox):
    """The format, the folder, the size; relative folders lie where exports go by the settings."""

    def __init__(self, worker: SessionWorker) -> None:
        super().__init__()
        self.setTitle(self.tr("Export"))
        self._worker = worker
        self.working = worker.task(self.tr("an export is being written"))
        self.format, self.names, self.folder = QComboBox(), QComboBox(), QLineEdit()
        self.size_text, self.bar, self.result = QLineEdit(), QProgressBar(), QLabel()
        self.format.addItems(FORMATS)
        self.names.addItems(NAMES)
        self.folder.setText("imagefolder")
        self.size_text.setPlaceholderText(self.tr("as it is"))
        self.bar.setAccessibleName(self.tr("Progress of the export"))
        self.bar.hide()
        self.result.setWordWrap(True)
        self.start_button = QPushButton(self.tr("Export"))
        self.cancel_button = QPushButton(self.tr("Cancel"))
        self.cancel_button.hide()
        self._lay_out()
        self.format.currentTextChanged.connect(self.folder.setText)
        self.start_button.clicked.connect(self.start)
        self.cancel_button.clicked.connect(self.working.cancel)
        self.working.done.connect(self._done)
        self.working.failed.connect(self._failed)
        self.working.progressed.connect(self._progressed)

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        rows = (
            (self.tr("Format"), self.format),
            (self.tr("File names"), self.names),
            (self.tr("Folder"), self.folder),
            (self.tr("Size"), self.size_text),
        )
        for number, (name, part) in enumerate(rows):
            label = QLabel(name)
            label.setBuddy(part)
            part.setAccessibleName(name)
            grid.addWidget(label, number, 0)
            grid.addWidget(part, number, 1, 1, 2)
        grid.addWidget(self.bar, 4, 0, 1, 2)
        grid.addWidget(self.start_button, 4, 2)
        grid.addWidget(self.cancel_button, 4, 2)
        grid.addWidget(self.result, 5, 0, 1, 3)
        grid.setColumnStretch(1, 1)

    def target(self) -> Path:
        """Return the folder that is written."""
        given = Path(self.folder.text().strip() or self.format.currentText()).expanduser()
        return Preferences().exports(self._worker.root) / given

    def start(self) -> None:
        """Export, on a thread of its own."""
        try:
            size = parse_size(self.size_text.text().strip() or None)
            options = ExportOptions(
                format=FORMATS[self.format.currentIndex()],
                names=NAMES[self.names.currentIndex()],
                size=size,
            )
        except UsageError as error:
            self._failed(str(error))
            return
        target = self.target()

        def work(dataset: Dataset, progress: Progress) -> dict[str, object]:
            target.parent.mkdir(parents=True, exist_ok=True)
            return export(dataset, target, options, progress=progress)

        if self.working.start(work):
            self.result.setText("")
            self._at_work(True)

    def _at_work(self, busy: bool) -> None:
        self.bar.setRange(0, 0)
        for part in (self.bar, self.cancel_button):
            part.setVisible(busy)
        self.start_button.setVisible(not busy)

    def _progressed(self, what: str, done: int, total: int) -> None:
        self.bar.setRange(0, total)
        self.bar.setValue(done)

    def _done(self, result: dict[str, object]) -> None:
        self._at_work(False)
        count = result["exported"]
        assert isinstance(count, int)
        text = singular(self.tr("{count} pictures written to {folder}"), count)
        written = text.format(count=f"{count:,}", folder=result["to"])
        notes = result.get("notes", [])
        assert isinstance(notes, list)
        self.result.setText("\n".join([written, *notes]))
        if failed := result.get("failed"):
            assert isinstance(failed, dict)
            text = singular(self.tr("{count} pictures cannot be read"), len(failed))
            self._worker.say(text.format(count=len(failed)), bad=True)

    def _failed(self, why: str) -> None:
        self._at_work(False)
        self.result.setText(why)
        self._worker.say(why, bad=True)
