"""What to look at again: which wall, and which traits the samples must have."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication, QTimer, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from gleanset.db.review import FilterChoices, ReviewFilter

TYPING_MS = 300
WALL_NAMES = (
    ("outliers", QT_TRANSLATE_NOOP("FilterBar", "Classes, outliers first")),
    ("model", QT_TRANSLATE_NOOP("FilterBar", "The model says otherwise")),
    ("doubts", QT_TRANSLATE_NOOP("FilterBar", "Labels that are likely wrong")),
    ("page", QT_TRANSLATE_NOOP("FilterBar", "Filed with a page, least sure first")),
    ("flags", QT_TRANSLATE_NOOP("FilterBar", "Quality flags")),
    ("all", QT_TRANSLATE_NOOP("FilterBar", "Everything")),
)


class FilterBar(QWidget):
    """`changed` comes when a person chose something else, a moment after the last letter."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.wall = self._choice(self.tr("What to look at"))
        for name, title in WALL_NAMES:
            self.wall.addItem(QCoreApplication.translate("FilterBar", str(title)), name)
        self.label = self._choice(self.tr("Class"))
        self.source = self._choice(self.tr("Source"))
        self.video = self._choice(self.tr("Episode"))
        self.licence = self._choice(self.tr("Licence"))
        self.size_box, self.score_box, self.text = QSpinBox(), QDoubleSpinBox(), QLineEdit()
        self.size_box.setRange(0, 10_000)
        self.size_box.setSingleStep(16)
        self.size_box.setSuffix(self.tr(" px"))
        self.score_box.setRange(0, 1)
        self.score_box.setSingleStep(0.05)
        self.text.setPlaceholderText(self.tr("Title, query, author, tag …"))
        self.text.setClearButtonEnabled(True)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(TYPING_MS)
        self._timer.timeout.connect(self.changed)
        self._lay_out()
        self.offer(FilterChoices((), (), ()), ())
        for box in (self.wall, self.label, self.source, self.video, self.licence):
            box.currentIndexChanged.connect(self._timer.start)
        self.size_box.valueChanged.connect(self._timer.start)
        self.score_box.valueChanged.connect(self._timer.start)
        self.text.textChanged.connect(self._timer.start)

    def _choice(self, name: str) -> QComboBox:
        box = QComboBox()
        box.setAccessibleName(name)
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        box.setMinimumContentsLength(9)
        box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        return box

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(6, 4, 6, 4)
        rows = (
            (
                (self.tr("Show"), self.wall),
                (self.tr("Class"), self.label),
                (self.tr("Source"), self.source),
                (self.tr("Episode"), self.video),
            ),
            (
                (self.tr("Text"), self.text),
                (self.tr("Licence"), self.licence),
                (self.tr("Size from"), self.size_box),
                (self.tr("Score from"), self.score_box),
            ),
        )
        for line, row in enumerate(rows):
            for place, (name, part) in enumerate(row):
                label = QLabel(name)
                label.setBuddy(part)
                part.setAccessibleName(name)
                part.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
                grid.addWidget(label, line, 2 * place)
                grid.addWidget(part, line, 2 * place + 1)
                grid.setColumnStretch(2 * place + 1, 2 if place == 0 else 1)

    def offer(self, traits: FilterChoices, classes: Sequence[str]) -> None:
        """What can be chosen; what is chosen stays chosen."""
        lists = (
            (self.label, [(name, name) for name in classes]),
            (self.source, [(name, name) for name in traits.sources]),
            (self.video, [(sha256, name) for sha256, name in traits.videos]),
            (self.licence, [(name, name) for name in traits.licences]),
        )
        for box, values in lists:
            kept = box.currentData()
            box.blockSignals(True)
            box.clear()
            box.addItem(self.tr("all"), None)
            for value, name in values:
                box.addItem(name, value)
            box.setCurrentIndex(max(box.findData(kept), 0))
            box.blockSignals(False)

    def wall_name(self) -> str:
        """Which wall is chosen."""
        return str(self.wall.currentData())

    def wanted(self) -> ReviewFilter:
        """Which traits are asked for."""
        return ReviewFilter(
            self.label.currentData(),
            self.source.currentData(),
            self.video.currentData(),
            self.licence.currentData(),
            self.score_box.value() or None,
            self.size_box.value() or None,
            self.text.text().strip() or None,
        )
