"""What narrows a wall of faces: the one bar of filters, of the grid and of the review alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from PySide6.QtCore import Signal
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

from gleanset.db.views import FilterChoices, Reviews, SampleFilter
from labeler.qt.translations import tr
from labeler.qt.views.base import ViewContext
from labeler.qt.views.sending import SendingView
from labeler.qt.widgets import timer, title_label
from labeler.quality.flags import FLAGS
from labeler.sorting.session import SortingSession

T = TypeVar("T")
TYPING_MS = 300
ACROSS = 4


def flag_name(name: str) -> str:
    """Return what a quality flag is called in the person's language."""
    names = {
        "blurred": tr("Blurred"),
        "black": tr("Nearly black"),
        "white": tr("Nearly white"),
        "tiny": tr("Tiny"),
    }
    return names.get(name, name)


Choices = Sequence[tuple[str, object]]
"""What is shown, and what it stands for."""


class FilterBar(QWidget):
    """`changed` comes when a person chose something else, a moment after the last letter.

    `places` stand before the classes, where one of them or a class is always chosen; without them
    the class is a filter as the others. `walls` are what else can be looked at.
    """

    changed = Signal()

    def __init__(self, walls: Choices = (), places: Choices = ()) -> None:
        super().__init__()
        self._places = tuple(places) or ((self.tr("all"), None),)
        self._by_place = bool(places)
        self._labels: dict[QWidget, QLabel] = {}
        self.wall, self.label, self.source, self.video = (self._choice() for _ in range(4))
        self.licence, self.proposal, self.flag = (self._choice() for _ in range(3))
        self.moment, self.show_of = self._choice(), self._choice()
        self.size_box, self.score_box, self.text = QSpinBox(), QDoubleSpinBox(), QLineEdit()
        self.size_box.setRange(0, 10_000)
        self.size_box.setSingleStep(16)
        self.size_box.setSuffix(self.tr(" px"))
        self.score_box.setRange(0, 1)
        self.score_box.setSingleStep(0.05)
        self.text.setPlaceholderText(self.tr("Title, query, author, tag …"))
        self.text.setClearButtonEnabled(True)
        self._timer = timer(self, self.changed.emit, TYPING_MS)
        of_images = (self.source, self.video, self.licence)
        self._boxes = (*of_images, self.proposal, self.flag, self.moment, self.show_of)
        """The boxes whose first entry asks for nothing."""
        self._lay_out(bool(walls))
        for title, name in walls:
            self.wall.addItem(title, name)
        self.wall.setVisible(bool(walls))
        self.offer(FilterChoices((), (), ()), ())
        self.show_moment(None, "")
        for box in (*self._boxes, self.wall, self.label):
            box.currentIndexChanged.connect(self._timer.start)
        for number in (self.size_box, self.score_box):
            number.valueChanged.connect(self._timer.start)
        self.text.textChanged.connect(self._timer.start)

    def _choice(self) -> QComboBox:
        box = QComboBox(self)
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        box.setMinimumContentsLength(7)
        return box

    def _lay_out(self, walls: bool) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(6, 4, 6, 4)
        grid.setVerticalSpacing(4)
        first = ((self.tr("Show"), self.wall),) if walls else ()
        parts: tuple[tuple[str, QWidget], ...] = (
            *first,
            (self.tr("Class"), self.label),
            (self.tr("Source"), self.source),
            (self.tr("Episode"), self.video),
            (self.tr("Text"), self.text),
            (self.tr("Licence"), self.licence),
            (self.tr("Size from"), self.size_box),
            (self.tr("Score from"), self.score_box),
            (self.tr("Proposal"), self.proposal),
            (self.tr("Quality"), self.flag),
            (self.tr("Of show"), self.show_of),
            (self.tr("Moment"), self.moment),
        )
        for number, (name, part) in enumerate(parts, len(first)):
            line, place = divmod(number, ACROSS)
            wide = part is self.wall  # it takes the place before, too
            label = QLabel(name)
            label.setBuddy(part)
            part.setAccessibleName(name)
            part.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            self._labels[part] = label
            grid.addWidget(label, line, 2 * (place - wide))
            grid.addWidget(part, line, 2 * (place - wide) + 1, 1, 1 + 2 * wide)
            grid.setColumnStretch(2 * place + 1, 2 if place == 0 else 1)

    def offer(self, traits: FilterChoices, classes: Sequence[str]) -> None:
        """Offer what can be chosen; what is chosen stays chosen."""
        names: Choices = [(name, name) for name in classes]
        for box, values in (
            (self.source, [(name, name) for name in traits.sources]),
            (self.video, [(name, sha256) for sha256, name in traits.videos]),
            (self.licence, [(name, name) for name in traits.licences]),
            (self.proposal, [(self.tr("none"), ""), *names]),
            (self.show_of, [(name, name) for name in traits.shows]),
            (self.flag, [(flag_name(flag.name), flag.name) for flag in FLAGS]),
        ):
            self._fill(box, [(self.tr("all"), None), *values])
        self._fill(self.label, [*self._places, *names])
        self._show_part(self.show_of, bool(traits.shows))

    @staticmethod
    def _fill(box: QComboBox, values: Choices) -> None:
        kept = box.currentData()
        box.blockSignals(True)
        box.clear()
        for name, value in values:
            box.addItem(name, value)
        box.setCurrentIndex(max(box.findData(kept), 0))
        box.blockSignals(False)

    def show_moment(self, sample: int | None, title: str) -> None:
        """Ask only for the moment of a sample (row); None for those of all."""
        self.moment.blockSignals(True)
        self.moment.clear()
        self.moment.addItem(self.tr("all"), None)
        if sample is not None:
            self.moment.addItem(self.tr("that of {title}").format(title=title), sample)
            self.moment.setCurrentIndex(1)
        self._show_part(self.moment, sample is not None)  # only a face's menu can choose one
        self.moment.blockSignals(False)

    def _show_part(self, part: QWidget, shown: bool) -> None:
        """Show a filter with its name; what cannot be chosen is not there."""
        for widget in (part, self._labels[part]):
            widget.setVisible(shown)

    def show_place(self, target: str) -> None:
        """Choose a class or a place, which is shown already."""
        self.label.blockSignals(True)
        if self.label.findData(target) < 0:
            self.label.addItem(target, target)
        self.label.setCurrentIndex(self.label.findData(target))
        self.label.blockSignals(False)

    def place(self) -> str:
        """Return the class or the place that is chosen."""
        return str(self.label.currentData())

    def place_name(self) -> str:
        """Return what that is called."""
        return self.label.currentText()

    def clear(self) -> None:
        """Ask for nothing any more; the place and the wall stay."""
        for box in self._boxes:
            box.setCurrentIndex(0)
        if not self._by_place:
            self.label.setCurrentIndex(0)
        self.show_moment(None, "")
        self.size_box.setValue(0)
        self.score_box.setValue(0)
        self.text.clear()
        self._timer.stop()
        self.changed.emit()

    def wall_name(self) -> str:
        """Return which wall is chosen."""
        return str(self.wall.currentData())

    def wanted(self) -> SampleFilter:
        """Return which traits are asked for."""
        return SampleFilter(
            None if self._by_place else self.label.currentData(),
            self.source.currentData(),
            self.video.currentData(),
            self.licence.currentData(),
            self.score_box.value() or None,
            self.size_box.value() or None,
            self.text.text().strip() or None,
            self.proposal.currentData(),
            next((flag for flag in FLAGS if flag.name == self.flag.currentData()), None),
            self.moment.currentData(),
            self.show_of.currentData(),
        )


class FilteredView(SendingView):
    """Faces that the filters of a `bar` leave; only the last answer to what is asked counts."""

    bar: FilterBar

    def __init__(self, context: ViewContext) -> None:
        super().__init__(context)
        self._asked = 0
        self.title = title_label()
        self.title.setMargin(6)

    def read_choices(self) -> None:
        """Read what can be chosen in the bar."""

        def read(session: SortingSession) -> tuple[FilterChoices, list[str]]:
            return Reviews(session.dataset.db).traits(), session.dataset.classes.names()

        self.worker.ask(read, lambda choices: self.offer(*choices))

    def offer(self, traits: FilterChoices, classes: Sequence[str]) -> None:
        """Offer what can be chosen."""
        self.bar.offer(traits, classes)

    def ask_last(self, read: Callable[[SortingSession], T], then: Callable[[T], object]) -> None:
        """Read something, and show it unless something else was asked for since."""
        number = self._asked

        def answered(answer: T) -> None:
            if number == self._asked:
                then(answer)

        self.worker.ask(read, answered)
