"""Base of the views in which faces are labelled: keys, drops, menus, commands, pages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from PySide6.QtCore import QEvent, QObject, QPoint, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QMenu, QWidget

from gleanset.db.sorting import LabelCounts, SampleTile
from gleanset.db.views import NO_FILTER
from gleanset.errors import GleansetError
from gleanset.operations import Operation
from labeler.qt.grid.gesture_view import GestureView, GridCommand
from labeler.qt.grid.model import UNMARKED, TileMark, TileModel, TileState
from labeler.qt.session_worker import SessionWorker
from labeler.qt.views.base import LabelerView, ViewContext
from labeler.qt.views.notices import DetectionState, EmptyNotice, all_sorted, no_faces
from labeler.qt.views.overlays import EnlargedFaceOverlay
from labeler.qt.widgets import timer
from labeler.review.session import ReviewPage, load_review_page
from labeler.sorting.sample_images import local_originals
from labeler.sorting.session import BY_HAND, BY_SWEEP, Place, SortingSession, StepKind, StepResult


class FaceMenu(QMenu):
    """Context menu of faces; `tiles` are the loaded ones, first the one pointed at."""

    def __init__(self, parent: QWidget, worker: SessionWorker, tiles: list[SampleTile]) -> None:
        super().__init__(parent)
        self._worker, self._tiles = worker, tiles

    def show_at(self, point: QPoint) -> None:
        self.aboutToHide.connect(self.deleteLater)
        self.popup(point)

    def add_label_actions(self, send: Callable[[str], object]) -> None:
        keys = self._worker.keys
        classes = self.addMenu(self.tr("Label as"))
        classes.setEnabled(bool(keys))
        for name, key in keys.items():
            text = f"{name}\t{key.upper()}".replace("&", "&&")
            classes.addAction(text, partial(send, name))
        places = (
            (self.tr("Skip"), "L", Place.LATER),
            (self.tr("Unlisted person"), "O", Place.OTHER),
            (self.tr("Not a face"), "Del", Place.REJECT),
            (self.tr("Back to queue"), "Q", Place.QUEUE),
        )
        for text, key, place in places:
            self.addAction(f"{text}\t{key}", partial(send, place.target))
        self.addSeparator()

    def add_view_actions(
        self,
        enlarge: Callable[[], object],
        show_class: Callable[[str], object],
        show_group: Callable[[int, str], object],
    ) -> None:
        self.addAction(self.tr("Enlarge") + "\t" + self.tr("Space"), enlarge)
        if not self._tiles:
            return
        first = self._tiles[0]
        self.addAction(self.tr("Open full image"), lambda: self._with_files(open_file))
        if first.label:
            text = self.tr("Show class {label}").format(label=first.label).replace("&", "&&")
            self.addAction(text, lambda: show_class(str(first.label)))
        title = first.title or first.key[:8]
        self.addAction(self.tr("Show its group"), lambda: show_group(first.id, title))
        self.addSeparator()
        # Not a method: by the time of the answer, the menu is deleted.
        copy = partial(copy_text, self._worker)
        self.addAction(self.tr("Copy path"), lambda: self._with_files(copy))

    def _with_files(self, act: Callable[[list[str]], None]) -> None:
        regions = [tile.region for tile in self._tiles]
        self._worker.ask(lambda session: local_originals(session.dataset, regions), act)


def open_file(paths: list[str]) -> None:
    """Open the first file with the default program of the desktop."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(paths[0]))


def copy_text(worker: SessionWorker, lines: list[str]) -> None:
    """Copy lines to the clipboard and show a message."""
    QGuiApplication.clipboard().setText("\n".join(lines))
    worker.show_message(lines[0] if len(lines) == 1 else f"{lines[0]} … ({len(lines):,})")


PLACE_COMMANDS = {
    GridCommand.REJECT: Place.REJECT,
    GridCommand.LATER: Place.LATER,
    GridCommand.OTHER: Place.OTHER,
    GridCommand.QUEUE: Place.QUEUE,
}
CLASS_OPERATIONS = ("rename-class", "merge-class", "delete-class")
ENTER_DELAY_SECONDS = 0.3
REFIT_DELAY_MS = 120
PAGE_STEPS = {GridCommand.NEXT_PAGE: 1, GridCommand.PREVIOUS_PAGE: -1}
UNDECIDED = (Place.LATER.target, Place.QUEUE.target)
"""Places that are not decisions: faces may be sent there without having been shown."""

PLACE_LETTERS = {Place.REJECT: "⌫", Place.LATER: "L", Place.OTHER: "O", Place.QUEUE: "Q"}


class LabelingView(LabelerView):
    """Grid of faces to label; every gesture is saved at once, and tiles stay where they are."""

    grid_class: type[GestureView] = GestureView
    can_label = True

    def __init__(self, context: ViewContext) -> None:
        super().__init__(context)
        self.model = TileModel(self.worker, self)
        self.view = self.grid_class(self.model, context.thumbs, self.worker)
        self.home = self.view
        self.empty = EmptyNotice(self.view)
        self._sent: dict[int, list[int]] = {}
        self.view.keyed.connect(self._keyed)
        self.view.commanded.connect(self.commanded)
        self.view.pointed.connect(self._show_pointed)
        self._details_pending = False
        self.model.dataChanged.connect(self._show_pending_details)
        self.model.sections_changed.connect(self._clear_details_if_idle)
        self.view.menu_asked.connect(self._show_menu)
        self.enlarged = EnlargedFaceOverlay(self.view)
        context.worker.changed_outside.connect(self.model.refresh)
        context.worker.stepped.connect(self._show_step)

    def _keyed(self, rows: list[int], key: str, swept: bool) -> None:
        target = self.worker.class_for_key(key)
        if target is None:
            self.model.set_state(rows, UNMARKED)
            self.worker.show_message(self.tr("No class has the key {key}").format(key=key.upper()))
            return
        self.send_rows(rows, target, BY_SWEEP if swept else BY_HAND)

    def key_of(self, target: str) -> str:
        if target.startswith(":"):
            return PLACE_LETTERS[Place(target[1:])]
        return self.worker.keys.get(target, "")

    def commanded(self, command: GridCommand, rows: list[int]) -> None:
        if command is GridCommand.ENLARGE:
            self.enlarged.show_row(rows[0])
        elif command in PLACE_COMMANDS:
            if rows:
                self.send_rows(rows, PLACE_COMMANDS[command].target, BY_HAND)
            else:
                self.worker.show_message(self.tr("Point at a face first"))
        elif command in PAGE_STEPS:
            self._turn_pages(PAGE_STEPS[command])
        elif command is GridCommand.NEW:
            self.window_actions.name_class()
        else:
            self.worker.show_message(self.tr("This key works in another view · F1: all keys"))

    def _turn_pages(self, pages: int) -> None:
        bar = self.view.verticalScrollBar()
        before = bar.value()
        bar.setValue(before + pages * bar.pageStep())
        if bar.value() == before:
            ends = (self.tr("Already at the top"), self.tr("Already at the end"))
            self.worker.show_message(ends[pages > 0])

    def send(self, target: str) -> bool:
        rows = self.view.target_rows()
        if rows:
            self.send_rows(rows, target, BY_HAND)
        return bool(rows)

    def send_ids(self, ids: Sequence[int], target: str) -> None:
        """Send samples by their ids: their rows may have changed."""
        if rows := self._rows_of(set(ids)):
            self.send_rows(rows, target, BY_HAND)

    def send_rows(self, rows: Sequence[int], target: str, provenance: str) -> None:
        """Send tiles that were shown; they stay in place until the next page."""
        if target in UNDECIDED or self.view.all_seen(rows):
            ids = self.model.ids(rows)
            state = TileState(TileMark.SENT, self.key_of(target), target.lstrip(":"))
            self.model.set_state(rows, state)
            self.decide_rows(
                rows, lambda session: session.decide(ids, target, provenance), [target]
            )

    def decide_rows(
        self,
        rows: Iterable[int],
        decision: Callable[[SortingSession], StepResult],
        classes: Sequence[str] = (),
    ) -> None:
        """Run a decision on tiles that are marked already.

        The marks are removed when it is undone or cannot be saved.
        """
        ids = self._ids(rows)
        self.view.selectionModel().clearSelection()

        def saved(step: StepResult) -> None:
            self._sent[step.root] = ids

        def failed(error: GleansetError) -> None:
            self.model.set_state(self._rows_of(ids), UNMARKED)
            self.worker.show_message(str(error), bad=True)

        self.worker.decide(decision, saved, failed, classes)

    def _ids(self, rows: Iterable[int]) -> list[int]:
        return [self.model.id(row) for row in rows]

    def _show_menu(self, rows: list[int], point: QPoint) -> None:
        ids = self._ids(rows)
        tiles = [tile for row in rows if (tile := self.model.tile(row)) is not None]
        menu = FaceMenu(self.view, self.worker, tiles)
        if self.can_label:
            menu.add_label_actions(partial(self.send_ids, ids))
        enlarge = partial(self._enlarge, ids[0])
        menu.add_view_actions(
            enlarge, self.window_actions.show_place, self.window_actions.show_group
        )
        menu.show_at(point)

    def _enlarge(self, sample: int) -> None:
        if (row := self.model.row_of(sample)) >= 0:
            self.enlarged.show_row(row)

    def _rows_of(self, ids: Iterable[int]) -> list[int]:
        return sorted(row for sample in ids if (row := self.model.row_of(sample)) >= 0)

    def _show_step(self, step: StepResult) -> None:
        operation = step.operation.first()
        if operation.kind in CLASS_OPERATIONS:
            self.model.refresh()
            self.class_changed(operation)
        if step.kind is StepKind.STEP or not self.isVisible():
            return
        if rows := self._rows_of(self._sent.get(step.root, ())):
            self.model.set_state(
                rows, UNMARKED if step.kind is StepKind.UNDO else TileState(TileMark.SENT, "→")
            )
            self.view.scrollTo(self.model.index(rows[0]))
        self.model.refresh()
        self.step_reverted(step)

    def class_changed(self, operation: Operation) -> None:
        """React to a renamed, merged or deleted class, or to the undo of that."""

    def show_all_sorted(self, counts: LabelCounts) -> None:
        """Say that everything is sorted; then how many labels look doubtful, if any do."""
        self.empty.show_notice(all_sorted(self, counts))

        def offer(page: ReviewPage) -> None:
            if not self.model.rowCount():
                self.empty.show_notice(all_sorted(self, counts, len(page.ids)))

        self.worker.ask(lambda s: load_review_page(s.dataset, "doubtful", NO_FILTER), offer)

    def show_no_faces(self) -> None:
        """Explain what to do in a dataset without samples."""

        def explain(search: DetectionState) -> None:
            if not self.model.rowCount():
                self.empty.show_notice(no_faces(self, search))

        self.worker.ask(lambda session: DetectionState.from_dataset(session.dataset), explain)

    def current_names(self, operation: Operation) -> dict[str, str]:
        """Map the class names that an operation removed to the current ones."""
        keys = self.worker.keys
        arguments = (operation.arguments.get(name) for name in ("new", "old", "into"))
        names = [str(name) for name in arguments if name is not None]
        current = next((name for name in names if name in keys), None)
        return {} if current is None else {name: current for name in names if name not in keys}

    def step_reverted(self, step: StepResult) -> None:
        """React to a step that was undone or redone."""

    def clear_sent(self) -> None:
        self._sent.clear()

    def flush(self) -> None:
        self.view.end_stroke()

    def undo(self) -> bool:
        """Restore a selection that an accidental click cleared."""
        return self.view.mouse.restore_selection()

    def freeze_targets(self, frozen: bool) -> None:
        self.view.hold_point(frozen)

    def _show_pointed(self, row: int) -> None:
        # When the mouse leaves the tiles, the details of the last one stay.
        tile = self.model.tile(row) if row >= 0 else None
        self._details_pending = row >= 0 and tile is None
        if tile is not None and self.isVisible():
            self.show_details(row, tile)
        elif self._details_pending:
            self._clear_details()

    def _show_pending_details(self) -> None:
        if self._details_pending:
            self._show_pointed(self.view.point)

    def _clear_details_if_idle(self) -> None:
        if self.view.point < 0:
            self._clear_details()

    def _clear_details(self) -> None:
        if self.isVisible():
            self.context.details.point(None)

    def show_details(self, row: int, tile: SampleTile) -> None:
        self.context.details.point(tile)


class PagedView(LabelingView):
    """Pages as large as the window, accepted with Enter once they could be seen.

    A click excludes a tile instead of selecting it.
    """

    def __init__(self, context: ViewContext) -> None:
        super().__init__(context)
        self.view.mouse.lifts = True
        self._shown_at, self._is_loading = 0.0, False
        self._refit = timer(self, self.fit_page, REFIT_DELAY_MS)
        self.view.viewport().installEventFilter(self)

    def is_settled(self) -> bool:
        return super().is_settled() and not self._refit.isActive() and not self._is_loading

    def _failed(self, error: GleansetError) -> None:
        self._is_loading = False
        self.worker.show_message(str(error), bad=True)

    def fit_page(self) -> None:
        self.view.fit_page()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Fit the page after the window was resized."""
        if watched is self.view.viewport() and event.type() == QEvent.Type.Resize:
            self._refit.start(REFIT_DELAY_MS)
        return super().eventFilter(watched, event)

    def record_shown(self) -> None:
        self._shown_at = time.monotonic()

    def is_too_recent(self) -> bool:
        """Return whether the page appeared just now, and say so."""
        too_recent = time.monotonic() - self._shown_at < ENTER_DELAY_SECONDS
        if too_recent:
            self.worker.show_message(
                self.tr("This page has just appeared: check it, then press Enter again")
            )
        return too_recent
