"""The grid: the faces of one class or place, filtered and sorted."""

from collections.abc import Sequence

from PySide6.QtCore import QSettings

from gleanset.db.views import NO_FILTER, FilterChoices, OrderedRows
from gleanset.operations import Operation
from labeler.duplicates.plan import restore_duplicates
from labeler.qt.grid.gesture_view import GridCommand
from labeler.qt.grid.layout import Section
from labeler.qt.grid.model import TileMark, TileState
from labeler.qt.keyboard import PLACE_KEYS
from labeler.qt.translations import target_name, tr
from labeler.qt.views.base import ViewContext
from labeler.qt.views.review import FilteredView
from labeler.sorting.grid_query import (
    ALL_PLACES,
    DUPLICATES,
    GridQuery,
    count_grid_rows,
    count_known,
    list_grid_rows,
)
from labeler.sorting.session import Place, SortingProgress, StepResult

SIDE_SETTING = "side"


class GridView(FilteredView):
    """Faces of a class or place. Tiles that were sent elsewhere stay until it is opened again.

    The title shows the current count, as the class list does. Undone faces return at once.
    """

    def __init__(self, context: ViewContext):
        orders = {
            tr("By order added"): "arrival",
            tr("By suggestion"): "proposal",
            tr("By video time"): "time",
            tr("By source"): "source",
            tr("By size"): "size",
        }
        places = [
            *((target_name(target), target) for target in PLACE_KEYS),
            (tr("Duplicates"), DUPLICATES),
            (tr("All faces"), ALL_PLACES),
        ]
        super().__init__(context, tr("Sort by"), orders, places)
        self.choice.setToolTip(tr("Sort by"))
        self.place = Place.QUEUE.target
        self._query = GridQuery(self.place)
        self._count = self._new_count = 0
        self.hints.setText(
            tr(
                "G: class pages, ten times quicker · 1–9: class of a face · /: new class · "
                "Space: enlarge · F1: all keys"
            )
        )

        self.view.set_side(int(str(QSettings().value(SIDE_SETTING, self.view.side))))
        self.bar.changed.connect(self._filters_changed)
        self.worker.progressed.connect(self._recount)
        self.worker.changed_outside.connect(self._count_new)

    def enter(self) -> None:
        self.read_choices()
        self.open_place(self.place)

    def offer(self, traits: FilterChoices, classes: Sequence[str]) -> None:
        """Offer classes in the order of the user; keep the current place."""
        super().offer(traits, list(self.worker.keys) or classes)
        self.bar.show_place(self.place)

    def open_place(self, place: str) -> bool:
        self.place = place
        self.bar.show_place(place)
        self.reload()
        return True

    def reload(self) -> None:
        self._request += 1
        query = GridQuery(
            self.place, self.bar.sample_filter(), str(self.choice.currentData())
        )
        self.ask_last(
            lambda session: list_grid_rows(session.dataset, query),
            lambda rows: self._show_rows(query, rows),
        )

    def _filters_changed(self) -> None:
        self.place = str(self.bar.label.currentData())
        self.reload()

    def _show_rows(self, query: GridQuery, rows: OrderedRows) -> None:
        self._sent.clear()
        self._query = query
        self.set_current_place(query.target)
        self.model.only_waiting = query.target == Place.QUEUE.target
        self.model.only_label = query.label
        self.model.show(rows.ids, self._sections(rows))
        self._new_count = 0
        self._count = len(rows.ids)
        self._show_title()
        self._show_notice()

    def _show_notice(self) -> None:
        counts = self.worker.counts
        self.hints.has_classes = bool(self.worker.keys)
        self.hints.setVisible(counts is None or counts.total > 0)
        query = self._query
        if self.model.rowCount() or counts is None:
            self.empty.show_notice(None)
        elif query.sample_filter != NO_FILTER:
            self.show_no_match()
        elif not counts.total and query.target != DUPLICATES:
            self.show_no_faces()
        elif query.target in (Place.QUEUE.target, ALL_PLACES):
            self.show_all_sorted(counts)
        else:
            self.empty.show_notice(self.empty_place(self.bar.label.currentText()))

    def _sections(self, rows: OrderedRows) -> list[Section]:
        untitled = {
            "proposal": tr("No suggestion"),
            "source": tr("No source"),
            "time": tr("Not from a video"),
        }

        order = self._query.order
        # In the orders by arrival and by size, a single section needs no heading.
        if len(rows.sections) <= 1 and order not in untitled:
            return [Section("", len(rows.ids))]
        mark = "?" if order == "proposal" else ""
        other = untitled.get(order, "")
        return [
            Section(f"{f'{title}{mark}' if title else other}  ·  {count:,}", count)
            for title, count in rows.sections
        ]

    def _show_title(self) -> None:
        name = self.bar.label.currentText()
        counts = self.worker.counts
        total = count_known(counts, self._query.target) if counts is not None else 0
        is_filtered = self._query.sample_filter != NO_FILTER
        text = tr(
            "{name} · {shown} of {count} faces"
            if is_filtered
            else "{name} · {count} faces",
            name=name,
            shown=f"{self._count:,}",
            count=total if is_filtered else self._count,
        )
        if self._query.target == DUPLICATES:
            text += tr("  ·  Q or K: not a duplicate, restore")
        if self._new_count:
            text += tr(
                "  ·  {count} new: press Enter to show them", count=self._new_count
            )

        self.title.setText(text)

    def _recount(self, progress: SortingProgress) -> None:
        if not self.isVisible():
            return
        query = self._query

        def show(count: int) -> None:
            if query == self._query:
                self._count = count
                self._show_title()
                if not self.model.rowCount():
                    self._show_notice()

        if query.sample_filter == NO_FILTER:
            show(count_known(progress.counts, query.target))
        else:
            self.worker.ask(
                lambda session: count_grid_rows(session.dataset, query), show
            )

    def class_changed(self, operation: Operation) -> None:
        name = self.current_names(operation).get(self.place)
        if name is not None and self._query.target == self.place:
            self.place = name
            self.bar.show_place(name)
            self.reload()

    def step_reverted(self, step: StepResult) -> None:
        """Show at once the faces that an undo brings to this place."""
        self._look_for_new(shows=True)

    def _count_new(self) -> None:
        # Changes of another process are counted in the title; no tile moves.
        if self.isVisible():
            self._look_for_new(shows=False)

    def _look_for_new(self, *, shows: bool) -> None:
        query = self._query

        def compare(rows: OrderedRows) -> None:
            new_count = sum(self.model.row_of(row) < 0 for row in rows.ids)
            if shows:
                if new_count:
                    # Keep the scroll position, which showing other samples resets.
                    scrolled = self.view.verticalOffset()
                    self._show_rows(query, rows)
                    self.view.verticalScrollBar().setValue(scrolled)

                return

            self._new_count = new_count
            self._count = len(rows.ids)
            self._show_title()

        self.ask_last(
            lambda session: list_grid_rows(session.dataset, query),
            compare,
        )

    def send_rows(self, rows: Sequence[int], target: str, provenance: str) -> None:
        """Send tiles; duplicates can only be restored."""
        if self._query.target != DUPLICATES:
            super().send_rows(rows, target, provenance)
        elif target == Place.QUEUE.target:
            ids = self.model.ids(rows)
            self.decide_rows(
                dict.fromkeys(rows, TileState(TileMark.SENT, "✓")),
                lambda session: session.adopt(restore_duplicates(session.dataset, ids)),
            )
        else:
            self.worker.show_message(
                tr("These are marked as duplicates: press Q or K to restore them first")
            )

    def run_command(self, command: GridCommand, rows: list[int]) -> None:
        if command is GridCommand.ENTER:
            self.enter()
            self.worker.show_message(tr("Refreshed"))
        elif command is GridCommand.KEEP_ALL and self._query.target == DUPLICATES:
            # K restores duplicates, as Q does.
            super().run_command(GridCommand.QUEUE, rows)
        else:
            super().run_command(command, rows)

    def flush(self) -> None:
        """Remember the size of the tiles, too."""
        super().flush()
        QSettings().setValue(SIDE_SETTING, self.view.side)
