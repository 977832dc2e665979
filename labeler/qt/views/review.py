"""The filter bar of the grid and the review, and the review of labels.

The review shows outliers, contradicted labels, quality issues or search results. Enter accepts the
suggestions of the selected faces, K keeps their labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QWidget,
)

from gleanset.db.views import NO_FILTER, FilterChoices, Reviews, SampleFilter
from gleanset.operations import Operation
from labeler.qt.grid.gesture_view import GestureView, GridCommand
from labeler.qt.grid.layout import Section
from labeler.qt.grid.model import TileMark, TilePrediction, TileState
from labeler.qt.translations import counted, tr
from labeler.qt.views.base import ViewContext
from labeler.qt.views.labeling import LabelingView
from labeler.qt.views.notices import empty_wall, no_matching_faces
from labeler.qt.widgets import HEAD, KeyHints, TitleLabel, row_layout, set_column, timer
from labeler.quality.flags import FLAGS
from labeler.review.session import ReviewPage, accept_suggestions, confirm_labels, load_review_page
from labeler.sorting.session import SortingSession

T = TypeVar("T")
TYPING_MS = 300
FILTERS_PER_ROW = 4


def flag_name(name: str) -> str:
    """Return the translated name of a quality flag."""
    names = {
        "blurred": tr("Blurred"),
        "black": tr("Nearly black"),
        "white": tr("Nearly white"),
        "tiny": tr("Tiny"),
    }
    return names.get(name, name)


Choices = Sequence[tuple[str, object]]
"""Texts and the values that they stand for."""


class FilterBar(QWidget):
    """Filters of faces; `changed` shortly after the last input.

    With `places`, a place or a class is always chosen; otherwise the class is a filter like the
    others. `walls` are the lists of the review.
    """

    changed = Signal()

    def __init__(self, walls: Choices = (), places: Choices = ()) -> None:
        super().__init__()
        self._places = tuple(places) or ((self.tr("all"), None),)
        self._by_place = bool(places)
        self._labels: dict[QWidget, QLabel] = {}
        self.wall, self.label, self.source, self.video = (self._choice() for _ in range(4))
        self.licence, self.proposal, self.flag = (self._choice() for _ in range(3))
        self.split_group, self.show_of = self._choice(), self._choice()
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
        self._boxes = (*of_images, self.proposal, self.flag, self.split_group, self.show_of)
        """The boxes whose first entry means no filter."""
        self._lay_out()
        for title, name in walls:
            self.wall.addItem(title, name)
        self.wall.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.wall.setVisible(bool(walls))
        self.offer(FilterChoices((), (), ()), ())
        self.show_group(None, "")
        for box in (*self._boxes, self.wall, self.label):
            box.currentIndexChanged.connect(self._timer.start)
        for number in (self.size_box, self.score_box):
            number.valueChanged.connect(self._timer.start)
        self.text.textChanged.connect(self._timer.start)
        self.hide()

    def _choice(self) -> QComboBox:
        box = QComboBox(self)
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        box.setMinimumContentsLength(7)
        return box

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(6, 4, 6, 4)
        grid.setVerticalSpacing(4)
        self.wall.setAccessibleName(self.tr("Show"))
        parts: tuple[tuple[str, QWidget], ...] = (
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
            (self.tr("Group"), self.split_group),
        )
        for number, (name, part) in enumerate(parts):
            row, column = divmod(number, FILTERS_PER_ROW)
            label = QLabel(name)
            label.setBuddy(part)
            part.setAccessibleName(name)
            part.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            self._labels[part] = label
            grid.addWidget(label, row, 2 * column)
            grid.addWidget(part, row, 2 * column + 1)
            grid.setColumnStretch(2 * column + 1, 2 if column == 0 else 1)

    def offer(self, traits: FilterChoices, classes: Sequence[str]) -> None:
        """Fill the boxes; the current choices are kept."""
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
        current = box.currentData()
        box.blockSignals(True)
        box.clear()
        for name, value in values:
            box.addItem(name, value)
        box.setCurrentIndex(max(box.findData(current), 0))
        box.blockSignals(False)

    def show_group(self, sample: int | None, title: str) -> None:
        """Filter by the group of a sample (row); None for no filter."""
        self.split_group.blockSignals(True)
        self.split_group.clear()
        self.split_group.addItem(self.tr("all"), None)
        if sample is not None:
            self.split_group.addItem(self.tr("group of {title}").format(title=title), sample)
            self.split_group.setCurrentIndex(1)
        # Only the menu of a face can choose one.
        self._show_part(self.split_group, sample is not None)
        self.split_group.blockSignals(False)

    def _show_part(self, part: QWidget, visible: bool) -> None:
        for widget in (part, self._labels[part]):
            widget.setVisible(visible)

    def show_place(self, target: str) -> None:
        """Select the current class or place without emitting `changed`."""
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
        """Remove all filters; the place and the wall stay."""
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

    def sample_filter(self) -> SampleFilter:
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
            self.split_group.currentData(),
            self.show_of.currentData(),
        )


class FilteredView(LabelingView):
    """Faces that match the filters of a `bar`; only the last request is shown."""

    bar: FilterBar

    def __init__(self, context: ViewContext) -> None:
        super().__init__(context)
        self._request = 0
        self.title, self.filter_button = TitleLabel(), QToolButton()
        self.filter_button.setCheckable(True)
        self.filter_button.setText(self.tr("Filters"))
        self.filter_button.setToolTip(self.tr("Filters (Ctrl+F)"))
        self.filter_button.toggled.connect(self._show_filters)
        shortcut = QShortcut(QKeySequence("Ctrl+F"), self)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(self._focus_search)

    def _show_filters(self, visible: bool) -> None:
        self.bar.setVisible(visible)
        if not visible and self.bar.sample_filter() != NO_FILTER:
            self.bar.clear()

    def _focus_search(self) -> None:
        self.filter_button.setChecked(True)
        self.bar.text.setFocus()
        self.bar.text.selectAll()

    def read_choices(self) -> None:
        def read(session: SortingSession) -> tuple[FilterChoices, list[str]]:
            return Reviews(
                session.dataset.db
            ).get_filter_choices(), session.dataset.classes.list_names()

        self.worker.ask(read, lambda choices: self.offer(*choices))

    def offer(self, traits: FilterChoices, classes: Sequence[str]) -> None:
        self.bar.offer(traits, classes)

    def ask_last(self, read: Callable[[SortingSession], T], then: Callable[[T], object]) -> None:
        """Read something, and pass it to `then` unless another request followed."""
        number = self._request

        def answered(answer: T) -> None:
            if number == self._request:
                then(answer)

        self.worker.ask(read, answered)


def walls() -> list[tuple[str, object]]:
    """Return the title and the name of each list of the review."""
    return [
        (tr("Doubtful labels"), "doubtful"),
        (tr("By class, outliers first"), "outliers"),
        (tr("Predicted as another class"), "model"),
        (tr("Label issues"), "label-issues"),
        (tr("Accepted by page, lowest confidence first"), "page"),
        (tr("Quality issues"), "flags"),
        (tr("Everything"), "all"),
    ]


class ReviewGrid(GestureView):
    """Tiles with the suggested class as their caption."""

    def caption(self, row: int) -> str:
        suggestion = self.tiles.prediction(row)
        if suggestion.label is None:
            return ""
        percent = f" {round(suggestion.confidence * 100)} %" if suggestion.confidence else ""
        return f"→ {suggestion.label}{percent}"


class ReviewView(FilteredView):
    """A list of faces to review; relabelled ones stay in place until it is read again."""

    grid_class = ReviewGrid

    def __init__(self, context: ViewContext) -> None:
        super().__init__(context)
        self.bar = FilterBar(walls())
        self._wall: ReviewPage | None = None
        self._leads_with_doubtful = True
        self.hints = KeyHints()
        parts = (self.title, self.bar.wall, self.filter_button)
        head = row_layout(*parts, grows=self.title, margins=HEAD)
        set_column(self, head, self.bar, self.view, self.hints)
        self.bar.changed.connect(self.reload)
        self.worker.classes_changed.connect(self._remove_classes)

    def enter(self) -> None:
        self.read_choices()
        self.reload()
        self.focus_home()

    def class_changed(self, operation: Operation) -> None:
        self.read_choices()
        if self._wall is not None:
            self._wall = self._wall.renamed(self.current_names(operation))
            self.model.set_titles(self._sections(self._wall), self._suggestions(self._wall))
            self.view.lay_out()

    def _remove_classes(self, removed: set[str]) -> None:
        suggestions = self._wall.suggested.values() if self._wall else ()
        if any(suggestion.label in removed for suggestion in suggestions):
            self.reload()

    def open_place(self, place: str) -> bool:
        """Show only one class; other places belong to the grid."""
        if place.startswith(":"):
            return False
        self.bar.label.setCurrentIndex(max(self.bar.label.findData(place), 0))
        return True

    def reload(self) -> None:
        name, sample_filter = self.bar.wall_name(), self.bar.sample_filter()
        self._request += 1
        self.ask_last(
            lambda session: load_review_page(session.dataset, name, sample_filter), self._show
        )

    def _show(self, page: ReviewPage) -> None:
        leads, self._leads_with_doubtful = self._leads_with_doubtful, False
        if leads and not page.ids:
            self.bar.wall.setCurrentIndex(1)  # loads the next list
        self._wall = page
        self.set_current_place(self.bar.label.currentData() or "")
        self.clear_sent()
        self.model.show(page.ids, self._sections(page), self._suggestions(page))
        self.title.setText(counted(self.tr("{count} faces"), len(page.ids)))
        keys = self.tr("K: keep label · class key: relabel")
        accept = self.tr("Enter: accept suggestion · K: keep label · class key: relabel")
        self.hints.setText(accept if page.suggested else keys)
        self.hints.setVisible(len(page.ids) > 0)
        name = self.bar.wall_name()
        if len(page.ids):
            self.empty.show_notice(None)
        elif self.bar.sample_filter() != NO_FILTER:
            self.empty.show_notice(no_matching_faces(self.bar.clear))
        else:
            self.empty.show_notice(empty_wall(self, name))

    def _sections(self, page: ReviewPage) -> list[Section]:
        format_title = flag_name if self.bar.wall_name() == "flags" else str
        return [
            Section(f"{format_title(title)}  ·  {count:,}" if title else "", count)
            for title, count in page.sections
        ]

    @staticmethod
    def _suggestions(page: ReviewPage) -> dict[int, TilePrediction]:
        return {sample: TilePrediction(*suggested) for sample, suggested in page.suggested.items()}

    def commanded(self, command: GridCommand, rows: list[int]) -> None:
        if command is GridCommand.ENTER:
            self._accept_suggestions(rows)
        elif command is GridCommand.KEEP_ALL:
            self._keep_labels(rows)
        else:
            super().commanded(command, rows)

    def _accept_suggestions(self, rows: Sequence[int]) -> None:
        suggested = self._wall.suggested if self._wall else {}
        targets = [row for row in rows if self.model.id(row) in suggested]
        if not targets:
            self.worker.show_message(self.tr("Point at or select faces with a suggestion first"))
            return
        if not self.view.all_seen(targets):
            return
        ids = self.model.ids(targets)
        for row in targets:
            label = suggested[self.model.id(row)].label
            self.model.set_state([row], TileState(TileMark.SENT, self.key_of(label), label))
        self.decide_rows(targets, lambda session: accept_suggestions(session, ids, suggested))

    def _keep_labels(self, rows: Sequence[int]) -> None:
        if not rows:
            self.worker.show_message(self.tr("Point at a face first"))
            return
        if not self.view.all_seen(rows):
            return
        tiles = [tile for row in rows if (tile := self.model.tile(row)) is not None]
        seen_labels = {tile.id: tile.label for tile in tiles if tile.label}
        self.model.set_state(rows, TileState(TileMark.DONE, "✓"))
        self.decide_rows(rows, lambda session: confirm_labels(session, seen_labels))
