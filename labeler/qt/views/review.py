"""The filter bar of the grid and the review, and the review of labels.

The review shows outliers, contradicted labels or quality issues. Enter accepts the suggestions of
the selected faces, K keeps their labels.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QComboBox,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from gleanset.db.journal import REVIEW
from gleanset.db.views import NO_FILTER, FilterChoices, Reviews, SampleFilter
from gleanset.operations import Operation
from labeler.qt.grid.gesture_view import GestureView, GridCommand
from labeler.qt.grid.layout import Section
from labeler.qt.grid.model import TileMark, TilePrediction, TileState
from labeler.qt.translations import tr
from labeler.qt.views.base import NextStep, Notice, ViewContext
from labeler.qt.views.labeling import LabelingView
from labeler.qt.widgets import HEAD, KeyHints, TitleLabel, row_layout, set_column, timer
from labeler.review import (
    NO_PAGE,
    ReviewPage,
    accept_suggestions,
    confirm_labels,
    load_review_page,
)
from labeler.sorting.session import SortingSession, StepResult

T = TypeVar("T")
TYPING_MS = 300
MAX_SHELF_TILES = 40
"""Number of tiles up to which sections are side by side."""


Choices = Sequence[tuple[str, object]]
"""Texts and the values that they stand for."""


class FilterBar(QWidget):
    """Filters of faces; `changed` shortly after the last input.

    With `places`, a place or a class is always chosen; otherwise the class is a filter like the
    others.
    """

    changed = Signal()

    def __init__(self, places: Choices = ()):
        super().__init__()
        self._places = tuple(places) or ((tr("all"), None),)
        self._by_place = bool(places)
        self.label = self._choice()
        self.source = self._choice()
        self.video = self._choice()

        self._boxes = (self.source, self.video)
        """The boxes whose first entry means no filter."""
        self.text = QLineEdit(clearButtonEnabled=True)
        self.text.setPlaceholderText(tr("Title, query, author, tag…"))
        self._timer = timer(self, self.changed.emit, TYPING_MS)
        self._lay_out()
        self.offer(FilterChoices((), ()), ())
        for box in (*self._boxes, self.label):
            box.currentIndexChanged.connect(self._timer.start)
        self.text.textChanged.connect(self._timer.start)
        self.hide()

    def _choice(self) -> QComboBox:
        box = QComboBox(self)
        box.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        box.setMinimumContentsLength(7)
        return box

    def _lay_out(self) -> None:
        parts = {
            tr("Class"): self.label,
            tr("Source"): self.source,
            tr("Episode"): self.video,
            tr("Text"): self.text,
        }

        row = []
        for name, part in parts.items():
            label = QLabel(name)
            label.setBuddy(part)
            part.setAccessibleName(name)
            part.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            row += [label, part]

        self.setLayout(row_layout(*row, margins=(6, 4, 6, 4)))

    def offer(self, traits: FilterChoices, classes: Sequence[str]) -> None:
        """Fill the boxes; the current choices are kept."""
        for box, values in (
            (self.source, [(name, name) for name in traits.sources]),
            (self.video, [(name, sha256) for sha256, name in traits.videos]),
        ):
            self._fill(box, [(tr("all"), None), *values])
        self._fill(
            self.label,
            [*self._places, *((name, name) for name in classes)],
        )

    @staticmethod
    def _fill(box: QComboBox, values: Choices) -> None:
        current = box.currentData()
        with QSignalBlocker(box):
            box.clear()
            for name, value in values:
                box.addItem(name, value)
            box.setCurrentIndex(max(box.findData(current), 0))

    def show_place(self, target: str | None) -> None:
        """Select a class or place, or all, without emitting `changed`."""
        with QSignalBlocker(self.label):
            if self.label.findData(target) < 0:
                self.label.addItem(str(target), target)
            self.label.setCurrentIndex(self.label.findData(target))

    def clear(self) -> None:
        """Remove all filters; the place stays."""
        for box in self._boxes:
            box.setCurrentIndex(0)
        if not self._by_place:
            self.label.setCurrentIndex(0)
        self.text.clear()
        self._timer.stop()
        self.changed.emit()

    def sample_filter(self) -> SampleFilter:
        return SampleFilter(
            label=None if self._by_place else self.label.currentData(),
            source=self.source.currentData(),
            video=self.video.currentData(),
            text=self.text.text().strip() or None,
        )


class FilteredView(LabelingView):
    """Faces that match the filters of a `bar`, in a list or an order that is chosen in a box.

    Only the last request is shown.
    """

    def __init__(
        self,
        context: ViewContext,
        name: str,
        choices: Mapping[str, str],
        places: Choices = (),
    ):
        super().__init__(context)
        self._request = 0
        self.bar = FilterBar(places)
        self.choice = QComboBox()
        self.choice.setAccessibleName(name)
        for title, value in choices.items():
            self.choice.addItem(title, value)
        self.choice.currentIndexChanged.connect(self.reload)
        self.hints = KeyHints()
        self.title = TitleLabel()
        self.filter_button = QToolButton()
        self.filter_button.setCheckable(True)
        self.filter_button.setText(tr("Filters"))
        self.filter_button.setToolTip(tr("Filters (Ctrl+F)"))
        self.filter_button.toggled.connect(self._show_filters)
        self.worker.classes_changed.connect(self.read_choices)
        QShortcut(
            QKeySequence("Ctrl+F"),
            self,
            self._focus_search,
            context=Qt.ShortcutContext.WidgetWithChildrenShortcut,
        )

        head = row_layout(
            self.title, self.choice, self.filter_button, grows=self.title, margins=HEAD
        )
        set_column(self, head, self.bar, self.view, self.hints)

    def reload(self) -> None:
        """Read the faces again."""
        raise NotImplementedError

    def _show_filters(self, visible: bool) -> None:
        self.bar.setVisible(visible)
        if not visible and self.bar.sample_filter() != NO_FILTER:
            self.bar.clear()

    def _focus_search(self) -> None:
        self.filter_button.setChecked(True)
        self.bar.text.setFocus()
        self.bar.text.selectAll()

    def show_no_match(self) -> None:
        """Explain that the filters leave nothing."""
        self.empty.show_notice(
            Notice(
                tr("No faces match the filters"),
                steps=(NextStep(tr("Clear filters"), self.bar.clear),),
            )
        )

    def read_choices(self) -> None:
        def read(session: SortingSession) -> tuple[FilterChoices, list[str]]:
            choices = Reviews(session.dataset.db).get_filter_choices()
            return choices, session.dataset.classes.list_names()

        self.worker.ask(read, lambda choices: self.offer(*choices))

    def offer(self, traits: FilterChoices, classes: Sequence[str]) -> None:
        self.bar.offer(traits, classes)

    def ask_last(
        self, read: Callable[[SortingSession], T], then: Callable[[T], object]
    ) -> None:
        """Read something, and pass it to `then` unless another request followed."""
        number = self._request

        def use(answer: T) -> None:
            if number == self._request:
                then(answer)

        self.worker.ask(read, use)


class ReviewGrid(GestureView):
    """Tiles with the suggested class as their caption; one is always pointed at."""

    def set_point(self, row: int) -> None:
        """Point at a tile; without one, as when the mouse leaves, keep pointing at the last."""
        if row < 0 and self.tiles.rowCount():
            row = self.point if 0 <= self.point < self.tiles.rowCount() else 0
        super().set_point(row)

    def caption(self, row: int) -> str:
        suggestion = self.tiles.prediction(row)
        if suggestion.label is None:
            return ""
        percent = (
            f" {round(suggestion.confidence * 100)} %" if suggestion.confidence else ""
        )
        return f"→ {suggestion.label}{percent}"


class ReviewView(FilteredView):
    """A list of faces to review; relabelled ones stay in place until it is read again."""

    grid_class = ReviewGrid
    view: ReviewGrid

    def __init__(self, context: ViewContext):
        choices = {
            tr("Doubtful labels"): "doubtful",
            tr("By class, outliers first"): "outliers",
            tr("Label issues"): "label-issues",
            tr("Quality issues"): "flags",
        }
        super().__init__(context, tr("Show"), choices)
        self._page = NO_PAGE
        self.choice.activated.connect(self._note_choice)
        self._is_chosen = False
        self.bar.changed.connect(self.reload)
        self.worker.classes_changed.connect(self._remove_classes)

    def enter(self) -> None:
        self.read_choices()
        if not self._is_chosen and self.bar.sample_filter() == NO_FILTER:
            self._page = NO_PAGE
            self.choice.setCurrentIndex(0)
        self.reload()

    def _note_choice(self) -> None:
        self._is_chosen = True

    def class_changed(self, operation: Operation) -> None:
        self._page = self._page.with_new_names(self.current_names(operation))
        self.model.set_titles(
            self._sections(self._page),
            self._suggestions(self._page),
        )
        self.view.lay_out()

    def _remove_classes(self, removed: set[str]) -> None:
        suggestions = self._page.suggestions.values()
        if any(suggestion.label in removed for suggestion in suggestions):
            self.reload()

    def open_place(self, place: str) -> bool:
        """Show only one class; other places belong to the grid."""
        if place.startswith(":"):
            return False
        self.bar.show_place(place)
        self.filter_button.setChecked(True)
        self.reload()
        return True

    def reload(self) -> None:
        name, sample_filter = self.choice.currentData(), self.bar.sample_filter()
        self._request += 1
        self.ask_last(
            lambda session: load_review_page(session.dataset, name, sample_filter),
            self._show,
        )

    def _show(self, page: ReviewPage) -> None:
        # If the first list is empty and was not chosen, show the second one: `reload` follows.
        if self._page is NO_PAGE and not (self._is_chosen or page.ids):
            self.choice.setCurrentIndex(1)
        self._page = page
        self.set_current_place(self.bar.label.currentData() or "")
        self._sent.clear()
        self.view.point = -1
        self.model.show(
            page.ids,
            self._sections(page),
            self._suggestions(page),
        )
        self._show_rest()
        if len(page.ids):
            self.empty.show_notice(None)
        elif (name := self.bar.sample_filter().label) is not None:
            title = tr("Nothing to review of {name} in this list", name=name)
            in_grid = NextStep(
                tr("Show {name} in the grid", name=name),
                partial(self.context.show_place, name),
            )
            clear = NextStep(tr("Show all classes"), self.bar.clear)
            self.empty.show_notice(Notice(title, steps=(in_grid, clear)))
        elif self.bar.sample_filter() != NO_FILTER:
            self.show_no_match()
        else:
            self.empty.show_notice(self.empty_wall(self.choice.currentData()))

    def _sections(self, page: ReviewPage) -> list[Section]:
        flags = {
            "blurred": tr("Blurred"),
            "black": tr("Nearly black"),
            "white": tr("Nearly white"),
            "tiny": tr("Tiny"),
        }

        names = flags if self.choice.currentData() == "flags" else {}
        sections = []
        for section in page.sections:
            title = names.get(section.title, section.title)
            sections.append(
                Section(
                    f"{title}  ·  {section.size:,}" if title else "",
                    section.size,
                    shares_shelf=bool(title) and section.size <= MAX_SHELF_TILES,
                )
            )

        return sections

    @staticmethod
    def _suggestions(page: ReviewPage) -> dict[int, TilePrediction]:
        return {
            sample: TilePrediction(*suggested)
            for sample, suggested in page.suggestions.items()
        }

    def run_command(self, command: GridCommand, rows: list[int]) -> None:
        keeps_or_accepts = command in (GridCommand.ENTER, GridCommand.KEEP_ALL)
        # All faces of the list are done: load what is left.
        if keeps_or_accepts and rows and not self.view.list_unmarked():
            self.reload()
        # The targets are done already.
        elif keeps_or_accepts and rows and not self.view.list_unmarked(rows):
            self._go_on()
        elif rows and set(rows).isdisjoint(self.view.in_sight()):
            # First show what the key will act on.
            self.view.scrollTo(self.model.index(rows[0]))
        elif command is GridCommand.ENTER:
            self._accept_suggestions(rows)
        elif command is GridCommand.KEEP_ALL:
            self._keep_labels(rows)
        else:
            super().run_command(command, rows)

    def _accept_suggestions(self, rows: Sequence[int]) -> None:
        suggested = self._page.suggestions
        targets = [
            row
            for row in self.view.list_unmarked(rows)
            if self.model.id(row) in suggested
        ]

        if not targets:
            self.worker.show_message(tr("No suggestion to accept: K keeps the label"))
            return

        if not self.view.all_seen(targets):
            return
        labels = {n: suggested[n].label for n in self.model.ids(targets)}
        states = {
            row: self.model.send_state(labels[self.model.id(row)]) for row in targets
        }

        self.decide_rows(states, lambda session: accept_suggestions(session, labels))
        self._go_on()

    def _keep_labels(self, rows: Sequence[int]) -> None:
        if not (rows := self.view.list_unmarked(rows)):
            self.worker.show_message(tr("Point at a face first"))
            return
        if not self.view.all_seen(rows):
            return
        tiles = [tile for row in rows if (tile := self.model.tile(row)) is not None]
        seen_labels = {tile.id: tile.label for tile in tiles if tile.label}
        states = dict.fromkeys(rows, TileState(TileMark.DONE, "✓"))
        self.decide_rows(states, lambda session: confirm_labels(session, seen_labels))
        self._go_on()

    def send_rows(self, rows: Sequence[int], target: str, provenance: str) -> None:
        """Send tiles, with the provenance of a review instead of `provenance`.

        Sent to the class that they have already, their label is confirmed.
        """
        super().send_rows(rows, target, REVIEW)

    def _go_on(self) -> None:
        self.view.mouse.leads = False  # from a face under the mouse, too
        rows = self.view.list_unmarked()
        # The next tile that is left, else the first one, else none (-1).
        following = (row for row in rows if row >= self.view.point)
        self.view.lead_to(next(following, [*rows, -1][0]))
        self._show_rest()

    def step_reverted(self, step: StepResult) -> None:
        """Show samples again whose step is undone, and the keys of a list with such samples."""
        if step.root in self._sent:
            self._show_rest()
        else:
            self.reload()

    def _show_rest(self) -> None:
        """Show how many faces are left to review, and the keys."""
        left = len(self.view.list_unmarked())
        text = tr(
            "Enter: accept suggestion · K: keep label · class key: relabel"
            if self._page.suggestions
            else "K: keep label · class key: relabel"
        )
        if not left:
            # Enter loads the next ones.
            text = tr("Enter: show what is left to review")
        self.title.setText(tr("{count} faces", count=left))
        self.hints.setText(text)
        self.hints.setVisible(self.model.rowCount() > 0)
