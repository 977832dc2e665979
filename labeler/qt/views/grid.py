"""The grid: one place of the class list, all of it or what filters leave, in a chosen order."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import TypeVar

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QComboBox, QToolButton

from gleanset.db.views import ANYTHING, FilterChoices, OrderedRows
from gleanset.operations import Operation
from labeler.duplicates.decisions import restore_duplicates
from labeler.qt.grid.gesture_view import GridCommand, Select
from labeler.qt.grid.layout import Section
from labeler.qt.grid.model import UNMARKED, TileMark, TileState
from labeler.qt.translations import singular
from labeler.qt.views.base import ViewContext
from labeler.qt.views.notices import nothing_fits, of_place
from labeler.qt.views.review import FilterBar, FilteredView
from labeler.qt.widgets import beside, name_part, pile
from labeler.sorting.grid_rows import (
    ALL_PLACES,
    LIKENESS,
    SET_ASIDE,
    GridQuestion,
    brought_back,
    grid_count,
    grid_rows,
    known_count,
)
from labeler.sorting.session import Place, SortingProgress, StepResult

T = TypeVar("T")
NOTHING = OrderedRows(array("q"), ())


class GridView(FilteredView):
    """Everything of a class, or of what waits: drag, point and press, select, relabel.

    The title counts what the catalogue has now, as the class list does; tiles that were sent away
    stay where they are until the place is opened anew. What an undo brings back comes at once.
    """

    def __init__(self, context: ViewContext) -> None:
        super().__init__(context)
        self.place = Place.QUEUE.target
        self.scrolled = 0
        self._shown = GridQuestion(self.place)
        self._rows = NOTHING
        self._count = self._new = 0
        self._comparing = self.worker.create_task()
        self.order = QComboBox()
        self.turned, self.more = QToolButton(), QToolButton()
        self.bar = FilterBar(places=self._places())
        self._lay_out()
        self._comparing.done.connect(self._compared)
        self._comparing.failed.connect(lambda why: self.worker.show_message(why, bad=True))
        self.order.currentIndexChanged.connect(self.reload)
        self.turned.toggled.connect(self._turn)
        self.more.toggled.connect(self._show_filters)
        self.bar.changed.connect(self._narrowed)
        self.worker.progressed.connect(self._recount)
        self.worker.changed_outside.connect(self._look_again)

    def _places(self) -> list[tuple[str, object]]:
        return [
            (self.tr("Not sorted yet"), Place.QUEUE.target),
            (self.tr("Skipped"), Place.LATER.target),
            (self.tr("Unlisted person"), Place.OTHER.target),
            (self.tr("Not a face"), Place.REJECT.target),
            (self.tr("Duplicates"), SET_ASIDE),
            (self.tr("All faces"), ALL_PLACES),
        ]

    def _lay_out(self) -> None:
        for title, name in (
            (self.tr("By order added"), "arrival"),
            (self.tr("By suggestion"), "proposal"),
            (self.tr("By similarity"), "likeness"),
            (self.tr("By video time"), "time"),
            (self.tr("By source"), "source"),
            (self.tr("By detection score"), "score"),
            (self.tr("By size"), "size"),
        ):
            self.order.addItem(title, name)
        name_part(self.order, self.tr("Sort by"))
        self.turned.setCheckable(True)
        self.turned.setText("↓")
        name_part(self.turned, self.tr("Reverse order"))
        self.more.setCheckable(True)
        self.more.setText(self.tr("Filters"))
        self.more.setToolTip(self.tr("Filters (Ctrl+F)"))
        shortcut = QShortcut(QKeySequence("Ctrl+F"), self)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(self._find)
        parts = (self.title, self.order, self.turned, self.more)
        pile(self, beside(*parts, grows=self.title, margins=(0, 2, 6, 2)), self.bar, self.view)
        self.bar.hide()

    # -- what is asked for

    def enter(self) -> None:
        self.read_choices()
        self.open_place(self.place)
        self.focus_home()

    def offer(self, traits: FilterChoices, classes: Sequence[str]) -> None:
        """Offer classes in the person's own order; the place that is shown stays chosen."""
        super().offer(traits, list(self.worker.keys) or classes)
        self.bar.show_place(self.place)

    def open_place(self, place: str) -> bool:
        self.place = place
        self.bar.show_place(place)
        self.reload()
        return True

    def question(self) -> GridQuestion:
        order = str(self.order.currentData())
        return GridQuestion(self.place, self.bar.wanted(), order, self.turned.isChecked())

    def reload(self) -> None:
        self._asked += 1
        asked = self.question()
        if asked.order == LIKENESS:
            self._compare()
        else:
            self.ask_last(
                lambda session: grid_rows(session.dataset, asked),
                lambda rows: self._opened(asked, rows),
            )

    def _compare(self) -> None:
        number, asked = self._asked, self.question()
        if self._comparing.start(lambda dataset, ended: (number, grid_rows(dataset, asked))):
            self.title.setText(self.tr("Comparing faces…"))

    def _compared(self, answer: tuple[int, OrderedRows]) -> None:
        number, rows = answer
        if number == self._asked:
            self._opened(self.question(), rows)
        elif self.question().order == LIKENESS:
            self._compare()  # something else was asked for meanwhile

    def is_settled(self) -> bool:
        return super().is_settled() and not self._comparing.busy

    def _narrowed(self) -> None:
        self.place = self.bar.place()
        self.reload()

    def _turn(self, turned: bool) -> None:
        self.turned.setText("↑" if turned else "↓")
        self.reload()

    def _show_filters(self, shown: bool) -> None:
        self.bar.setVisible(shown)
        if not shown and self.bar.wanted() != ANYTHING:
            self.bar.clear()

    def _find(self) -> None:
        self.more.setChecked(True)
        self.bar.text.setFocus()
        self.bar.text.selectAll()

    def show_group(self, sample: int, title: str) -> None:
        """Show all faces of the moment that a sample (row) is of."""
        self.more.setChecked(True)
        self.bar.show_group(sample, title)
        self.open_place(ALL_PLACES)

    # -- what is shown

    def _opened(self, asked: GridQuestion, rows: OrderedRows) -> None:
        self.clear_sent()
        self._shown, self._rows = asked, rows
        self.set_current_place(asked.target)
        self.model.only_waiting = asked.target == Place.QUEUE.target
        self.model.only_label = asked.label
        self.model.show(rows.ids, self._sections(rows))
        if self.scrolled:
            self.view.verticalScrollBar().setValue(self.scrolled)
            self.scrolled = 0
        self._new, self._count = 0, len(rows.ids)
        self._say()
        self._explain()

    def _explain(self) -> None:
        counts, asked = self.worker.progress.counts if self.worker.progress else None, self._shown
        if self.model.rowCount() or counts is None:
            self.empty.show_notice(None)
        elif asked.chosen != ANYTHING:
            self.empty.show_notice(nothing_fits(self.bar.clear))
        elif not counts.total and asked.target != SET_ASIDE:
            self.show_no_faces()
        else:
            name, key = self.bar.place_name(), self.key_of(asked.target) if asked.label else ""
            self.empty.show_notice(of_place(self, asked.target, name, key, counts))

    def _sections(self, rows: OrderedRows) -> list[Section]:
        if len(rows.sections) <= 1 and self._shown.order not in ("proposal", "source", "time"):
            return [Section("", len(rows.ids))]
        nothing = {
            "proposal": self.tr("No suggestion"),
            "source": self.tr("No source"),
            "time": self.tr("Not from a video"),
        }.get(self._shown.order, "")
        question = "?" if self._shown.order == "proposal" else ""
        return [
            Section(f"{f'{title}{question}' if title else nothing}  ·  {count:,}", count)
            for title, count in rows.sections
        ]

    def _say(self) -> None:
        name, counts = (
            self.bar.place_name(),
            self.worker.progress.counts if self.worker.progress else None,
        )
        whole = known_count(counts, self._shown.target) if counts is not None else None
        text = self.tr("{name} · {count} faces")
        if self._shown.chosen != ANYTHING and whole is not None:
            text = self.tr("{name} · {count} of {all} faces")
        text = singular(text, self._count if self._shown.chosen == ANYTHING else whole or 0)
        text = text.format(name=name, count=f"{self._count:,}", all=f"{whole or 0:,}")
        if self._shown.target == SET_ASIDE:
            text += self.tr("  ·  Q or K: not a duplicate, restore")
        if self._new:
            text += self.tr("  ·  {count} new: press Enter to show them").format(count=self._new)
        self.title.setText(text)

    # -- what changes while it is shown

    def _recount(self, progress: SortingProgress) -> None:
        """Count anew after every step: the title says what the class list says."""
        if not self.isVisible():
            return
        asked, known = self._shown, known_count(progress.counts, self._shown.target)
        if asked.chosen == ANYTHING and known is not None:
            self._counted(asked, known)
        else:
            self.worker.ask(
                lambda session: grid_count(session.dataset, asked),
                lambda count: self._counted(asked, count),
            )

    def _counted(self, asked: GridQuestion, count: int) -> None:
        if asked == self._shown:
            self._count = count
            self._say()
            if not self.model.rowCount():
                self._explain()

    def class_changed(self, operation: Operation) -> None:
        """Follow the class that is shown to its new name."""
        name = self.current_names(operation).get(self.place)
        self.read_choices()
        if name is not None and self._shown.target == self.place:
            self.place = name
            self.bar.show_place(name)
            self.reload()

    def step_reverted(self, done: StepResult) -> None:
        """Bring back at once what an undo brings to this place, and is not shown."""
        shown = self._rows
        self._read_again(lambda rows: brought_back(shown, rows), self._bring_back)

    def _look_again(self) -> None:
        """Another program has changed something: say what is new here, and move nothing."""
        if self.isVisible():
            self._read_again(lambda rows: rows, self._note_new)

    def _read_again(self, made: Callable[[OrderedRows], T], then: Callable[[T], None]) -> None:
        """Read what is shown once more, and show `then` what is `made` of it beside the window."""
        asked = self._shown
        plain = asked._replace(order="arrival") if asked.order == LIKENESS else asked
        self.ask_last(lambda session: made(grid_rows(session.dataset, plain)), then)

    def _note_new(self, rows: OrderedRows) -> None:
        self._new = len(self.model.missing(rows.ids))
        self._count = len(rows.ids)
        self._say()

    def _bring_back(self, answer: tuple[OrderedRows, int] | None) -> None:
        """Show what is missing where its order puts it; all other tiles keep theirs."""
        if answer is None:
            return
        together, first = answer
        bar = self.view.verticalScrollBar()
        before, chosen = bar.value(), [self.model.id(row) for row in self.view.selected_rows()]
        self._rows, seen = together, set(self.view.seen)
        self.model.renew(self._rows.ids, self._sections(self._rows))
        self.view.seen |= seen
        bar.setValue(before)
        rows = self._rows_of(chosen)
        self.view.select_ranges([(row, row) for row in rows], Select.ClearAndSelect)
        self.view.scrollTo(self.model.index(self.model.row_of(first)))
        self._new = 0
        self._say()
        self._explain()

    def send_rows(self, rows: Sequence[int], target: str, how: str) -> None:
        """Send tiles; of copies that were set aside there is only a way back."""
        if self._shown.target != SET_ASIDE:
            super().send_rows(rows, target, how)
        elif target == Place.QUEUE.target:
            self._take_back(rows)
        else:
            self.model.set_state(rows, UNMARKED)
            self.worker.show_message(
                self.tr("These are marked as duplicates: press Q or K to restore them first")
            )

    def _take_back(self, rows: Sequence[int]) -> None:
        if not rows:
            self.worker.show_message(self.tr("Point at a face first"))
            return
        ids = self.model.ids(rows)
        self.model.set_state(rows, TileState(TileMark.SENT, "✓"))
        self.decide_rows(
            rows, lambda session: session.adopt(restore_duplicates(session.dataset, ids), len(ids))
        )

    def commanded(self, command: GridCommand, rows: list[int]) -> None:
        if command is GridCommand.ENTER:
            self.enter()
            self.worker.show_message(self.tr("Refreshed"))
        elif command is GridCommand.KEEP_ALL and self._shown.target == SET_ASIDE:
            self._take_back(rows)
        else:
            super().commanded(command, rows)
