"""Class pages: the faces suggested for one class at a time; Enter accepts all unmarked ones.

Faces without suggestions are shown as clusters. `labeler/sorting/page_state.py` says what gestures
mean; this view passes events on, draws the state and carries out its commands.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QKeySequence, QResizeEvent, QShortcut
from PySide6.QtWidgets import QMenu, QSizePolicy, QWidget

from labeler.qt.grid.gesture_view import GridCommand
from labeler.qt.grid.model import TileMark
from labeler.qt.session_worker import SessionWorker
from labeler.qt.theme import em
from labeler.qt.translations import report_change, tr
from labeler.qt.views.base import Notice, ViewContext
from labeler.qt.views.labeling import CLASS_OPERATIONS, LabelingView
from labeler.qt.views.page_grid import PageGrid
from labeler.qt.widgets import (
    HEAD,
    KeyHints,
    LetterKeysChip,
    NameField,
    TitleLabel,
    announce,
    button,
    column_layout,
    row_layout,
    set_column,
)
from labeler.sorting.page_layout import ClassPage, PageKind
from labeler.sorting.page_parts import (
    Ask,
    Decide,
    File,
    Message,
    Name,
    Reveal,
    Say,
    SayChange,
    Shown,
    TakeBack,
)
from labeler.sorting.page_state import (
    SUGGESTIONS,
    Act,
    Event,
    KeyAction,
    PageState,
    accept_name,
    click_heading,
    drop,
    end_name,
    enter,
    file_page,
    find_arrangement,
    lift,
    look_for_better,
    note_failure,
    note_others,
    note_painted,
    note_saved,
    offer_better,
    press,
    reject,
    revert_step,
    send,
    send_page,
    send_to_others,
    show_earlier,
    show_next,
    show_rest,
    split,
    step,
    suggest_again,
    type_name,
    undo,
)
from labeler.sorting.pages import Pages
from labeler.sorting.session import BY_SWEEP, SortingSession, StepKind, StepResult

# A page is "probably all correct" up to this number of expected errors and from this number of
# faces: the last few are unusual.
ALL_CORRECT_MAX_WRONG = 0.1
ALL_CORRECT_MIN_FACES = 4


def page_hints(page: ClassPage) -> str:
    """Return the hints about keys below a page."""
    if not page.tiles:
        return tr("Ctrl + Z: undo · F1: all keys")
    if page.kind is PageKind.PLAIN:
        return tr("A – Z: type a name · 1–9: its class · Ctrl + Z: undo · F1: all keys")
    if page.kind is PageKind.CLUSTERS:
        return tr(
            "A – Z: type a name · 1–9: its class · "
            "Ctrl + Enter: name, then next page · Click: exclude a face · "
            ".: nobody I collect · −: split · F1: all keys"
        )

    return tr(
        "Enter: all correct · A – Z: type a name · 1–9: its class · "
        "Click: exclude a face · Ctrl + Z: undo · F1: all keys"
    )


def page_title(page: ClassPage) -> str:
    """Return what is on a page, and how confident its suggestions are."""
    if not page.tiles:
        return ""
    if page.kind is PageKind.PLAIN:
        return tr(
            "Comparing faces…  Cards of similar ones follow; or point and type a name"
        )

    if page.kind is PageKind.CLUSTERS:
        return tr(
            "Who are they?  {count} people to name · {number} · point and type"
            if len(page.cards) > 1
            else "Who is this?  {number} · type the name",
            count=len(page.cards),
            number=_describe_number(page),
        )

    return _suggestions_title(page)


def _suggestions_title(page: ClassPage) -> str:
    labels, wrong = page.labels, page.expected_wrong
    if not page.tested:
        quality = tr("accuracy unknown: check each face")
    elif wrong > ALL_CORRECT_MAX_WRONG or page.total < ALL_CORRECT_MIN_FACES:
        quality = tr(
            "about {wrong} may be wrong",
            wrong=max(1, round(wrong)),
        )
    else:
        quality = tr("probably all correct")

    return tr(
        "Several classes · {number} · {how}"
        if len(labels) > 1
        else "{label}?  {number} · {how}",
        label=next(iter(labels), ""),
        number=_describe_number(page),
        how=quality,
    )


def _describe_number(page: ClassPage) -> str:
    if len(page.rows) == page.total:
        return tr("{count} faces", count=page.total)
    return tr(
        "{shown} of {count} faces",
        shown=f"{len(page.rows):,}",
        count=page.total,
    )


ONE_ROW_EM = 46
TITLE_EM = 2.5
"""Height of the title: no page moves with it."""


class PageHeader(QWidget):
    """Header of a class page; its buttons call `press` as their keys do."""

    def __init__(
        self,
        worker: SessionWorker,
        press: Callable[[KeyAction], object],
    ):
        super().__init__()
        self.title = TitleLabel()
        self.name = NameField(worker)
        self.file_button = button(
            "",
            partial(press, file_page),
            primary=True,
        )
        self.skip_button = button(
            tr("Next page (PgDn)"),
            partial(press, show_next),
        )
        self.better_button = button(
            tr("Better suggestions (Ctrl+R)"),
            partial(press, suggest_again),
        )

        self.name.setAccessibleName(tr("Who is this?"))
        self.title.setMinimumHeight(em(self, TITLE_EM))
        parts = (
            self.title,
            LetterKeysChip(),
            self.better_button,
            self.name,
            self.file_button,
            self.skip_button,
        )

        self.controls = row_layout(*parts, grows=self.title)
        self._rows = column_layout(self.controls, margins=HEAD)
        self._asks = False
        """Whether the field for a name belongs to the header: not on pages of cards."""
        self.setLayout(self._rows)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)

    def show_page(
        self, page: ClassPage, count: int, *, is_begun: bool, offers_better: bool
    ) -> None:
        """Show a page: `count` faces to file or left; `is_begun` if some are named."""
        kind = page.kind if page.tiles else None
        files = kind in SUGGESTIONS
        self.better_button.setVisible(offers_better)
        self.file_button.setVisible(files or is_begun)
        self.skip_button.setVisible(kind is not None and (files or not is_begun))
        self._asks = kind in (PageKind.CLASS, PageKind.PLAIN)
        if self._asks:
            self.insert_name_field()
        self.name.setVisible(self._asks or bool(self.name.text()))
        self.name.setPlaceholderText(tr("Who is this?" if files else "Type a name"))
        self._place_title()
        action = tr("Enter: next page")
        if files and count:
            action = tr("Enter: all correct ({count})", count=count)
        elif kind is PageKind.CLUSTERS and count:
            action = tr("Enter: next page ({count} faces left)", count=count)

        self.file_button.setText(action)
        title = page_title(page)
        if self.title.text() != title:
            self.title.setText(title)
            announce(self, title)

    def insert_name_field(self) -> None:
        """Take the field for a name back, which may be in a card of the page."""
        self.name.blockSignals(True)  # it loses the focus for a moment
        self.controls.insertWidget(
            self.controls.indexOf(self.file_button),
            self.name,
        )
        self.name.blockSignals(False)

    def _place_title(self) -> None:
        # In a narrow window it is above the others, so that all of it can be read.
        is_narrow = self.width() < em(self, ONE_ROW_EM)
        layout = self._rows if self._asks and is_narrow else self.controls
        if layout.indexOf(self.title) < 0:
            layout.insertWidget(0, self.title, 1)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place_title()


T = TypeVar("T")
REFRESH_MS = 500
KEY_ACTIONS: dict[GridCommand, KeyAction] = {
    GridCommand.ENTER: file_page,
    GridCommand.NEXT_PAGE: show_next,
    GridCommand.PREVIOUS_PAGE: show_earlier,
    GridCommand.REJECT: reject,
    GridCommand.OTHER: send_to_others,
    GridCommand.SPLIT: split,
    GridCommand.LIFT: lift,
}
"""What the commands of keys and clicks do on a page."""


class ClassPagesView(LabelingView):
    """Tiles stay in place until the page is left; what is sent elsewhere is saved at once.

    `happened` is emitted with each event after it has taken effect.
    """

    happened = Signal(object)
    grid_class = PageGrid
    view: PageGrid

    def __init__(self, context: ViewContext):
        super().__init__(context)
        self.state = PageState()
        self._events = deque[Event]()
        self._pages: Pages | None = None  # made and used on the worker's thread only
        self.view.send = self.take
        self.header = PageHeader(self.worker, self._press)
        self.hints = KeyHints()
        # What carries out each kind of command that `page_state.step` returns.
        self._run: dict[type, Callable[..., object]] = {
            Say: self._say,
            SayChange: self._say_change,
            Reveal: self.view.all_seen,
            Decide: self._decide,
            File: self._file,
            TakeBack: self.worker.take_back,
            Ask: self._ask,
        }

        QShortcut(
            QKeySequence("Ctrl+R"),
            self,
            partial(self._press, suggest_again),
            context=Qt.ShortcutContext.WidgetWithChildrenShortcut,
        )

        set_column(self, self.header, self.view, self.hints)
        timer = QTimer(self)
        timer.timeout.connect(self._tick)
        timer.start(REFRESH_MS)
        self._connect()

    def _connect(self) -> None:
        field = self.header.name
        field.name_entered.connect(
            lambda text: self.take(accept_name, field.resolve(text))
        )
        field.ended.connect(self._name_was_last)
        field.textChanged.connect(self._text_changed)
        field.left.connect(self._end_name)
        field.unfocused.connect(self._on_unfocused)
        self.context.embedding_task.left.connect(self._note_unreadable)
        self.model.dataChanged.connect(self._read_others)
        self.view.painted.connect(lambda rows: self.take(note_painted, rows))
        self.view.page_key.connect(self._page_key)
        self.view.arranged.connect(self._place_field)
        self.worker.classes_changed.connect(self._remove_classes)
        self.worker.progressed.connect(self._show_header)

    @property
    def page(self) -> ClassPage | None:
        """The page that takes labels."""
        return self.state.shown.page if self.state.is_ready else None

    def take(self, act: Act, *arguments: Any) -> None:
        """Take an event: step the state, run its commands and draw.

        An event that arrives in the course of that, caused by a command for instance, waits.
        """
        event = Event(
            act,
            arguments,
            time.monotonic(),
            self.last_step(),
        )
        self._events.append(event)
        if len(self._events) > 1:
            return
        while self._events:
            event = self._events[0]
            try:
                before = self.state
                self.state, commands = step(before, event)
                # Before `_draw`, which may read tiles again: the worker keeps this order, so that
                # they are read after a decision is saved.
                for command in commands:
                    self._run[type(command)](*command)
                self._draw(before)
                self.happened.emit(event)
            finally:
                self._events.popleft()

    def _press(self, act: KeyAction, rows: Sequence[int] = ()) -> None:
        self.take(press, act, tuple(rows))

    # -- drawing

    def _draw(self, before: PageState) -> None:
        state = self.state
        self.view.show_state(state)
        if state.shown.page is not before.shown.page:
            self.header.name.read_names()
            self.hints.setText(page_hints(state.shown.page))
            self.set_current_place(self._rename_page().label or "")

        if state.name != before.name or state.is_ready != before.is_ready:
            self._draw_name(before.name)
        drawn = [
            (page.shown, page.is_ready, page.is_preparing, page.has_better)
            for page in (before, state)
        ]

        if drawn[0] != drawn[1]:
            self._show_header()
            self._show_notice()
            self.changed.emit()

    def _rename_page(self) -> ClassPage:
        return self.state.shown.page.rename(self.view.names)

    def _show_header(self) -> None:
        state = self.state
        page = self._rename_page()
        count = len(state.shown.samples(state.shown.open()))
        counts = self.worker.counts
        # Enter gives unnamed clusters no label, so its button says how many faces are left in all.
        if state.shown.has_clusters and counts is not None:
            count = counts.pending
        self.header.show_page(
            page,
            count,
            is_begun=bool(state.shown.sent),
            offers_better=state.offers_better,
        )

        self.hints.has_classes = bool(self.worker.keys)
        self.hints.update()

    def _show_notice(self) -> None:
        counts = self.worker.counts
        if self.state.shown.page.tiles:
            self.empty.show_notice(None)
        elif self.state.is_preparing and (counts is None or counts.pending):
            self.empty.show_notice(
                Notice(tr("Preparing pages…"), tr("You can already type a name."))
            )
        elif counts is not None and counts.total:
            self.show_all_sorted(counts)
        elif counts is not None:
            self.show_no_faces()

    def _draw_name(self, before: Name | None) -> None:
        name = self.state.name
        field = self.header.name
        if name is None:
            field.clear()
            if field.parentWidget() is self.view.viewport():
                field.hide()
            # A field that was just hidden has lost the focus already.
            if field.hasFocus() or (before is not None and not field.isVisible()):
                self.focus_home()
            return

        self._place_field()
        field.show()
        field.setFocus()
        if field.text() != name.text:
            field.setText(name.text)
        if before is None and name.offered:
            field.selectAll()

    def _place_field(self) -> None:
        # The field for a card is in its heading, otherwise above the page.
        field = self.header.name
        place = self.view.name_field_rect()
        viewport = self.view.viewport()
        if self.state.name is not None and place.isEmpty():
            self.header.insert_name_field()
        elif self.state.name is not None:
            if field.parentWidget() is not viewport:
                field.blockSignals(True)  # it loses the focus for a moment
                field.setParent(viewport)
                field.blockSignals(False)

            field.setGeometry(place)

    # -- events

    def enter(self) -> None:
        self.model.refresh()
        self.take(enter)

    def take_back(self, kind: StepKind) -> None:
        self.take(undo, kind, self.worker.unsaved_count > 0)

    def undo_name(self) -> str:
        """Return the arrangement that an undo reverts; '' for a step."""
        change = find_arrangement(
            replace(self.state, last=self.last_step()), StepKind.UNDO
        )
        return tr(change.arrangement.value) if change and change.arrangement else ""

    def _text_changed(self, text: str) -> None:
        name = self.state.name
        if text != (name.text if name is not None else ""):
            # No selected tiles, and not typed on the faces.
            self.take(type_name, text, (), False)

    def _end_name(self) -> None:
        self.take(end_name)
        self.focus_home()

    def _on_unfocused(self) -> None:
        # A name is for the card where it was begun, so that a click elsewhere discards it.
        field = self.header.name
        # Otherwise another window has the focus.
        if field.window().focusWidget() is not field:
            self.take(end_name)

    def _name_was_last(self) -> None:
        # Ctrl+Enter: other pages are filed with their name already.
        if self.state.shown.has_clusters:
            self._press(file_page)

    def _read_others(self) -> None:
        model = self.model
        others = frozenset(
            row
            for row in range(model.rowCount())
            if model.state(row).mark is TileMark.DONE
        )
        if others != self.state.shown.others:
            self.take(note_others, others)

    def _page_key(self, key: str) -> None:
        if (label := self.worker.class_for_key(key)) is not None:
            self.take(send_page, label)

    def _tick(self) -> None:
        if self.view.isVisible():
            self.take(look_for_better)

    def send_rows(self, rows: Sequence[int], target: str, provenance: str) -> None:
        self.take(send, tuple(rows), target, provenance == BY_SWEEP)

    def run_command(self, command: GridCommand, rows: list[int]) -> None:
        if command not in KEY_ACTIONS:
            super().run_command(command, rows)
            return
        is_click = command in (GridCommand.LIFT, GridCommand.SPLIT)
        if not is_click and rows == self.view.target_rows():
            # The page state itself finds what is pointed at. Other rows are of an enlarged face.
            rows = self.view.selected_rows()
        self._press(KEY_ACTIONS[command], rows)

    def acts(self, key: str) -> bool:
        return bool(key) and (len(key) > 1 or not self.view.begins_name(key))

    def make_menu(self, rows: list[int]) -> QMenu:
        """Add what can be done with a card, if the menu is for all of it."""
        menu = super().make_menu(rows)
        shown = self.state.shown
        card = shown.card_at(rows[0]) if shown.cards else -1
        if card < 0 or {*rows} != {*shown.targets(card)}:
            return menu

        menu.addSeparator()
        menu.addAction(
            tr("Name"),
            partial(self.take, click_heading, rows[0]),
        )
        if shown.has_clusters:
            menu.addAction(
                tr(Message.PARTED.value) + "\t−", partial(self._press, split, rows)
            )
        others = menu.addMenu(tr("Join with"))
        for other, box in self.view.cards():
            if other != card:
                name = shown.name_of(other) or tr("Who is this?")
                join = partial(
                    self.take,
                    drop,
                    tuple(rows),
                    box.first,
                )
                others.addAction(
                    self.view.portrait_icon(box),
                    name,
                    join,
                )

        return menu

    def _show_step(self, step: StepResult) -> None:
        operation = step.operation.first()
        if operation.kind in CLASS_OPERATIONS:
            self.view.rename(self.current_names(operation))
            self.set_current_place(self._rename_page().label or "")
            self._show_header()
        if step.kind is not StepKind.STEP:
            self.model.refresh()
            self.take(revert_step, step.root, step.kind)

    def _remove_classes(self, classes: set[str]) -> None:
        if self._rename_page().labels & classes:
            # As if nothing was left of the page: its suggestions are of a class that is gone.
            self.take(show_rest, self.state.shown.page, None, None)

    # -- commands

    def pages(self, session: SortingSession) -> Pages:
        """Return the pages of a session; call it on the worker's thread."""
        if self._pages is None:
            self._pages = Pages(session)
            self._find_nearest = self._pages.predictor.find_nearest
        return self._pages

    def _note_unreadable(self, left: int) -> None:
        # Faces that still have no embedding cannot be read, unless new ones are being detected.
        if not (left or self.context.imports.running):
            self.worker.ask(lambda session: self.pages(session).note_unreadable())

    def _ask(
        self, work: Callable[..., T], arguments: tuple[Any, ...], then: Act
    ) -> None:
        """Run `work` on the worker's thread, and `then`, with its answer, on that of the window."""

        def send_work() -> None:
            room = self.view.room()  # in faces

            def work_on_pages(session: SortingSession) -> T:
                pages = self.pages(session)
                pages.room = room
                return work(pages, *arguments)

            self.worker.ask(
                work_on_pages,
                lambda answer: self.take(then, *arguments, answer),
                lambda: self.take(note_failure, then),
                is_quiet=then is offer_better,  # asked again from time to time
            )

        QTimer.singleShot(0, self, send_work)  # a new window has its size by then

    def _decide(
        self, serial: int, samples: list[int], target: str, provenance: str
    ) -> None:
        self._save(
            serial,
            lambda session: session.decide(samples, target, provenance),
            {target},
        )

    def _file(self, serial: int, shown: Shown, label: str | None) -> None:
        page = shown.page.rename(self.view.names)

        def work(session: SortingSession) -> StepResult:
            return self.pages(session).label_page(
                page,
                shown.lifted,
                shown.sent,
                label,
            )

        self._save(serial, work, {label} if label else page.labels)

    def _save(
        self,
        serial: int,
        work: Callable[[SortingSession], StepResult],
        classes: set[str],
    ) -> None:
        # A decision that changed nothing has no step: it is noted like a refused one.
        self.worker.decide(
            work,
            lambda step: self.take(note_saved, serial, step.root if step.step else 0),
            lambda: self.take(note_saved, serial, 0),
            classes,
        )

    # -- messages

    def _say(self, message: Message, name: str) -> None:
        self.worker.show_message(tr(message.value, name=name))

    def _say_change(self, change: Message, kind: StepKind) -> None:
        what = tr(change.value)
        if kind is StepKind.STEP:
            self.worker.ask(lambda session: session.history.forget_redo())
            # The cross on an excluded tile is message enough.
            if change is Message.EXCLUDED:
                return
            what = tr("{what} · Ctrl+Z: undo", what=what)
        self.worker.show_message(report_change(what, kind))
