"""The line above a page: what is proposed, how much of it may be wrong, and what to do."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QSizePolicy, QWidget

from labeler.qt.announce import announce
from labeler.qt.check_offer import CheckOffer
from labeler.qt.desk import Desk
from labeler.sorting.composing import Page

HINTS_FOR = 40
"""So many gestures long a newcomer is told what there is to do."""


class PageHeader(QWidget):
    """`filed` and `skipped` are the buttons; `named` (text) is the answer to "Who is this?"."""

    filed = Signal()
    skipped = Signal()
    named = Signal(str)

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.offer = CheckOffer(desk)
        self.title, self.name = QLabel(), QLineEdit()
        self._announced = ""
        self.file_button = QPushButton()
        self.skip_button = QPushButton(self.tr("Skip (PgDn)"))
        self.name.setPlaceholderText(self.tr("Who is this? (N)"))
        self.name.setAccessibleName(self.tr("Who is this?"))
        self.title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 4, 6, 4)
        row.addWidget(self.title, 1)
        for part in (self.offer, self.name, self.file_button, self.skip_button):
            row.addWidget(part)
        self.file_button.clicked.connect(self.filed)
        self.skip_button.clicked.connect(self.skipped)
        self.name.returnPressed.connect(self._named)

    def _named(self) -> None:
        text = self.name.text().strip()
        self.name.clear()
        if text:
            self.named.emit(text)

    def show_page(self, page: Page | None, going: int, hint: str = "") -> None:
        """Say what the page is, and how many tiles Enter would file."""
        self.name.setVisible(page is not None and page.kind in ("likes", "class"))
        self.offer.shorten(page is not None)
        for button in (self.file_button, self.skip_button):
            button.setVisible(page is not None)
        self.title.setText(hint if page is None else self._words(page))
        if self.title.text() != self._announced:
            self._announced = self.title.text()
            announce(self, self._announced)
        if page is not None:
            self.file_button.setEnabled(going > 0 and page.kind != "likes")
            self.file_button.setText(self._action(page, going))

    def _words(self, page: Page) -> str:
        count, wrong = len(page.tiles), round(page.expected_wrong)
        if page.kind == "likes":
            return self.tr("Who is this?  {count} that look alike, of {all} unknown").format(
                count=count, all=f"{page.of:,}"
            )
        if page.kind == "check":
            return self.tr("Do these {count} belong together?  Click who does not").format(
                count=count
            )
        if page.kind == "left":
            text = self.tr("Several classes · {count} of {all} · about {wrong} may be wrong")
            return text.format(count=count, all=f"{page.of:,}", wrong=wrong)
        if not wrong:
            return self.tr("{label}?  {count} of {all} · probably all right").format(
                label=page.label, count=f"{len(page.rows):,}", all=f"{page.of:,}"
            )
        return self.tr("{label}?  {count} of {all} · about {wrong} may be wrong").format(
            label=page.label, count=f"{len(page.rows):,}", all=f"{page.of:,}", wrong=wrong
        )

    def _action(self, page: Page, going: int) -> str:
        if page.kind == "likes":
            return self.tr("Shift + key, or a name")
        if page.kind == "check":
            return self.tr("Enter: they do")
        if page.kind == "left":
            return self.tr("Enter: file all {count} as shown").format(count=going)
        return self.tr("Enter: all {count} to {label}").format(count=going, label=page.label)


class Hints(QLabel):
    """What there is to do, below the page, until somebody has done it for a while."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self.setMargin(6)
        self.setText(
            self.tr(
                "Enter files all that are not marked · point at a wrong one and press the key of "
                "its class · Ctrl+Z takes back · F1 shows all keys"
            )
        )

    def turn(self) -> None:
        """Another page: only now may the room for tiles change."""
        before = self._desk.last.gestures if self._desk.last else 0
        self.setVisible(before + self._desk.gestures < HINTS_FOR)
