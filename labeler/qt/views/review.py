"""The one bar of filters, of the grid and of the review alike, and the review itself.

A second look: outliers, disagreements, flags, or whatever a search finds. The keys are those of
sorting. Enter takes what is suggested for what is chosen, K confirms the labels it has.
"""

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

from gleanset.db.views import ANYTHING, FilterChoices, Reviews, SampleFilter
from gleanset.operations import Operation
from labeler.qt.grid.gesture_view import GestureView, GridCommand
from labeler.qt.grid.layout import Section
from labeler.qt.grid.model import TileMark, TileProposal, TileState
from labeler.qt.translations import counted, tr
from labeler.qt.views.base import ViewContext
from labeler.qt.views.labeling import LabelingView
from labeler.qt.views.notices import nothing_fits, of_wall
from labeler.qt.widgets import pile, timer, title_label
from labeler.quality.flags import FLAGS
from labeler.review.session import Wall, keep_labels, take_suggestions, wall
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
        self.text.setPlaceholderText(self.tr("Title, query, author, tag…"))
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
        self.show_group(None, "")
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
            (self.tr("Min. size"), self.size_box),
            (self.tr("Min. score"), self.score_box),
            (self.tr("Suggestion"), self.proposal),
            (self.tr("Quality"), self.flag),
            (self.tr("Series"), self.show_of),
            (self.tr("Group"), self.moment),
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

    def show_group(self, sample: int | None, title: str) -> None:
        """Ask only for the moment of a sample (row); None for those of all."""
        self.moment.blockSignals(True)
        self.moment.clear()
        self.moment.addItem(self.tr("all"), None)
        if sample is not None:
            self.moment.addItem(self.tr("group of {title}").format(title=title), sample)
            self.moment.setCurrentIndex(1)
        self._show_part(self.moment, sample is not None)  # only a face's menu can choose one
        self.moment.blockSignals(False)

    def _show_part(self, part: QWidget, shown: bool) -> None:
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
        return str(self.label.currentData())

    def place_name(self) -> str:
        return self.label.currentText()

    def clear(self) -> None:
        """Ask for nothing any more; the place and the wall stay."""
        for box in self._boxes:
            box.setCurrentIndex(0)
        if not self._by_place:
            self.label.setCurrentIndex(0)
        self.show_group(None, "")
        self.size_box.setValue(0)
        self.score_box.setValue(0)
        self.text.clear()
        self._timer.stop()
        self.changed.emit()

    def wall_name(self) -> str:
        return str(self.wall.currentData())

    def wanted(self) -> SampleFilter:
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


class FilteredView(LabelingView):
    """Faces that the filters of a `bar` leave; only the last answer to what is asked counts."""

    bar: FilterBar

    def __init__(self, context: ViewContext) -> None:
        super().__init__(context)
        self._asked = 0
        self.title = title_label()
        self.title.setMargin(6)

    def read_choices(self) -> None:
        def read(session: SortingSession) -> tuple[FilterChoices, list[str]]:
            return Reviews(session.dataset.db).traits(), session.dataset.classes.names()

        self.worker.ask(read, lambda choices: self.offer(*choices))

    def offer(self, traits: FilterChoices, classes: Sequence[str]) -> None:
        self.bar.offer(traits, classes)

    def ask_last(self, read: Callable[[SortingSession], T], then: Callable[[T], object]) -> None:
        """Read something, and show it unless something else was asked for since."""
        number = self._asked

        def answered(answer: T) -> None:
            if number == self._asked:
                then(answer)

        self.worker.ask(read, answered)


def walls() -> list[tuple[str, object]]:
    """Return what can be looked at again: the title of each wall, and its name."""
    return [
        (tr("By class, outliers first"), "outliers"),
        (tr("Predicted as another class"), "model"),
        (tr("Label issues"), "doubts"),
        (tr("Accepted by page, lowest confidence first"), "page"),
        (tr("Quality issues"), "flags"),
        (tr("Everything"), "all"),
    ]


class ReviewGrid(GestureView):
    """Tiles that say what they may be instead."""

    def caption(self, row: int) -> str:
        proposed = self.tiles.proposal(row)
        if proposed.label is None:
            return ""
        sure = f" {round(proposed.confidence * 100)} %" if proposed.confidence else ""
        return f"→ {proposed.label}{sure}"


class ReviewView(FilteredView):
    """A wall with its filters. What is relabelled stays in place until the next look."""

    grids = ReviewGrid

    def __init__(self, context: ViewContext) -> None:
        super().__init__(context)
        self.bar = FilterBar(walls())
        self._wall: Wall | None = None
        pile(self, self.bar, self.title, self.view)
        self.bar.changed.connect(self.reload)
        self.worker.classes_changed.connect(self._leave_out)

    def enter(self) -> None:
        self.read_choices()
        self.reload()
        self.focus_home()

    def class_changed(self, operation: Operation) -> None:
        """Call a class by its new name; no face moves."""
        self.read_choices()
        if self._wall is not None:
            self._wall = self._wall.renamed(self.current_names(operation))
            self.model.retitle(self._sections(self._wall), self._proposed(self._wall))
            self.view.lay_out()

    def _leave_out(self, gone: set[str]) -> None:
        if self._wall is not None and any(s.label in gone for s in self._wall.suggested.values()):
            self.reload()

    def open_place(self, place: str) -> bool:
        """Show only one class. Places besides classes belong to the grid."""
        if place.startswith(":"):
            return False
        self.bar.label.setCurrentIndex(max(self.bar.label.findData(place), 0))
        return True

    def reload(self) -> None:
        name, wanted = self.bar.wall_name(), self.bar.wanted()
        self._asked += 1
        self.ask_last(lambda session: wall(session.dataset, name, wanted), self._show)

    def _show(self, shown: Wall) -> None:
        self._wall = shown
        self.set_current_place(self.bar.label.currentData() or "")
        self.clear_sent()
        self.model.show(shown.ids, self._sections(shown), self._proposed(shown))
        self.title.setText(self._words(len(shown.ids)))
        name = self.bar.wall_name()
        if len(shown.ids):
            self.empty.show_notice(None)
        elif self.bar.wanted() != ANYTHING:
            self.empty.show_notice(nothing_fits(self.bar.clear))
        else:
            self.empty.show_notice(of_wall(self, name, self.worker.root))

    def _sections(self, shown: Wall) -> list[Section]:
        named = flag_name if self.bar.wall_name() == "flags" else str
        return [
            Section(f"{named(title)}  ·  {count:,}" if title else "", count)
            for title, count in shown.sections
        ]

    @staticmethod
    def _proposed(shown: Wall) -> dict[int, TileProposal]:
        return {sample: TileProposal(*suggested) for sample, suggested in shown.suggested.items()}

    def _words(self, count: int) -> str:
        words = counted(self.tr("{count} faces"), count)
        if not count:
            return words
        hint = self.tr("Enter: accept suggestion · K: keep label · class key: relabel")
        if self._wall is None or not self._wall.suggested:
            hint = self.tr("K: keep label · class key: relabel")
        return f"{words}   ·   {hint}"

    def commanded(self, command: GridCommand, rows: list[int]) -> None:
        if command is GridCommand.ENTER:
            self._take(rows)
        elif command is GridCommand.KEEP_ALL:
            self._keep(rows)
        else:
            super().commanded(command, rows)

    def _take(self, rows: Sequence[int]) -> None:
        suggested = self._wall.suggested if self._wall else {}
        chosen = [row for row in rows if self.model.id(row) in suggested]
        if not chosen:
            self.worker.show_message(self.tr("Point at or select faces with a suggestion first"))
            return
        if not self.view.all_seen(chosen):
            return
        ids = self.model.ids(chosen)
        for row in chosen:
            label = suggested[self.model.id(row)].label
            self.model.set_state([row], TileState(TileMark.SENT, self.key_of(label), label))
        self.decide_rows(chosen, lambda session: take_suggestions(session, ids, suggested))

    def _keep(self, rows: Sequence[int]) -> None:
        if not rows:
            self.worker.show_message(self.tr("Point at a face first"))
            return
        if not self.view.all_seen(rows):
            return
        tiles = [tile for row in rows if (tile := self.model.tile(row)) is not None]
        seen = {tile.id: tile.label for tile in tiles if tile.label}
        self.model.set_state(rows, TileState(TileMark.DONE, "✓"))
        self.decide_rows(rows, lambda session: keep_labels(session, seen))
