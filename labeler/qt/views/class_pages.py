"""Class pages: everybody who may be Miku at once; Enter files all that are not marked.

Faces that nobody has touched come in groups once they are measured, and in better ones once a
network has seen them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from functools import partial
from itertools import accumulate

from PySide6.QtCore import QObject, QTimer, Signal

from gleanset.db.sorting import SampleTile
from gleanset.errors import GleansetError
from gleanset.operations import Operation
from labeler.qt.grid.gesture_view import GridCommand
from labeler.qt.grid.model import UNMARKED, TileMark, TileState
from labeler.qt.views.base import ViewContext
from labeler.qt.views.labeling import PagedView
from labeler.qt.views.notices import all_sorted, making_pages
from labeler.qt.views.page_grid import PageGrid, PageNaming
from labeler.qt.views.page_header import PageHeader, PageHints
from labeler.qt.widgets import pile
from labeler.sorting.groups import moved
from labeler.sorting.page_layout import ClassPage, PageKind
from labeler.sorting.pages import Pages
from labeler.sorting.session import BY_HAND, WITH_PAGE, Place, SortingSession, StepKind, StepResult

LOOK_MS = 500
MOUSE_REST_SECONDS = 1.5


class ClustersRefresh(QObject):
    """Watches the page of a grid, from `shown` until somebody does something.

    `better` (a page) comes where there is one by then; `anew` makes it, for a number of faces.
    """

    better = Signal(object)

    def __init__(
        self,
        grid: PageGrid,
        anew: Callable[[SortingSession, ClassPage, int], ClassPage | None],
    ) -> None:
        super().__init__(grid)
        self._grid, self._worker, self._anew = grid, grid.worker, anew
        self._page: ClassPage | None = None
        self._moved_at = 0.0
        self._asked = False
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        grid.mouse.moved_over.connect(self._moved)

    def shown(self, page: ClassPage | None) -> None:
        watched = page is not None and page.kind in (PageKind.GROUPS, PageKind.PLAIN)
        self._page = page if watched else None
        if watched:
            self._timer.start(LOOK_MS)
        else:
            self._timer.stop()

    def stop(self) -> None:
        self.shown(None)

    def _moved(self) -> None:
        self._moved_at = time.monotonic()

    def _rests(self) -> bool:
        return time.monotonic() - self._moved_at >= MOUSE_REST_SECONDS

    def _look(self) -> None:
        page, room = self._page, self._grid.room()
        if page is None or page is not self._grid.page:
            self.stop()
        elif self._rests() and not self._asked and self._grid.isVisible():
            self._asked = True
            self._worker.ask(
                lambda session: self._anew(session, page, room),
                lambda better: self._offer(page, better),
                lambda error: self._offer(page, None),
            )

    def _offer(self, page: ClassPage, better: ClassPage | None) -> None:
        self._asked = False
        if better is not None and page is self._page is self._grid.page and self._rests():
            self.better.emit(better)
            if page.kind is PageKind.GROUPS:
                text = self.tr("Clusters updated with new features")
                self._worker.show_message(text)


class PageHistory:
    """Pages that can be shown again, under the names that classes have now.

    Those that a step (by its root) has filed, those `earlier` than the one that is shown, and what
    was `lifted` on each.
    """

    def __init__(self) -> None:
        self.filed: dict[int, ClassPage] = {}
        self.earlier: list[ClassPage] = []
        self.lifted: dict[ClassPage, Sequence[int]] = {}

    def file(self, root: int, page: ClassPage) -> None:
        self.filed[root] = page
        self.earlier.append(page)

    def rename(self, names: Mapping[str, str]) -> None:
        self.filed = {root: page.renamed(names) for root, page in self.filed.items()}
        self.earlier = [page.renamed(names) for page in self.earlier]
        self.lifted = {page.renamed(names): rows for page, rows in self.lifted.items()}

    def forget(self, gone: Set[str]) -> None:
        """Keep no page that names a class which is gone."""
        self.filed = {root: page for root, page in self.filed.items() if not page.labels & gone}
        self.earlier = [page for page in self.earlier if not page.labels & gone]
        self.lifted = {page: rows for page, rows in self.lifted.items() if not page.labels & gone}


class ClassPagesView(PagedView):
    """Nothing moves until Enter; what is sent elsewhere is saved at once and stays in place."""

    grids = PageGrid
    view: PageGrid

    def __init__(self, context: ViewContext) -> None:
        super().__init__(context)
        self.page: ClassPage | None = None
        self._pages: Pages | None = None  # made and used on the worker's thread only
        self._kept = PageHistory()
        self._came_by_itself = False
        self.header, self.hints = PageHeader(), PageHints(self.worker)
        self.names = PageNaming(self.view, self.header.name, self.name_page)
        self._untouched = ClustersRefresh(
            self.view, lambda session, page, room: self.work(session).anew(page, room)
        )
        self.header.name.ended.connect(self._name_was_last)
        pile(self, self.header, self.view, self.hints)
        self._untouched.better.connect(self._show_better)
        context.embedding_task.left.connect(self._measuring)
        self.model.dataChanged.connect(self._say)
        self.header.filed.connect(self.file_page)
        self.header.skipped.connect(self.skip_page)
        self.view.page_key.connect(self._page_key)
        self.view.dropped_on_group.connect(self._put_together)
        self.worker.classes_changed.connect(self._leave_out)

    def enter(self) -> None:
        self.focus_home()
        if self.page is None:
            self.next_page()
        else:
            self.model.refresh()

    def note_input(self) -> None:
        self._untouched.stop()

    def key_state(self) -> Hashable:
        return super().key_state(), self._asked

    # -- pages

    def work(self, session: SortingSession) -> Pages:
        """Return the pages of a session; on the worker's thread."""
        if self._pages is None:
            self._pages = Pages(session)
        return self._pages

    def next_page(self) -> None:
        self._asked = True
        progress = self.worker.progress
        if not self.model.rowCount() and (progress is None or progress.counts.waiting):
            self.view.waits = True
            self.empty.show_notice(making_pages())
        QTimer.singleShot(0, self, self._ask)  # a window that is being opened has its size by then

    def _ask(self) -> None:
        room = self.view.room()
        self.worker.ask(lambda session: self.work(session).next(room), self.show_page, self._failed)
        self.names.offer_known()

    def _measuring(self, left: int) -> None:
        """Say how many faces are still to be measured; what is left at the end cannot be read."""
        self.header.show_left(left)
        if not left:
            self.worker.ask(lambda session: self.work(session).all_measured())

    def _failed(self, error: GleansetError) -> None:
        self.view.name_until, self.view.waits = 0.0, False
        self.empty.show_notice(None)
        super()._failed(error)

    def show_page(self, page: ClassPage | None) -> None:
        self._asked = self._came_by_itself = False
        if page is not None and page == self.page:
            self.worker.show_message(self.tr("No other page"))
        self._keep_lifted()
        writing, self.page = self.names.under_way, page
        self.clear_sent()
        self.view.show_page(page, self.worker.keys)
        self.hints.turn(self.view.shown)
        self.record_shown()
        self._note_label()
        if page is not None:
            self.model.set_state(self._kept.lifted.pop(page, ()), TileState(TileMark.LIFTED))
        self._say()
        self._explain()
        self._show_sureness(page)
        self.names.page_came(writing)
        self._untouched.shown(page)

    def _show_better(self, page: ClassPage) -> None:
        self.show_page(page)
        self._came_by_itself = True

    def _note_label(self) -> None:
        page = self.page
        told = page is not None and page.kind is PageKind.CLASS
        self.set_current_place((page.label or "") if page is not None and told else "")

    def _show_sureness(self, page: ClassPage | None) -> None:
        self.header.bars.show_counts("", ())
        if page is not None:
            show = partial(self.header.show_sureness, page)
            self.worker.ask(lambda s: self.work(s).sureness(page.label), show)

    def _explain(self) -> None:
        counts = self.worker.progress.counts if self.worker.progress else None
        if self.page is not None or counts is None:
            self.empty.show_notice(None)
        elif counts.total:
            self.empty.show_notice(all_sorted(self, counts))
        else:
            self.show_no_faces()

    def _keep_lifted(self) -> None:
        if self.page is not None and (rows := self.marked(TileMark.LIFTED)):
            self._kept.lifted[self.page] = rows

    def marked(self, *marks: TileMark) -> list[int]:
        return [row for row, state in self.model.states.items() if state.kind in marks]

    def _say(self) -> None:
        going = 0
        if self.page is not None:
            out = set(self.marked(TileMark.LIFTED, TileMark.SENT))
            going = sum(len(t.rows) for n, t in enumerate(self.page.tiles) if n not in out)
        self.header.show_page(self.view.shown, going)

    def file_page(self) -> None:
        """File all that are not marked, once all of them have been seen: the key is Enter."""
        first = self.view.shown.first_step if self.view.shown is not None else ""
        # Faces that are pulled out of groups without a name would leave an overview as it is.
        if first and not self.marked(TileMark.SENT, TileMark.DONE):
            self.worker.show_message(first)
        elif self._may_be_filed():
            self._file(None)

    # -- names

    def name_page(self, label: str) -> None:
        """File the whole page as one class, a new one or one that was not proposed; on an
        overview the group that is pointed at.
        """
        if self.view.has_groups:
            rows = self.view.target_rows()
            if not rows:
                self.names.say_no_group()
            elif self.view.all_seen(rows):
                self.names.clear()
                self.send_rows(rows, label, WITH_PAGE)
                self.focus_home()
                self.view.point_at_next_group()
        elif self.view.files and self._may_be_filed():
            self.names.clear()
            self._file(label)

    def _name_was_last(self) -> None:
        """File the overview whose group got a name; any other page is filed with its name."""
        if self.page is not None and self.view.has_groups:
            self.file_page()

    def _may_be_filed(self) -> bool:
        """Return whether a person can have seen the page; else say why it is not filed."""
        if self.page is None:
            self.worker.show_message(self.tr("No page to accept"))
        else:
            return not self.is_too_recent() and self.view.all_seen()
        return False

    def send_rows(self, rows: Sequence[int], target: str, how: str) -> None:
        """Send tiles; several of a group that was named at once count as filed with the page."""
        if self._came_by_itself and self.is_too_recent():
            return  # meant for the groups before
        whole = self.view.has_groups and len(rows) > 1
        super().send_rows(rows, target, WITH_PAGE if whole else how)

    def _page_key(self, key: str) -> None:
        label = self.worker.class_for_key(key)
        if label is None:
            self.worker.show_message(self.tr("No class has the key {key}").format(key=key.upper()))
        else:
            self.name_page(label)

    def _file(self, label: str | None) -> None:
        self._keep_lifted()
        self.names.page_filed()
        page, self.page = self.page, None
        assert page is not None
        lifted, sent = self.marked(TileMark.LIFTED), self.marked(TileMark.SENT)
        self._asked = True
        known = ({label} if label else page.labels) & self.worker.keys.keys()

        def carry_out(session: SortingSession) -> StepResult:
            session.refuse_gone(known)
            return self.work(session).file(page, lifted, sent, label)

        self.worker.decide(carry_out, lambda done: self._kept.file(done.root, page))
        self.next_page()

    def skip_page(self) -> None:
        """Show another page for PgDn; this one comes again at the end."""
        page = self.page
        if page is None:
            self.worker.show_message(self.tr("No other page"))
            return
        self._kept.earlier.append(page)
        self.worker.ask(lambda session: self.work(session).skip(page))
        self.next_page()

    def _turn_back(self) -> None:
        if self._kept.earlier:
            self.show_page(self._kept.earlier.pop())
        else:
            self.worker.show_message(self.tr("No earlier page"))

    def step_reverted(self, done: StepResult) -> None:
        """Turn to a page that was undone; turn on where it was done again."""
        page = self._kept.filed.get(done.root)
        if page is not None and done.kind is StepKind.UNDO:
            self.show_page(page)
        elif page is not None:
            self.next_page()

    def class_changed(self, operation: Operation) -> None:
        """Call a class by its new name on all pages that are kept."""
        page, names = self.page, self.current_names(operation)
        self._kept.rename(names)
        if page is not None and names:
            self.page = page.renamed(names)
            self.names.page_renamed(page)
            self.view.rename(self.page, self.worker.keys)
            self._note_label()
            self._say()
            self.header.show_sureness(self.page, self.header.bars.counts)

    def _leave_out(self, gone: set[str]) -> None:
        self.names.offer_known()
        self._kept.forget(gone)
        if self.page is not None and self.page.labels & gone:
            self.next_page()

    # -- tiles

    def commanded(self, command: GridCommand, rows: list[int]) -> None:
        plain: dict[GridCommand, Callable[[], object]] = {
            GridCommand.ENTER: self.file_page,
            GridCommand.NEXT_PAGE: self.skip_page,
            GridCommand.PREVIOUS_PAGE: self._turn_back,
        }
        if command in plain:
            plain[command]()
        elif command is GridCommand.LIFT:
            self._lift(rows)
        elif command is GridCommand.NEW and self.header.name.isVisible():
            self.names.write()
        elif command in (GridCommand.SPLIT, GridCommand.OPEN):
            self._split(rows)
        else:
            super().commanded(command, rows)
        self._say()

    def _lift(self, rows: list[int]) -> None:
        """Take tiles out of what Enter files, or put them back: a click, or Space."""
        lifted = [row for row in rows if self.model.state(row).kind is TileMark.IN]
        back = [row for row in rows if self.model.state(row).kind is TileMark.LIFTED]
        self.model.set_state(lifted, TileState(TileMark.LIFTED))
        self.model.set_state(back, UNMARKED)
        if sent := [row for row in rows if self.model.state(row).kind is TileMark.SENT]:
            self.send_rows(sent, Place.QUEUE.target, BY_HAND)
            self.model.set_state(sent, UNMARKED)

    def _split(self, rows: list[int]) -> None:
        """Show the samples of a stack one by one: S, or a double click; on an overview a group in
        two.
        """
        if self.view.has_groups:
            self._divide(rows)
            return
        ids = self.model.ids(rows)
        if len(ids) <= len(rows):
            self.worker.show_message(self.tr("Point at a stack first"))
        else:
            self.worker.ask(lambda session: self.work(session).split(ids))
            self.next_page()

    def show_details(self, row: int, tile: SampleTile) -> None:
        """Show the first three proposals in the panel, and the nearest of those decided."""
        details, page = self.context.details, self.page
        top = page.tiles[row].proposal.top if page and row < len(page.tiles) else ()

        def more() -> None:
            details.show_proposals([(self.key_of(label), label, sure) for label, sure in top])
            self.worker.ask(
                lambda s: list(s.tiles.of(self.work(s).nearest(tile.id)).values()),
                lambda near: details.show_neighbours(near, tile.id),
            )

        details.point(tile, more)

    # -- groups: two become one, and one becomes two

    def _put_together(self, rows: list[int], onto: int) -> None:
        """Join what was dropped to the group of another tile: under its name where it has one."""
        page = self.page
        if page is None or page.kind is not PageKind.GROUPS:
            return
        if name := self.view.name_of(onto):
            self.send_rows(rows, name, WITH_PAGE)
            return
        self._show_instead(page, moved(page, rows, onto), without=rows)

    def _divide(self, rows: list[int]) -> None:
        """Take the group that is pointed at apart; what was done with its faces stays."""
        page = self.page
        if page is None or not rows:
            self.worker.show_message(self.tr("Point at a cluster first"))
            return
        number = next(n for n, end in enumerate(accumulate(page.groups)) if rows[0] < end)

        def show(parted: ClassPage) -> None:
            self._asked = False
            self._show_instead(page, parted)

        self._asked = True
        self.worker.ask(lambda session: self.work(session).divide(page, number), show, self._failed)

    def _show_instead(self, page: ClassPage, other: ClassPage, without: Sequence[int] = ()) -> None:
        """Show the faces of a page in other groups, unless it was left; what was done with them
        stays, but for those `without`.
        """
        if self.page is page:
            done = {self.model.id(row): state for row, state in self.model.states.items()}
            moved_ids = {self.model.id(row) for row in without}
            self.show_page(other)
            self._untouched.shown(None)
            for sample, state in done.items():
                if sample not in moved_ids:
                    self.model.set_state([self.model.row_of(sample)], state)
