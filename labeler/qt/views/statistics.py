"""The statistics view: samples of each class and split; starts a split or an export."""

from functools import partial

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QHeaderView,
    QTreeWidget,
    QTreeWidgetItem,
)

from gleanset.db.sorting import ClassCount
from gleanset.db.statistics import Statistics
from gleanset.records import SPLITS
from labeler.qt.theme import ALIGN_RIGHT, SPACE_L, SPACE_M, focus_ring
from labeler.qt.translations import tr
from labeler.qt.views.base import (
    EmptyNotice,
    LabelerView,
    Notice,
    ViewContext,
)
from labeler.qt.widgets import TitleLabel, button, column_layout, row_layout, timer
from labeler.sorting.session import SortingSession

SplitCounts = dict[str, dict[str, int]]
"""The number of samples of each class in each split."""


def count_by_split(session: SortingSession) -> tuple[SplitCounts, bool]:
    """Count the samples that have a split, and return whether faces were tracked in episodes."""
    counts = {}
    for label, by_split in Statistics(session.dataset.db).count_labelled().items():
        # Samples without a split are not counted here. A Counter ignores a missing key.
        del by_split[""]
        if by_split:
            counts[label] = dict.fromkeys(SPLITS, 0) | by_split
    # Only `gleanset episodes` follows faces, and records with which settings it saw a video.
    return counts, bool(session.dataset.videos.get_latest_seen_settings())


NAME, COUNT = range(2)
ROW_HEIGHT = 28
RECOUNT_DELAY_MS = 400


def class_texts(row: ClassCount, counts_by_split: SplitCounts) -> dict[str, str]:
    """Return the columns of a class by title; the first two are `NAME` and `COUNT`."""
    counts = counts_by_split.get(row.name)
    return {
        tr("Class"): row.name,
        tr("Labelled"): f"{row.count:,}",
        **{split: f"{counts[split]:,}" if counts else "" for split in SPLITS},
    }


class ClassTable(QTreeWidget):
    """A row for each class.

    A tree without branches: a table view has a corner button without an accessible name.
    """

    def __init__(self) -> None:
        super().__init__()
        titles = list(class_texts(ClassCount(0, "", 0), {}))
        self.setHeaderLabels(titles)
        self.setAccessibleName(tr("Classes"))
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        header = self.header()
        header.setSectionsMovable(False)
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        for column in range(len(titles)):
            if column == NAME:
                header.setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)
            else:  # aligned like the numbers below
                self.headerItem().setTextAlignment(column, ALIGN_RIGHT)

    def show_statistics(
        self, rows: tuple[ClassCount, ...], counts_by_split: SplitCounts
    ) -> None:
        """Show the counts of all classes; the selected class stays selected."""
        selected = [item.text(NAME) for item in self.selectedItems()]
        self.clear()
        for row in rows:
            texts = class_texts(row, counts_by_split)
            item = QTreeWidgetItem(self, list(texts.values()))
            item.setSizeHint(NAME, QSize(0, ROW_HEIGHT))
            for number, (title, text) in list(enumerate(texts.items()))[COUNT:]:
                item.setTextAlignment(number, ALIGN_RIGHT)
                item.setData(
                    number,
                    Qt.ItemDataRole.AccessibleTextRole,
                    f"{row.name}, {title}: {text or '–'}",
                )

            if row.name in selected:
                self.setCurrentItem(item)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        port = self.viewport()
        focus_ring(QPainter(port), port.rect(), self)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Leave letters and digits to the window: there is no search by typing here."""
        before = self.currentIndex(), self.verticalScrollBar().value()
        if not event.text().isalnum():
            super().keyPressEvent(event)
        if before == (self.currentIndex(), self.verticalScrollBar().value()):
            event.ignore()  # the window says that the key does nothing


class StatisticsView(LabelerView):
    """Counts of the labels; split and export are commands that run next to the window."""

    shows_details = False

    def __init__(self, context: ViewContext):
        super().__init__(context)
        self.table = ClassTable()
        self.title = TitleLabel()
        self._has_split = False
        run = context.imports.run_command
        self.split_button = button(
            tr("Split"),
            partial(run, "labeler", "split"),
        )
        self.split_button.setToolTip(
            tr("labeler split: train, val and test without leaks")
        )
        self.export_button = button(tr("Export"), self._export)
        self.export_button.setToolTip(tr("labeler export: class folders, in exports/"))
        self.timeline_button = button(
            tr("Video timeline"), partial(run, "gleanset", "timeline")
        )
        self.timeline_button.setToolTip(
            tr("gleanset timeline: of videos with detected faces")
        )
        self._recount = timer(self, self.enter, RECOUNT_DELAY_MS)
        buttons = (self.timeline_button, self.split_button, self.export_button)
        parts = (row_layout(self.title, *buttons, grows=self.title), self.table)
        self.setLayout(
            column_layout(
                *parts,
                grows=self.table,
                margins=(SPACE_M, SPACE_M, SPACE_L, SPACE_M),
                spacing=SPACE_M,
            )
        )
        self.worker.progressed.connect(self._count_soon)
        context.imports.changed.connect(self._count_soon)
        self.empty = EmptyNotice(self.table)
        self.home = self.table

    def _export(self) -> None:
        options = [] if self._has_split else ["--no-split"]
        self.context.imports.run_command("labeler", "export", *options)

    def _count_soon(self) -> None:
        if self.isVisible():
            self._recount.start()

    def enter(self) -> None:
        self.worker.ask(count_by_split, self._show)

    def _show(self, answer: tuple[SplitCounts, bool]) -> None:
        counts_by_split, has_episodes = answer
        self.timeline_button.setEnabled(has_episodes)
        counts = self.worker.counts
        if counts is None:
            return
        self.table.show_statistics(counts.classes, counts_by_split)
        totals = (
            sum(counts[split] for counts in counts_by_split.values())
            for split in SPLITS
        )

        text = tr(
            "train : val : test = {shares}",
            shares=" : ".join(f"{total:,}" for total in totals),
        )
        self._has_split = bool(counts_by_split)
        self.title.setText(text if counts_by_split else tr("No split yet"))
        notice = Notice(
            tr("No classes yet"),
            tr("Type a name on a class page, or press N over a face in the grid."),
            (self.to_pages(), self.to_queue()),
        )

        self.empty.show_notice(None if counts.classes else notice)
