"""The line above a page: what is proposed, how much of it may be wrong, what to do."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from labeler.qt.name_field import NameField
from labeler.qt.session_worker import SessionWorker
from labeler.qt.theme import em
from labeler.qt.views.confidence_bars import ConfidenceBars
from labeler.qt.views.page_kinds import ShownPage, title_of_plain, usual_hints
from labeler.qt.widgets import HEAD, announce, beside, title_label
from labeler.sorting.page_layout import ClassPage

LINES, LINE = 2.1, 1.1
"""Room for two lines of title beside the controls, for one above them; always, so that no page
moves with its title.
"""
NARROW = 760
"""A header of fewer logical pixels has its title above the controls."""

HINTS_UNTIL_SORTED = 100
"""Hints for newcomers are shown until so many faces are sorted."""


class PageHeader(QWidget):
    """`filed` and `skipped` are the buttons; `name` is the field."""

    filed = Signal()
    skipped = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.title, self.name = title_label(), NameField()
        self.bars = ConfidenceBars()
        self._announced = ""
        self._left: int | None = None
        self._shown: ShownPage | None = None
        self.file_button = QPushButton()
        self.skip_button = QPushButton(self.tr("Skip (PgDn)"))
        self.name.setAccessibleName(self.tr("Who is this?"))
        self.title.setWordWrap(True)
        self._layout = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._layout.setContentsMargins(*HEAD)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        controls = beside(self.bars, self.name, self.file_button, self.skip_button)
        controls.addStrut(self.skip_button.sizeHint().height())  # also while all of it is hidden
        self._layout.addWidget(self.title, 1)
        self._layout.addLayout(controls)
        self.file_button.clicked.connect(self.filed)
        self.skip_button.clicked.connect(self.skipped)
        self.show_page(None, 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the title above the controls where there is little room beside them."""
        super().resizeEvent(event)
        narrow = event.size().width() < NARROW
        ways = QBoxLayout.Direction
        self._layout.setDirection(ways.TopToBottom if narrow else ways.LeftToRight)
        self.title.setMinimumHeight(em(self, LINE if narrow else LINES))

    def show_left(self, left: int) -> None:
        """Say how many faces are still to be compared."""
        self._left = left
        if self._shown is not None:
            self._show_title(self._shown)

    def _show_title(self, shown: ShownPage) -> None:
        self.title.setText(title_of_plain(self._left) if shown.compares else shown.title)

    def show_page(self, shown: ShownPage | None, going: int) -> None:
        """Say what the page is, and how many tiles Enter would file."""
        self._shown = shown
        for button in (self.file_button, self.skip_button):
            button.setVisible(shown is not None)
        asks = shown is not None and bool(shown.placeholder)
        self.name.setVisible(asks or bool(self.name.text()))
        if shown is None:
            self.title.setText(self.tr("Class pages"))
        else:
            self._show_title(shown)
            self.name.setPlaceholderText(shown.placeholder)
            self.file_button.setEnabled(going > 0 or not shown.files)
            self.file_button.setText(shown.action.replace("{count}", str(going)))
        if self.title.text() != self._announced:
            self._announced = self.title.text()
            announce(self, self._announced)

    def show_sureness(self, page: ClassPage, all_of: Sequence[int]) -> None:
        """Show how sure the proposals of a page are among `all_of` that wait: ten counts; of
        another page than is shown, nothing.
        """
        shown = self._shown
        if shown is None or shown.page is not page:
            return
        title = self.tr("How sure {label} is, of all that wait").format(label=page.label)
        counts = all_of if shown.files else ()
        self.bars.show_counts(title if page.label else "", counts, page.sureness)


class PageHints(QLabel):
    """What there is to do, below the page, until somebody has done it for a while."""

    def __init__(self, worker: SessionWorker) -> None:
        super().__init__()
        self._worker = worker
        self.setMargin(6)
        self.setWordWrap(True)  # in one line it would be the widest part of the window

    def turn(self, shown: ShownPage | None) -> None:
        """Show or hide the hints for another page: only now may the room for tiles change."""
        progress = self._worker.last
        self.setVisible(progress is None or progress.counts.sorted < HINTS_UNTIL_SORTED)
        self.setText(usual_hints() if shown is None else shown.hints)
