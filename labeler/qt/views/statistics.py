"""The statistics view: samples of each class, confidence of suggestions, split and export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt
from PySide6.QtGui import QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QComboBox,
    QGroupBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QProgressBar,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
)

from gleanset import Dataset
from gleanset.db.sorting import ClassCount
from gleanset.errors import UsageError
from gleanset.records import SPLITS
from gleanset.work.progress import Progress
from labeler.duplicates.finder import DuplicateFinder
from labeler.export.formats import list_formats
from labeler.export.job import export
from labeler.export.options import ExportOptions
from labeler.qt.session_worker import SessionWorker
from labeler.qt.theme import SPACE_L, SPACE_M, focus_ring, trough
from labeler.qt.translations import counted, tr
from labeler.qt.views.base import LabelerView, ViewContext
from labeler.qt.views.notices import EmptyNotice, no_classes
from labeler.qt.widgets import button, column_layout, form_layout, row_layout, set_column, timer
from labeler.sorting.session import SortingProgress
from labeler.splits.plan import SplitPlan, apply_split, plan_split
from labeler.statistics import SplitCounts, count_by_split

Index = QModelIndex | QPersistentModelIndex
Role = Qt.ItemDataRole
NAME, COUNT, BAR = range(3)
ALIGN_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
BAR_HEIGHT = 10
SHARE_ROLE = Role.UserRole
"""Size of a class relative to the largest one, 0..1."""


class BarDelegate(QStyledItemDelegate):
    """Draws the size of a class as a bar."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        # This column decides the height of all rows.
        return QSize(120, max(24, round(1.8 * option.fontMetrics.height())))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        room: QRect = option.rect.adjusted(4, 0, -4, 0)
        bar = QRect(room.left(), room.center().y() - BAR_HEIGHT // 2, room.width(), BAR_HEIGHT)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        full = bar.width()
        for width, colour in (
            (full, trough(option.palette)),
            (round(full * index.data(SHARE_ROLE)), option.palette.highlight().color()),
        ):
            bar.setWidth(width)
            painter.setBrush(colour)
            painter.drawRoundedRect(bar, BAR_HEIGHT / 2, BAR_HEIGHT / 2)


def class_texts(
    row: ClassCount, counts_by_split: SplitCounts, plan: SplitPlan | None
) -> dict[str, str]:
    """Return the columns of a class by title; a planned split replaces the current one.

    The first three columns are `NAME`, `COUNT` and `BAR`.
    """
    parts = (plan.table if plan else counts_by_split).get(row.name)
    close = plan.closeness.get(row.name) if plan else None
    return {
        tr("Class"): row.name,
        tr("Labelled"): f"{row.count:,}",
        tr("Relative size"): "",
        **{part: f"{parts[part]:,}" if parts else "" for part in SPLITS},
        tr("Deviation"): f"{close.deviation:.1f}" if close else "",
    }


class ClassTable(QTreeWidget):
    """A row for each class.

    A tree without branches: a table view has a corner button without an accessible name.
    """

    def __init__(self) -> None:
        super().__init__()
        titles = list(class_texts(ClassCount(0, "", 0), {}, None))
        self.setHeaderLabels(titles)
        self._bar = BarDelegate(self)
        self.setItemDelegateForColumn(BAR, self._bar)
        self.setAccessibleName(self.tr("Classes"))
        self.setTabKeyNavigation(False)
        self.setRootIsDecorated(False)
        self.setItemsExpandable(False)
        self.setUniformRowHeights(True)
        header = self.header()
        header.setSectionsMovable(False)
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        for column in (NAME, BAR):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)
        for column in range(len(titles)):  # aligned like the numbers below
            if column not in (NAME, BAR):
                self.headerItem().setTextAlignment(column, ALIGN_RIGHT)

    @property
    def selected_class(self) -> str:
        items = self.selectedItems()
        return items[0].text(NAME) if items else ""

    def show_statistics(
        self, rows: tuple[ClassCount, ...], counts_by_split: SplitCounts, plan: SplitPlan | None
    ) -> None:
        """Show statistics; the selected class stays selected."""
        selected = self.selected_class
        largest = max((row.count for row in rows), default=0)
        self.clear()
        for row in rows:
            texts = class_texts(row, counts_by_split, plan)
            item = QTreeWidgetItem(self, list(texts.values()))
            item.setData(BAR, SHARE_ROLE, row.count / largest if largest else 0.0)
            for number, (title, text) in list(enumerate(texts.items()))[COUNT:]:
                item.setTextAlignment(number, ALIGN_RIGHT)
                item.setData(number, Role.AccessibleTextRole, f"{row.name}, {title}: {text or '–'}")
            if row.name == selected:
                self.setCurrentItem(item)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        port = self.viewport()
        focus_ring(QPainter(port), port.rect(), self.palette(), focused=self.hasFocus())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Leave letters and digits to the window: there is no search by typing here."""
        if event.text().isalnum():
            event.ignore()
            return
        before = self.currentIndex(), self.verticalScrollBar().value()
        super().keyPressEvent(event)
        if before == (self.currentIndex(), self.verticalScrollBar().value()):
            event.ignore()  # the window says that the key does nothing


class ExportBox(QGroupBox):
    """Form of an export; relative folders are in the dataset's `exports/`."""

    def __init__(self, worker: SessionWorker) -> None:
        super().__init__()
        self.setTitle(self.tr("Export"))
        self._worker = worker
        self.working = worker.create_task(self.tr("an export is running"))
        self.format, self.folder = QComboBox(), QLineEdit()
        self.size_text = QLineEdit(placeholderText=self.tr("original"))
        self.bar, self.result = QProgressBar(), QLabel(wordWrap=True)
        self.format.addItems(list_formats())
        self.folder.setText("imagefolder")
        self.bar.setAccessibleName(self.tr("Export progress"))
        self.bar.hide()
        self.start_button = button(self.tr("Export"), self.start)
        self.cancel_button = button(self.tr("Cancel"), self.working.cancel)
        self.cancel_button.hide()
        self._lay_out()
        self.format.currentTextChanged.connect(self.folder.setText)
        self.working.done.connect(self._done)
        self.working.failed.connect(self._failed)
        self.working.progressed.connect(self._progressed)

    def _lay_out(self) -> None:
        form = form_layout(
            {
                self.tr("Format"): (self.format,),
                self.tr("Folder"): (self.folder,),
                self.tr("Size"): (self.size_text,),
            }
        )
        start = row_layout(self.bar, None, self.start_button, self.cancel_button)
        QVBoxLayout(self).addLayout(column_layout(form, start, self.result, None))

    def target(self) -> Path:
        folder = Path(self.folder.text().strip() or self.format.currentText()).expanduser()
        return self._worker.root.absolute() / "exports" / folder

    def start(self) -> None:
        try:
            options = ExportOptions(
                format=self.format.currentText(),
                size=self.size_text.text().strip() or None,
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
            self._show_busy(True)

    def _show_busy(self, busy: bool) -> None:
        self.bar.setRange(0, 0)
        for part in (self.bar, self.cancel_button):
            part.setVisible(busy)
        self.start_button.setVisible(not busy)

    def _progressed(self, name: str, done: int, total: int) -> None:
        self.bar.setRange(0, total)
        self.bar.setValue(done)

    def _done(self, result: dict[str, object]) -> None:
        self._show_busy(False)
        count = result["exported"]
        assert isinstance(count, int)
        text = self.tr("{count} images exported to {folder}")
        written = counted(text, count, folder=result["to"])
        notes = result.get("notes", [])
        assert isinstance(notes, list)
        self.result.setText("\n".join([written, *notes]))
        if failed := result.get("failed"):
            assert isinstance(failed, dict)
            text = self.tr("{count} images could not be read")
            self._worker.show_message(counted(text, len(failed)), bad=True)

    def _failed(self, error: str) -> None:
        self._show_busy(False)
        self.result.setText(error)
        self._worker.show_message(error, bad=True)


RECOUNT_DELAY_MS = 400


class StatisticsView(LabelerView):
    """Label statistics, the split and the export; a split is applied only on request."""

    shows_details = False

    def __init__(self, context: ViewContext) -> None:
        super().__init__(context)
        self.table, self.split_text = ClassTable(), QLabel(wordWrap=True)
        self.plan_button = button(self.tr("Preview split"), self.preview)
        self.apply_button = button(self.tr("Apply split"), self.apply)
        self.apply_button.hide()
        self.export_box = ExportBox(self.worker)
        self._plan: SplitPlan | None = None
        self._splitting = self.worker.create_task(self.tr("a split is being computed"))
        self._recount = timer(self, self._read, RECOUNT_DELAY_MS)
        self._lay_out()
        self._connect()
        self.empty = EmptyNotice(self.table)
        self.home = self.table

    def _lay_out(self) -> None:
        split, boxes = QGroupBox(self.tr("Split")), QHBoxLayout()
        buttons = row_layout(self.plan_button, self.apply_button)
        QVBoxLayout(split).addLayout(column_layout(buttons, self.split_text, None))
        for box in (split, self.export_box):
            boxes.addWidget(box, 1)
        column = set_column(self, self.table, boxes, grows=self.table)
        column.setContentsMargins(SPACE_M, SPACE_M, SPACE_L, SPACE_M)
        column.setSpacing(SPACE_M)

    def _connect(self) -> None:
        self.worker.progressed.connect(self._progressed)
        self._splitting.done.connect(self._show_split)
        self._splitting.failed.connect(self._failed)

    def enter(self) -> None:
        self._read()
        self.focus_home()

    def is_settled(self) -> bool:
        return super().is_settled() and not self._splitting.busy

    def _progressed(self, progress: SortingProgress) -> None:
        if self.isVisible():
            self._recount.start()

    def _read(self) -> None:
        self.worker.ask(count_by_split, self._show)

    def _show(self, counts_by_split: SplitCounts) -> None:
        progress = self.worker.progress
        if progress is None:
            return
        rows = progress.counts.classes
        self.table.show_statistics(rows, counts_by_split, self._plan)
        self.empty.show_notice(None if rows else no_classes(self))
        if self._plan is None:
            current = self.tr("The table shows the current split.")
            self.split_text.setText(current if counts_by_split else self.tr("No split yet."))

    # -- the split

    def preview(self) -> None:
        """Plan a split with the settings of `dataset.toml`, and show it."""
        self._begin(_search_and_plan)

    def apply(self) -> None:
        """Plan the split again with the latest labels, and write it."""

        def work(dataset: Dataset, progress: Progress) -> None:
            apply_split(dataset, _search_and_plan(dataset, progress))

        self._begin(work)

    def _begin(self, work: Callable[[Dataset, Progress], SplitPlan | None]) -> None:
        if self._splitting.start(work):
            self.plan_button.setEnabled(False)
            self.apply_button.hide()
            self.split_text.setText(self.tr("Working…"))

    def _show_split(self, plan: SplitPlan | None) -> None:
        self._plan = plan
        self.plan_button.setEnabled(True)
        self.apply_button.setVisible(plan is not None)
        self._read()
        if plan is not None:
            self.split_text.setText(self._plan_text(plan))

    def _plan_text(self, plan: SplitPlan) -> str:
        totals = {part: sum(row[part] for row in plan.table.values()) for part in SPLITS}
        shares = " : ".join(f"{totals[part]:,}" for part in SPLITS)
        text = self.tr("{groups} groups are kept together, largest: {largest} samples")
        lines = [
            self.tr("train : val : test = {shares}").format(shares=shares),
            text.format(groups=f"{plan.groups:,}", largest=plan.largest_group),
        ]
        if plan.left_out:
            lines.append(counted(self.tr("{count} samples are excluded"), len(plan.left_out)))
        if plan.not_searched:
            text = self.tr("Find duplicates first (F3): {count} not compared")
            lines.append(text.format(count=f"{plan.not_searched:,}"))
        return "\n".join(lines)

    def _failed(self, error: str) -> None:
        self.plan_button.setEnabled(True)
        self.split_text.setText(error)
        self.worker.show_message(error, bad=True)


def _search_and_plan(dataset: Dataset, progress: Progress) -> SplitPlan:
    """Find duplicates of labelled samples, then plan a split with the dataset's settings."""
    DuplicateFinder(dataset, progress=progress).search_labelled()
    return plan_split(dataset, dataset.settings.split)
