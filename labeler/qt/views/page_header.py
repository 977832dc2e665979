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
from labeler.qt.widgets import HEAD, announce, beside, title_label
from labeler.sorting.page_layout import ClassPage, PageKind

NEVER_FILED = (PageKind.GROUPS, PageKind.PLAIN)
"""Enter only goes on from these."""

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
        self._page: ClassPage | None = None
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
        if self._page is not None and self._page.kind is PageKind.PLAIN:
            self.title.setText(self._words(self._page))

    def show_page(self, page: ClassPage | None, going: int) -> None:
        """Say what the page is, and how many tiles Enter would file."""
        self._page = page
        asks = page is not None and page.kind in (PageKind.GROUPS, PageKind.CLASS)
        self.name.setVisible(asks or bool(self.name.text()))
        unknown = page is not None and page.kind is PageKind.GROUPS
        placeholder = self.tr("Type who this is") if unknown else self.tr("Who is this? (N)")
        self.name.setPlaceholderText(placeholder)
        self.file_button.setVisible(page is not None)
        self.skip_button.setVisible(page is not None)
        self.title.setText(self.tr("Class pages") if page is None else self._words(page))
        if self.title.text() != self._announced:
            self._announced = self.title.text()
            announce(self, self._announced)
        if page is not None:
            self.file_button.setEnabled(going > 0 or page.kind in NEVER_FILED)
            self.file_button.setText(self._action(page, going))

    def show_sureness(self, page: ClassPage, all_of: Sequence[int]) -> None:
        """Show how sure the proposals of a page are among `all_of` that wait: ten counts; of
        another page than is shown, nothing.
        """
        if page is not self._page:
            return
        shown = page.kind in (PageKind.CLASS, PageKind.LEFT)
        title = self.tr("How sure {label} is, of all that wait").format(label=page.label)
        self.bars.show_counts(title if page.label else "", all_of if shown else (), page.sureness)

    def _words(self, page: ClassPage) -> str:
        count = len(page.tiles)
        if page.kind is PageKind.GROUPS:
            return self._of_groups(len(page.groups), count)
        if page.kind is PageKind.PLAIN:
            return self._of_plain()
        return self._of_proposals(page)

    def _of_proposals(self, page: ClassPage) -> str:
        """Say whose page it is, or that it is of several classes; and how many may be wrong, where
        such proposals were tested.
        """
        labels, count, wrong = page.labels, len(page.rows), round(page.expected_wrong)
        if not page.tested:
            how = self.tr("not tested yet: look at each")
        elif wrong:
            how = self.tr("about {wrong} may be wrong").format(wrong=wrong)
        else:
            how = self.tr("probably all right")
        if len(labels) > 1:
            text = self.tr("Several classes · {count} of {all} · {how}")
        else:
            text = self.tr("{label}?  {count} of {all} · {how}")
        return text.format(
            label=next(iter(labels), ""), count=f"{count:,}", all=f"{page.of:,}", how=how
        )

    def _of_groups(self, groups: int, faces: int) -> str:
        if groups == 1:
            text = self.tr("Who is this?  {count} that look alike: type the name")
            return text.format(count=faces)
        return self.tr(
            "Who are they?  {count} groups that look alike: point at one and type its name"
        ).format(count=groups)

    def _of_plain(self) -> str:
        if self._left == 0:
            return self.tr("Faces that cannot be compared: point at one and press / for its name")
        if not self._left:
            return self.tr("Faces are being compared: groups of look-alikes come by themselves")
        return self.tr(
            "Faces are being compared, {left} to go: groups of look-alikes come by themselves"
        ).format(left=f"{self._left:,}")

    def _action(self, page: ClassPage, going: int) -> str:
        if page.kind in NEVER_FILED:
            return self.tr("Enter: go on")
        if page.kind is PageKind.LEFT:
            return self.tr("Enter: file all {count} as shown").format(count=going)
        return self.tr("Enter: all {count} to {label}").format(count=going, label=page.label)


class PageHints(QLabel):
    """What there is to do, below the page, until somebody has done it for a while."""

    def __init__(self, worker: SessionWorker) -> None:
        super().__init__()
        self._worker = worker
        self.setMargin(6)
        self.setWordWrap(True)  # in one line it would be the widest part of the window

    def turn(self, kind: PageKind | None) -> None:
        """Show or hide the hints for another page: only now may the room for tiles change."""
        progress = self._worker.last
        self.setVisible(progress is None or progress.counts.sorted < HINTS_UNTIL_SORTED)
        special = {
            PageKind.GROUPS: self.tr(
                "A name, or Shift and a class key, is for the whole group · Ctrl+Enter with the "
                "last name files the page · click leaves a face out · − takes a group apart · . "
                "nobody you collect · Ctrl+Z takes back · F1 shows all keys"
            ),
            PageKind.PLAIN: self.tr(
                "Point at a face and press / for its name, or the key of its class · Enter files "
                "nothing and goes on · Ctrl+Z takes back · F1 shows all keys"
            ),
        }
        usual = self.tr(
            "Enter files all that are not marked · point at a wrong one and press the key of "
            "its class · Ctrl+Z takes back · F1 shows all keys"
        )
        self.setText(special.get(kind, usual) if kind else usual)
