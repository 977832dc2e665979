"""Class pages: the faces suggested for one class at a time; Enter accepts all unmarked ones.

Faces without suggestions are shown as clusters. A page with names or suggestions is never replaced
while it is shown: better suggestions are offered by a button.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from PySide6.QtCore import QObject, Qt, QTimer
from PySide6.QtGui import QKeySequence, QShortcut

from gleanset.errors import GleansetError
from gleanset.operations import Operation
from labeler.qt.grid.gesture_view import GridCommand
from labeler.qt.grid.model import UNMARKED, TileMark, TileState
from labeler.qt.translations import counted
from labeler.qt.views.base import Notice, ViewContext
from labeler.qt.views.labeling import PagedView
from labeler.qt.views.page_grid import PageGrid, PageNaming
from labeler.qt.views.page_header import PageHeader
from labeler.qt.widgets import KeyHints, set_column
from labeler.sorting.page_history import PageHistory, Suggested
from labeler.sorting.page_layout import ClassPage, PageKind, move_tiles
from labeler.sorting.pages import Pages
from labeler.sorting.session import (
    BY_HAND,
    WITH_PAGE,
    Place,
    SortingSession,
    StepKind,
    StepResult,
)

T = TypeVar("T")
NAMED = TileMark.SENT, TileMark.DONE
REFRESH_MS = 500
MOUSE_REST_SECONDS = 1.5
"""How long the mouse rests before faces that were not compared yet become clusters."""

SUGGEST_AGAIN_KEY = "Ctrl+R"
MIN_MOVED = 3
"""Faces moved from a page to one class, after which better suggestions are offered."""


class ClustersRefresh(QObject):
    """Looks for a better page than the one that is shown.

    Faces that are not compared yet are replaced, because Enter labels none of them: `show` gets the
    page that `rebuild` finds. Any other page stays as it is; `offer` is called instead. `rebuild`
    takes the page and the number of faces that fit.
    """

    def __init__(
        self,
        grid: PageGrid,
        rebuild: Callable[[SortingSession, ClassPage, int], ClassPage | None],
        show: Callable[[ClassPage], None],
        offer: Callable[[], None],
    ):
        super().__init__(grid)
        self._grid = grid
        self._worker = grid.worker
        self._rebuild = rebuild
        self._show = show
        self._offer = offer
        self._page: ClassPage | None = None
        self._moved_at = 0.0
        self._is_loading = False
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._check)
        grid.mouse.moved_over.connect(self._note_move)

    def watch(self, page: ClassPage | None) -> None:
        """Look for a better page than a composed one from now on."""
        self._page = page
        if page is not None and not page.by_hand:
            self._timer.start(REFRESH_MS)
        else:
            self._timer.stop()

    def _note_move(self) -> None:
        self._moved_at = time.monotonic()

    def note_input(self) -> None:
        """Wait until the mouse rests again."""
        self._note_move()

    def _may_replace(self, page: ClassPage) -> bool:
        is_shown = page is self._page is self._grid.page and self._grid.isVisible()
        is_resting = time.monotonic() - self._moved_at >= MOUSE_REST_SECONDS
        return is_shown and (is_resting or page.kind is not PageKind.PLAIN)

    def _check(self) -> None:
        page = self._page
        room = self._grid.room()
        if page is None or page is not self._grid.page:
            self.watch(None)
        elif not self._is_loading and self._may_replace(page):
            self._is_loading = True
            self._worker.ask(
                lambda session: self._rebuild(session, page, room),
                lambda other: self._use(page, other),
                lambda error: self._use(page, None),
            )

    def _use(self, page: ClassPage, other: ClassPage | None) -> None:
        self._is_loading = False
        if other is None or not self._may_replace(page):
            return
        if page.kind is PageKind.PLAIN:
            self._show(other)
        else:
            self.watch(None)
            self._offer()


class ClassPagesView(PagedView):
    """Tiles stay in place until Enter; what is sent elsewhere is saved at once."""

    grid_class = PageGrid
    view: PageGrid

    def __init__(self, context: ViewContext):
        super().__init__(context)
        self.page: ClassPage | None = None
        self._pages: Pages | None = None  # made and used on the worker's thread only
        self._history = PageHistory()
        self._moves: dict[int, tuple[ClassPage, ClassPage]] = {}
        """The pages before and after steps (by their root) that moved labelled faces."""
        self.header = PageHeader(
            self.worker, self.file_page, self.skip_page, self.suggest_again
        )
        self.hints = KeyHints()
        self.names = PageNaming(self.view, self.header, self.name_page)
        self._moved = Counter[str]()
        self._refresh = ClustersRefresh(
            self.view, self._rebuild, self._show_refreshed, self._offer_better
        )
        shortcut = QShortcut(QKeySequence(SUGGEST_AGAIN_KEY), self, self.suggest_again)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        self.header.name.ended.connect(self._name_was_last)
        set_column(self, self.header, self.view, self.hints)
        context.embedding_task.left.connect(self._note_unreadable)
        context.imports.images_added.connect(self._watch_unless_begun)
        self.model.dataChanged.connect(self._show_header)
        self.view.page_key.connect(self._page_key)
        self.view.dropped_on_card.connect(self._drop_on_card)
        self.worker.classes_changed.connect(self._remove_classes)
        self.worker.progressed.connect(self._show_header)

    def enter(self) -> None:
        page = self.page
        room = self.view.room()
        if page is None:
            self.next_page()
            return
        self.model.refresh()
        is_begun = self._watch_unless_begun()
        sent = self.model.ids(self.marked(*NAMED)) if is_begun else None
        self._ask_pages(
            lambda pages: pages.refresh(page, room, sent),
            partial(self._replace_page, page),
        )

    def _watch_unless_begun(self) -> bool:
        has_input = bool(self.model.states or self._sent or self.header.name.text())
        is_begun = self.page is None or self.page.by_hand or has_input
        if not is_begun:
            self._refresh.watch(self.page)
        return is_begun

    def note_input(self) -> None:
        self._refresh.note_input()

    # -- pages

    def pages(self, session: SortingSession) -> Pages:
        """Return the pages of a session; call it on the worker's thread."""
        if self._pages is None:
            self._pages = Pages(session)
            self._find_nearest = self._pages.predictor.find_nearest
        return self._pages

    def _rebuild(
        self, session: SortingSession, page: ClassPage, room: int
    ) -> ClassPage | None:
        return self.pages(session).recompose(page, room)

    def _offer_better(self) -> None:
        self.header.better_button.show()

    def suggest_again(self) -> None:
        """Replace the page by what is suggested now (Ctrl+R)."""
        page = self.page
        if page is None:
            self.worker.show_message(self.tr("No page to suggest again"))
            return
        self.names.discard()
        room = self.view.room()

        def show(other: ClassPage | None) -> None:
            self._is_loading = False
            if self.page is page:
                self.show_page(other)
                self.worker.show_message(self.tr("Suggested again"))

        self._ask_pages(lambda pages: pages.next(room), show)

    def _leave(self) -> ClassPage | None:
        """Return the page, which takes no more names or labels."""
        self.view.end_stroke()
        self._store_lifted()
        self._history.later.clear()
        page, self.page = self.page, None
        self.view.set_point(-1)
        self.view.is_left = True
        return page

    def _has_left(self) -> bool:
        """Return whether the next page is being prepared, and say so."""
        if self.view.is_left:
            self.worker.show_message(self.tr("Preparing pages…"))
        return self.view.is_left

    def next_page(self) -> None:
        self._leave()
        self._is_loading = True
        progress = self.worker.progress
        if not self.model.rowCount() and (progress is None or progress.counts.pending):
            self.view.waits = True
            text = self.tr("You can already type a name.")
            self.empty.show_notice(Notice(self.tr("Preparing pages…"), text))
        QTimer.singleShot(0, self, self._ask_next)  # a new window has its size by then

    def _ask_next(self) -> None:
        room = self.view.room()
        self._ask_pages(lambda pages: pages.next(room), self.show_page)
        self.header.name.read_names()

    def _ask_pages(self, ask: Callable[[Pages], T], show: Callable[[T], None]) -> None:
        self._is_loading = True
        self.worker.ask(lambda session: ask(self.pages(session)), show, self._failed)

    def _note_unreadable(self, left: int) -> None:
        # Faces that still have no embedding cannot be read, unless new ones are being detected.
        if not (left or self.context.imports.running):
            self.worker.ask(lambda session: self.pages(session).note_unreadable())

    def _failed(self, error: GleansetError) -> None:
        self.view.name_until, self.view.waits = 0.0, False
        self.page = self.view.page
        self.view.is_left = False
        self.empty.show_notice(None)
        super()._failed(error)

    def show_page(self, page: ClassPage | None) -> None:
        self._is_loading = self._is_refreshed = False
        self.header.better_button.hide()
        self._moved.clear()
        if page is not None and page == self.view.page:
            self.worker.show_message(self.tr("No other page"))
        self._store_lifted()
        was_typing = self.names.is_typing
        self.page = page
        self.view.is_point_held &= not was_typing
        steps, sent = self._history.steps, self._history.sent
        self._sent = {
            root: ids for root, ids in sent.items() if steps.get(root) == page
        }
        self.view.show_page(page)
        # The room for tiles may change only with the page.
        self.hints.show()
        self.hints.setText(self.view.description.hints if self.view.description else "")
        self.record_shown()
        self.set_current_place((page and page.label) or "")
        rows = [
            n for n, of in enumerate(self._suggested()) if self._history.is_excluded(of)
        ]
        self.model.set_state(rows, TileState(TileMark.LIFTED))
        self.names.page_changed(was_typing)
        self._show_header()
        self._show_notice()
        self.names.page_shown(was_typing)
        self._refresh.watch(None if self.marked(TileMark.LIFTED, *NAMED) else page)

    def _show_refreshed(self, page: ClassPage) -> None:
        if self.page is None or self.names.is_typing:
            return
        self.show_page(page)
        self._is_refreshed = True
        if page.kind is not PageKind.PLAIN:
            self.worker.show_message(self.tr("Similar faces are together now"))

    def _show_notice(self) -> None:
        counts = self.worker.progress.counts if self.worker.progress else None
        if self.page is not None or counts is None:
            self.empty.show_notice(None)
        elif counts.total:
            self.show_all_sorted(counts)
        else:
            self.show_no_faces()

    def _store_lifted(self) -> None:
        for row, of in enumerate(self._suggested() if self.page is not None else ()):
            self._history.exclude(of, self.model.state(row).mark is TileMark.LIFTED)

    def _suggested(self) -> Iterator[Suggested]:
        for row in range(self.model.rowCount()):
            label = self.model.prediction(row).label
            cluster = self.view.section_rows(row)
            yield self.model.ids([row]), label or frozenset(self.model.ids(cluster))

    def marked(self, *marks: TileMark) -> list[int]:
        return [
            row
            for row in range(self.model.rowCount())
            if self.model.state(row).mark in marks
        ]

    def _show_header(self) -> None:
        count = len(self.model.ids(self.view.unmarked()))
        progress = self.worker.progress
        if self.view.has_clusters and progress is not None:
            count = progress.counts.pending
        self.header.show_page(self.view.description, count, bool(self.marked(*NAMED)))
        self.hints.has_classes = bool(self.worker.keys)
        self.hints.update()

    def file_page(self) -> None:
        """Accept all unmarked faces, once all of them were shown (Enter)."""
        description = self.view.description
        first = description.first_step if description is not None else ""
        # Excluding faces from unnamed clusters decides nothing.
        if first and not self.marked(*NAMED):
            self.worker.show_message(first)
        elif self._can_be_filed():
            self._file(None)

    # -- names

    def name_page(self, label: str, *, whole: bool = False) -> None:
        """Label the page or, unless `whole`, what is pointed at on cards and faces."""
        is_for_faces = (
            self.names.is_for_faces or self.view.has_cards or self.view.takes_names
        )
        if is_for_faces and not whole:
            rows = self.view.named_rows()
            if not rows:
                self.names.say_no_target()
            elif self.view.all_seen(rows) and not (
                self._is_refreshed and self.is_too_recent()
            ):
                self.header.name.clear()
                self.send_rows(
                    rows, label, WITH_PAGE if self.view.has_cards else BY_HAND
                )
                self.focus_home()
                self.view.point_past(rows)
        elif (whole or self.page is None or self.page.label) and self._can_be_filed():
            self.header.name.clear()
            self._file(label)

    def _name_was_last(self) -> None:
        # Ctrl+Enter: other pages are filed with their name already.
        if self.page is not None and self.view.has_clusters:
            self.file_page()

    def _can_be_filed(self) -> bool:
        # Only what the user can have seen is filed.
        if self.page is None:
            self.worker.show_message(self.tr("No page to accept"))
            return False
        return not self.is_too_recent() and self.view.all_seen()

    def send_rows(self, rows: Sequence[int], target: str, provenance: str) -> None:
        """Send tiles; a cluster named as a whole counts as filed with the page."""
        if self._has_left() or (self._is_refreshed and self.is_too_recent()):
            return  # meant for the clusters shown before
        self._history.later.clear()
        is_whole_cluster = self.view.has_clusters and len(rows) > 1
        super().send_rows(rows, target, WITH_PAGE if is_whole_cluster else provenance)
        self._moved[target] += len(rows) if provenance != WITH_PAGE else 0
        is_corrected = self._moved[target] >= MIN_MOVED and not self.view.has_clusters
        if is_corrected and not self.marked(TileMark.LIFTED):
            # These are known now, so that what is left can be suggested better.
            self._offer_better()

    def _page_key(self, key: str) -> None:
        if (label := self.worker.class_for_key(key)) is not None:
            self.name_page(label, whole=not self.view.cluster)

    def _file(self, label: str | None) -> None:
        page = self._leave()
        assert page is not None
        lifted, sent = self.marked(TileMark.LIFTED), self.marked(TileMark.SENT)
        if label or not self.view.has_clusters:  # until the next page is shown
            self.model.set_state(self.view.unmarked(), TileState(TileMark.SENT, "✓"))
        self._is_loading = True
        self.worker.decide(
            lambda session: self.pages(session).label_page(page, lifted, sent, label),
            lambda done: self._history.leave(page, self._sent, done.root),
            classes={label} if label else page.labels,
        )
        self.next_page()

    def skip_page(self) -> None:
        """Show the next page (PgDn); this one is shown again at the end."""
        if (page := self.page) is None:
            self.worker.show_message(self.tr("No other page"))
            return
        self.names.discard()
        self._history.leave(page, self._sent)
        self.worker.ask(lambda session: self.pages(session).skip(page))
        if self._history.later:
            self.show_page(self._history.later.pop())
        else:
            self.next_page()

    def _show_earlier(self) -> None:
        earlier = self._history.earlier
        while (
            earlier and earlier[-1] == self.page
        ):  # it was filed, and is shown again by an undo
            earlier.pop()
        if earlier:
            self.names.discard()
            page = earlier.pop()
            if self.page is not None:
                self._history.leave(self.page, self._sent)
                self._history.later.append(earlier.pop())
            self.show_page(page)
        else:
            self.worker.show_message(self.tr("No earlier page"))

    def step_reverted(self, step: StepResult) -> None:
        """Show the page that was undone; the next one if its last step was redone."""
        steps = self._history.steps
        is_redo = step.kind is StepKind.REDO
        page = steps.get(step.root, self.page)
        last = max((root for root in steps if steps[root] == page), default=0)
        if page is None or (
            is_redo and page in self._history.earlier and step.root == last
        ):
            self.next_page()
            return
        if page != self.page:
            self.show_page(page)
            self._refresh.watch(None)
        if step.root in self._moves:
            self._replace_page(self.page or page, self._moves[step.root][is_redo])
        rows = self._rows_of(self._sent.get(step.root, ()))
        if is_redo:
            self.view.point_at_next(rows)
        elif rows:
            self.model.withdraw_labels(rows)
            self.view.lead_to(rows[0])
        at = self.view.mouse.at
        if (
            at is not None and step.root in self._moves
        ):  # what is typed is for the card under it
            under = self.view.indexAt(at).row()
            self.view.set_point(
                under if under >= 0 else [*self.view.section_at(at), -1][0]
            )

    def class_changed(self, operation: Operation) -> None:
        page = self.page
        names = self.current_names(operation)
        self._history.rename(names)
        if page is not None and names:
            self.page = page.renamed(names)
            self.names.page_renamed(page)
            self.view.rename(self.page)
            self.set_current_place(self.page.label or "")
            self._show_header()

    def _remove_classes(self, classes: set[str]) -> None:
        self._history.remove(classes)
        if self.page is not None and self.page.labels & classes:
            self.next_page()

    # -- tiles

    def commanded(self, command: GridCommand, rows: list[int]) -> None:
        if self._has_left():
            return
        if command is GridCommand.ENTER:
            self.file_page()
        elif command is GridCommand.NEXT_PAGE:
            self.skip_page()
        elif command is GridCommand.PREVIOUS_PAGE:
            self._show_earlier()
        elif command is GridCommand.LIFT:
            self._lift(rows)
        elif command is GridCommand.SPLIT:
            self._split(rows)
        else:
            super().commanded(command, rows)
        self._show_header()

    def _lift(self, rows: list[int]) -> None:
        # A click or Ctrl+Space excludes tiles from what Enter accepts, or includes them again.
        if toggled := [row for row in rows if self.model.state(row).mark not in NAMED]:
            self._toggle(toggled)
            name = self.tr("Change which faces are excluded")
            self.note_change(toggled, name, *2 * [partial(self._toggle, toggled)])
        if sent := [row for row in rows if self.model.state(row).mark in NAMED]:
            self.send_rows(sent, Place.QUEUE.target, BY_HAND)
            self.model.set_state(sent, TileState(TileMark.LIFTED))
            self.model.withdraw_labels(sent)

    def _toggle(self, rows: Sequence[int]) -> None:
        lifted = [row for row in rows if self.model.state(row).mark is TileMark.LIFTED]
        self.model.set_state(rows, TileState(TileMark.LIFTED))
        self.model.set_state(lifted, UNMARKED)

    def _split(self, rows: list[int]) -> None:
        # S or a double click: unstack faces, or split a cluster.
        ids = self.model.ids(rows)
        if self.view.has_clusters:
            self._divide(rows)
        elif len(ids) <= len(rows):
            self.worker.show_message(self.tr("Point at a stack first"))
        else:
            self.worker.ask(lambda session: self.pages(session).split(ids))
            self.next_page()

    # -- joining and splitting clusters

    def _drop_on_card(self, rows: list[int], onto: int) -> None:
        # Two cards get the name or the class of one. A cluster without a name is joined, and faces
        # that had another name lose it.
        self.names.discard()  # it was for another card
        page = self.page
        name = self.view.name_of(onto)
        dropped = self.view.section_rows(rows[0])
        cluster = self.view.section_rows(onto)
        if name:
            self.send_rows(rows, name, BY_HAND)
        elif rows == self.view.open_rows(dropped) and (
            name := self.view.name_of(rows[0])
        ):
            self.send_rows(self.view.open_rows(cluster), name, WITH_PAGE)
        elif page is not None:
            other = move_tiles(page, rows, onto)
            self.view.set_point(onto)
            if sent := [row for row in rows if self.model.state(row).mark in NAMED]:
                self._move_unlabelled(sent, page, other)
            else:
                name = counted(
                    self.tr("Move {count} faces to another cluster"), len(rows)
                )
                self._rearrange(page, name, other, rows)

    def _move_unlabelled(
        self, rows: Sequence[int], page: ClassPage, other: ClassPage
    ) -> None:
        # One step: its undo or redo shows the other page of the two.
        ids = self.model.ids(rows)

        def decision(session: SortingSession) -> StepResult:
            step = session.decide(ids, Place.QUEUE.target)
            self._moves[step.root] = page, other
            return step

        self.decide_rows(dict.fromkeys(rows, UNMARKED), decision)
        self.model.withdraw_labels(rows)
        self._replace_page(page, other)

    def _divide(self, rows: list[int]) -> None:
        page = self.page
        target = {*rows[:1]}
        clusters = page.clusters if page is not None else ()
        divisible = (
            n for n, c in enumerate(clusters) if len(c) > 1 and not target.isdisjoint(c)
        )
        number = next(divisible, None)
        if page is None or number is None:
            self.worker.show_message(self.tr("Point at a cluster first"))
        else:
            self._ask_pages(
                lambda pages: pages.divide(page, number),
                partial(self._rearrange, page, self.tr("Split a cluster")),
            )

    def _rearrange(
        self, page: ClassPage, name: str, other: ClassPage, moved: Sequence[int] = ()
    ) -> None:
        self._replace_page(page, other, without=moved)
        if self.page is other is not page:
            self.worker.show_message(name + self.tr(" · Ctrl+Z: undo"))
            repeat = partial(self._replace_page, page, other, moved)
            self.note_change(
                moved, name, partial(self._replace_page, other, page), repeat
            )

    def _replace_page(
        self, page: ClassPage, other: ClassPage | None, without: Sequence[int] = ()
    ) -> None:
        # Keep the marks of all tiles, except in the rows `without`, and what an undo unmarks.
        self._is_loading = False
        if self.page is not page or page == other:
            return
        # An undo of an earlier step shows it as it is now.
        self._history.replace(
            lambda known: (other or known) if known is page else known
        )
        moved_ids = set(self._ids(without))
        sent = {**self._sent}
        states = [
            (self.model.ids([row]), state) for row, state in self.model.states.items()
        ]
        is_rearranged = other is not None and {*other.rows} == {*page.rows}
        targets = self._ids(self.view.target_rows()[:1]) if is_rearranged else []
        self.show_page(other)
        if rows := self._rows_of(
            targets
        ):  # tiles that slide under the mouse are not meant
            self.view.mouse.leads = False
            self.view.set_point(rows[0])
        self._sent |= sent
        for samples, state in states:
            self.model.set_state(self._rows_of({*samples} - moved_ids), state)
        if states or is_rearranged:
            self._refresh.watch(None)  # the page is being worked on
