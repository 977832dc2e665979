"""Base of the views in which faces are labelled: keys, drops, menus, pages, an enlarged face."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain

from PySide6.QtCore import QModelIndex, QPoint, QRect, QRectF, Qt
from PySide6.QtGui import (
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPixmap,
    QTransform,
)
from PySide6.QtWidgets import QMenu, QWidget

from gleanset.db.duplicates import Pairs
from gleanset.db.regions import FrameFace
from gleanset.db.samples import SplitEvidence
from gleanset.db.sorting import LabelCounts, SampleTile
from gleanset.operations import Operation
from labeler.duplicates.plan import make_plan
from labeler.qt.grid.gesture_view import (
    ARROWS,
    COMMAND_BY_KEY,
    GestureView,
    GridCommand,
)
from labeler.qt.grid.model import AS_STORED, UNMARKED, TileMark, TileModel, TileState
from labeler.qt.images import LoadedImage, draw_fitted, load
from labeler.qt.keyboard import PLACE_KEYS, ClassKeyReader
from labeler.qt.theme import Role, backdrop, colour, draw_box, draw_text, em
from labeler.qt.translations import target_name, tr
from labeler.qt.views.base import (
    EmptyNotice,
    LabelerView,
    OpenWork,
    ViewContext,
    get_detection_state,
)
from labeler.qt.widgets import KeyHints, announce, column_layout, timer
from labeler.review import list_doubtful
from labeler.sorting.descriptor_queue import count_unmeasured
from labeler.sorting.sample_images import FrameFile, FrameWalk, frames_around
from labeler.sorting.session import (
    BY_HAND,
    BY_SWEEP,
    UNDECIDED,
    Place,
    SortingSession,
    StepKind,
    StepResult,
)

Key = Qt.Key
PLACE_COMMANDS = {GridCommand[place.name]: place for place in Place}
FACE_COMMANDS = (*PLACE_COMMANDS, GridCommand.KEEP_ALL)
"""Commands that work on an enlarged face."""


class EnlargedFaceOverlay(QWidget):
    """One face in its full image; closed with Esc, Space or a click.

    Left and right step through the frames of the video, up and down through the faces of the grid.
    Class keys act on the face, whichever frame is shown.
    """

    def __init__(self, view: GestureView):
        super().__init__(view)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(tr("Face in its image"))
        self.hide()
        self.codes = ClassKeyReader(view.worker, self)
        self._view = view
        self._worker = view.worker
        self._id = -1
        self._frames = FrameWalk()
        self.at = 0
        self._image: QPixmap | str = "…"
        self._loader = view.worker.create_task()
        self._loader.done.connect(self._on_loaded)
        view.tiles.dataChanged.connect(lambda: self.update())
        view.tiles.sections_changed.connect(self._close_if_gone)
        view.setLayout(column_layout(self))

    def show_row(self, row: int) -> None:
        """Enlarge the first face of a tile."""
        self._id = self._view.tiles.id(row)
        self._frames = FrameWalk()
        self.at = 0
        self._image = "…"
        self._view.setFocusProxy(self)  # keys must not act on the covered tiles
        self._enable_hints(False)
        self.show()
        self.raise_()
        self.setFocus()
        sample = self._id

        def show(frames: FrameWalk) -> None:
            if sample == self._id and self.isVisible():
                self._frames = frames
                self._show_frame(frames.place)

        self._worker.ask(
            lambda session: frames_around(session.dataset, sample),
            show,
        )

    def _show_frame(self, index: int) -> None:
        if not self._frames.files:
            self._image = tr("This face no longer exists")
            self.update()
            return
        self.at = index
        path = self.frame_file.path
        self._loader.start(lambda dataset, task: load(path))
        announce(self, self.caption())
        self.update()

    @property
    def frame_file(self) -> FrameFile:
        return self._frames.files[self.at]

    @property
    def row(self) -> int:
        """Row of the face; -1 if it is no longer in the grid."""
        return self._view.tiles.row_of(self._id)

    @property
    def ready(self) -> bool:
        return not isinstance(self._image, str)

    def _enable_hints(self, enabled: bool) -> None:
        # The keys of the covered view do not work meanwhile.
        if (view := self._view.parentWidget()) is not None:
            for hints in view.findChildren(KeyHints):
                hints.setEnabled(enabled)

    def _on_loaded(self, loaded: LoadedImage) -> None:
        path, image = loaded
        if self.isVisible() and self._frames.files and path == self.frame_file.path:
            self._image = image if isinstance(image, str) else QPixmap.fromImage(image)
            self.update()

    def _close_if_gone(self) -> None:
        if self.isVisible() and self.row < 0:
            self.end()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), backdrop())
        painter.setPen(colour(Role.Text))
        # Below the image are two lines: the caption and the keys.
        line = em(self, 1.7)
        area = self.rect().adjusted(4, 4, -4, -2 * line)
        target = draw_fitted(painter, area, self._image)
        centre = Qt.AlignmentFlag.AlignCenter
        lower = QRect(
            0,
            self.height() - 2 * line,
            self.width(),
            line,
        )
        draw_text(
            painter,
            lower.adjusted(4, 0, -4, 0),
            self.caption(),
            colour(Role.Text),
            align=centre,
        )
        hint = tr(
            "← →: video frames · ↑ ↓: other faces · class keys · Esc: back"
            if len(self._frames.files) > 1
            else "← ↑ ↓ →: other faces · class keys · Esc: back"
        )
        painter.drawText(lower.translated(0, line), centre, hint)
        for face in self.frame_file.frame.faces if self.ready else ():
            width = 3 if face.id == self._id else 1
            draw_box(
                painter,
                self.box_on_screen(target, face),
                width,
                target,
            )

    def box_on_screen(self, target: QRect, face: FrameFace) -> QRect:
        """Return the box of a face when the image is painted into `target`."""
        scale = target.width() / max(1, self.frame_file.frame.width)
        box = QTransform.fromScale(scale, scale).mapRect(QRectF(*face.box)).toRect()
        return box.translated(target.topLeft())

    def caption(self) -> str:
        """Return the label of the face, the name of its image and the frame shown."""
        row = self.row
        tile = self._view.tiles.tile(row) if row >= 0 else None
        parts = [self._label_text(row, tile), tile.title if tile else ""]
        count = len(self._frames.files)
        if count > 1:
            parts.append(
                tr("frame {number} of {count}", number=self.at + 1, count=count)
            )
        return "   ·   ".join(part for part in parts if part)

    def _label_text(self, row: int, tile: SampleTile | None) -> str:
        if row < 0:
            return ""
        state = self._view.tiles.state(row)
        proposed = self._view.tiles.prediction(row)
        if state.mark in (TileMark.SENT, TileMark.DONE):
            return f"→ {target_name(state.target)}"
        if tile is not None and tile.label:
            return tile.label
        return f"{proposed.label}?" if proposed.label else ""

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.end()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Act on the face, step or close; no key reaches the grid below."""
        event.accept()
        if event.isAutoRepeat() and event.key() not in (Key.Key_Left, Key.Key_Right):
            return
        code = self.codes.read(event)
        if code is None:
            return
        if code:
            if self.row >= 0:
                self._view.keyed.emit([self.row], code, False)  # not a sweep
        elif event.key() in (Key.Key_Escape, Key.Key_Space):
            self.end()
        elif not self._step(event.key()) and not self._run_command(event.key()):
            self._worker.show_message(
                tr("This key does nothing here: press Esc to return to the grid")
            )

    def _run_command(self, key: int) -> bool:
        """Run a command on the face; return whether the key is one that works here."""
        command = COMMAND_BY_KEY.get(Key(key))
        if command in FACE_COMMANDS and self.row >= 0:
            self._view.commanded.emit(command, [self.row])
        return command in FACE_COMMANDS

    def _step(self, key: int) -> bool:
        """Go to another frame or face; return whether the key is an arrow."""
        across, down = ARROWS.get(Key(key), (0, 0))
        last = len(self._frames.files) - 1
        # Without other frames, left and right lead to other faces, too.
        if across and last > 0:
            at = min(max(self.at + across, 0), last)
            # A held key at the end must not load the image again and again.
            if at != self.at:
                self._show_frame(at)
        elif across or down:
            row = min(max(self.row + across + down, 0), self._view.tiles.rowCount() - 1)
            if row != self.row and row >= 0:
                self._view.set_point(row)
                self._view.scrollTo(self._view.tiles.index(row))
                self.show_row(row)

        return bool(across or down)

    def end(self) -> None:
        """Close, and point at the face in the grid."""
        self.codes.forget()
        self._image = "…"
        self._view.setFocusProxy(None)  # type: ignore[arg-type]  # the stub knows no None
        self._enable_hints(True)
        self.hide()
        self._view.setFocus()
        if self.row >= 0:
            self._view.set_point(self.row)  # the covered grid has lost the mouse


CLASS_OPERATIONS = ("rename-class", "merge-class", "delete-class")
NAME_ARGUMENTS = {"new", "old", "into"}
REFIT_DELAY_MS = 120
PAGE_STEPS = {GridCommand.NEXT_PAGE: 1, GridCommand.PREVIOUS_PAGE: -1}


def _find_open_work(session: SortingSession) -> OpenWork:
    db = session.dataset.db
    doubtful = list_doubtful(session.dataset)
    # None: the number of doubtful labels is not known before all samples are measured.
    number = len(doubtful) or (None if count_unmeasured(session.dataset) else 0)
    copies = bool(
        SplitEvidence(db).count_not_searched() or make_plan(Pairs(db)).open_sets()
    )
    return OpenWork(number, session.dataset.scans.count_faceless(), copies=copies)


class LabelingView(LabelerView):
    """Grid of faces to label; every gesture is saved at once, and tiles stay where they are."""

    grid_class: type[GestureView] = GestureView
    can_label = True

    def __init__(self, context: ViewContext):
        super().__init__(context)
        self.model = TileModel(self.worker, self)
        self.view = self.grid_class(self.model, context.thumbs, self.worker)
        self.home = self.view
        self.empty = EmptyNotice(self.view)
        self._sent: dict[int, list[int]] = {}
        self._undone = set[int]()
        """The roots of the steps that are undone."""
        self._find_nearest: Callable[[int], list[int]] | None = None
        self.view.keyed.connect(self._on_class_key)
        self.view.commanded.connect(self.run_command)
        self.view.pointed.connect(self._show_pointed)
        self.model.dataChanged.connect(self._update_details)
        self.model.sections_changed.connect(self._clear_details_if_idle)
        self.view.menu_asked.connect(self._show_menu)
        self.enlarged = EnlargedFaceOverlay(self.view)
        self._refit = timer(self, self.fit_page, REFIT_DELAY_MS)
        if self.view.is_page:
            self.view.resized.connect(self._refit.start)
        context.worker.changed_outside.connect(self.model.refresh)
        context.worker.stepped.connect(self._show_step)

    def _on_class_key(self, rows: list[int], key: str, swept: bool) -> None:
        if (target := self.worker.class_for_key(key)) is not None:
            self.send_rows(rows, target, BY_SWEEP if swept else BY_HAND)

    def run_command(self, command: GridCommand, rows: list[int]) -> None:
        if command is GridCommand.ENLARGE:
            # It is sent for a tile only, unlike the keys of places.
            self.enlarged.show_row(rows[0])
        elif command in PLACE_COMMANDS:
            if rows:
                self.send_rows(rows, PLACE_COMMANDS[command].target, BY_HAND)
            else:
                self.worker.show_message(tr("Point at a face first"))
        elif command in PAGE_STEPS:
            self._turn_pages(PAGE_STEPS[command])
        else:
            self.worker.show_message(
                tr("This key works in another view · F1: all keys")
            )

    def _turn_pages(self, pages: int) -> None:
        bar = self.view.verticalScrollBar()
        before = bar.value()
        bar.setValue(before + pages * bar.pageStep())
        if bar.value() == before:
            self.worker.show_message(
                tr("Already at the end" if pages > 0 else "Already at the top")
            )

    def send(self, target: str) -> bool:
        rows = self.view.target_rows()
        if rows:
            self.send_rows(rows, target, BY_HAND)
        return bool(rows)

    def send_ids(self, ids: Sequence[int], target: str) -> None:
        """Send samples by their ids: their rows may have changed."""
        if rows := self._rows_of(ids):
            self.send_rows(rows, target, BY_HAND)

    def send_rows(self, rows: Sequence[int], target: str, provenance: str) -> None:
        """Send tiles that were shown; they stay in place until the next page."""
        state = self.model.send_state(target)
        rows = [row for row in rows if self.model.state(row) != state]
        if not rows:
            self.worker.show_message(tr("Already there: nothing changed"))
        elif target in UNDECIDED or self.view.all_seen(rows):
            ids = self.model.ids(rows)
            self.decide_rows(
                dict.fromkeys(rows, state),
                lambda session: session.decide(ids, target, provenance),
                [target],
            )

    def decide_rows(
        self,
        states: Mapping[int, TileState],
        decision: Callable[[SortingSession], StepResult],
        classes: Sequence[str] = (),
    ) -> None:
        """Run a decision on tiles (rows), which get their new states at once.

        They get back the previous ones when it cannot be saved.
        """
        before = {
            self.model.id(row): self.model.states.get(row, UNMARKED) for row in states
        }
        self.model.set_states(states)
        self.view.selectionModel().clearSelection()

        def put_back() -> None:
            rows = self._rows_of(before)  # other samples may be shown by now
            self.model.set_states({row: before[self.model.id(row)] for row in rows})
            self.model.refresh()

        def note_step(step: StepResult) -> None:
            if step.step:
                self._sent[step.root] = [*before]
            else:  # nothing changed
                put_back()

        self.worker.decide(decision, note_step, put_back, classes)

    def _show_menu(self, rows: list[int], point: QPoint) -> None:
        menu = self.make_menu(rows)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(point)

    def make_menu(self, rows: list[int]) -> QMenu:
        """Return what can be done with faces, the first of which is pointed at."""
        menu = QMenu(self.view)
        ids = [self.model.id(row) for row in rows]
        send = partial(self.send_ids, ids)
        # Keys may act on other tiles, such as the whole card: then they are not shown.
        has_keys = {*rows} == {*self.view.target_rows()}
        if len(rows) > 1:
            text = tr(
                "{count} faces",
                count=len(self.model.ids(rows)),
            )
            menu.addAction(text).setEnabled(False)
        if self.can_label:
            classes = menu.addMenu(tr("Label as"))
            classes.setEnabled(bool(self.worker.keys))
            for name, key in self.worker.keys.items():
                note = f"\t{key.upper()}" * (has_keys and self.acts(key))
                classes.addAction(
                    name.replace("&", "&&") + note,
                    partial(send, name),
                )
            for place, key in PLACE_KEYS.items():
                note = f"\t{key}" * (has_keys and self.acts(key))
                menu.addAction(
                    target_name(place) + note,
                    partial(send, place),
                )

            menu.addSeparator()

        menu.addAction(
            tr("Enlarge") + "\t" + tr("Space"), partial(self._enlarge, ids[0])
        )
        return menu

    def _enlarge(self, sample: int) -> None:
        if (row := self.model.row_of(sample)) >= 0:
            self.enlarged.show_row(row)

    def _rows_of(self, ids: Iterable[int]) -> list[int]:
        return sorted(row for sample in ids if (row := self.model.row_of(sample)) >= 0)

    def _show_step(self, step: StepResult) -> None:
        operation = step.operation.first()
        if operation.kind in CLASS_OPERATIONS:
            states = self.model.states.items()
            named = [
                n for n, state in states if state.target and state.mark is TileMark.SENT
            ]
            self.model.set_state(named, AS_STORED)
            self.model.refresh()
            self.class_changed(operation)

        if step.kind is StepKind.STEP:
            return
        # Its tiles lose their marks. Those that were also sent by a step which is not undone show
        # what is stored.
        self._undone ^= {step.root}
        rows = self._rows_of(self._sent.get(step.root, ()))
        in_force = (ids for root, ids in self._sent.items() if root not in self._undone)
        kept = {*rows} & {*self._rows_of(chain.from_iterable(in_force))}
        self.model.set_state(rows, UNMARKED)
        self.model.set_state(kept, AS_STORED)
        if self.isVisible():
            if rows:
                self.view.scrollTo(self.model.index(rows[0]))
                self.view.lead_to(rows[0])
            self.model.refresh()
            self.step_reverted(step)

    def class_changed(self, operation: Operation) -> None:
        """React to a renamed, merged or deleted class, or to the undo of that."""

    def show_all_sorted(self, counts: LabelCounts) -> None:
        """Say that everything is sorted; then how many labels look doubtful."""
        before = self.empty.notice
        # A new notice has no steps before the answer, which decides their order. One with the same
        # counts stays with its steps: without them for a moment, it would flicker.
        if before is None or before.counts != counts:
            self.empty.show_notice(self.all_sorted(counts)._replace(steps=()))

        def offer(open_work: OpenWork) -> None:
            if not self.model.rowCount():
                self.empty.show_notice(self.all_sorted(counts, open_work))

        self.worker.ask(_find_open_work, offer)

    def show_no_faces(self) -> None:
        """Explain what to do in a dataset without samples."""

        def explain(state: tuple[int, bool]) -> None:
            if not self.model.rowCount():
                self.empty.show_notice(self.no_faces(*state))

        self.worker.ask(get_detection_state, explain)

    def current_names(self, operation: Operation) -> dict[str, str]:
        """Map the class names that an operation removed to the current ones."""
        arguments = operation.arguments
        names = {str(arguments[name]) for name in NAME_ARGUMENTS & arguments.keys()}
        current_names = names & self.worker.keys.keys()
        # After an undone merge both names are current, and none was removed.
        return dict(zip(names - current_names, current_names, strict=False))

    def step_reverted(self, step: StepResult) -> None:
        """React to a step that was undone or redone."""

    def fit_page(self) -> None:
        """Fit a page to a window that was resized."""
        self.view.fit_page()

    def flush(self) -> None:
        self.view.end_stroke()

    def freeze_targets(self, frozen: bool) -> None:
        self.view.hold_point(frozen)

    def _show_pointed(self, row: int) -> None:
        # When the mouse leaves the tiles, the details of the last one stay.
        if row < 0 or not self.isVisible():
            return
        if (tile := self.model.tile(row)) is None:
            self.context.details.point(None)
            return
        if target := self.model.state(row).target:
            tile = tile._replace(label=target_name(target))
        self._show_details(row, tile)

    def _update_details(self, first: QModelIndex, last: QModelIndex) -> None:
        row = self.view.detail_row()
        sample = self.context.details.shown_id
        if row < 0 and sample is not None:
            row = self.model.row_of(sample)
        if row >= 0 and first.row() <= row <= last.row():
            self._show_pointed(row)

    def _clear_details_if_idle(self) -> None:
        if self.view.point < 0 and self.isVisible():
            self.context.details.point(None)

    def _show_details(self, row: int, tile: SampleTile) -> None:
        details = self.context.details
        top = self.model.prediction(row).top

        def ask_neighbours() -> None:
            details.show_suggestions(
                [(self.model.key_of(name), name, share) for name, share in top]
            )
            self.worker.ask(
                lambda session: self._list_similar(session, tile.id),
                lambda tiles: details.show_neighbours(tiles, tile.id),
            )

        details.point(tile, ask_neighbours)

    def _list_similar(self, session: SortingSession, sample: int) -> list[SampleTile]:
        from labeler.sorting.predictions import Predictor  # loads NumPy

        self._find_nearest = self._find_nearest or Predictor(session).find_nearest
        tiles = session.tiles.get_many(self._find_nearest(sample)).values()
        # The search knows what was labelled when the page was made; some may not be so any more.
        return [tile for tile in tiles if tile.label]
