"""Class pages: everybody who may be Miku at once; Enter files all that are not marked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from PySide6.QtCore import QCoreApplication, QTimer
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QVBoxLayout

from gleanset.db.sorting import SampleTile
from gleanset.errors import GleansetError
from labeler.qt.grid.gesture_view import GestureView, GridCommand
from labeler.qt.grid.layout import PlacedSection, Section
from labeler.qt.grid.model import UNMARKED, TileMark, TileModel, TileProposal, TileState
from labeler.qt.views.base import ViewContext
from labeler.qt.views.page_header import PageHeader, PageHints
from labeler.qt.views.sending import ENTER_DEAD, SendingView
from labeler.sorting.checks import Checks
from labeler.sorting.page_layout import ClassPage, PageKind
from labeler.sorting.pages import Pages
from labeler.sorting.session import BY_HAND, WITH_PAGE, Place, SortingSession, StepKind, StepResult

SMALLEST, LARGEST = 72, 176
LARGER = 1.5


class PageGrid(GestureView):
    """The grid of one page. `keys` are those of the classes."""

    page: ClassPage | None = None
    keys: dict[str, str]

    def show_page(self, page: ClassPage | None, keys: dict[str, str]) -> None:
        """Show a page, or nothing."""
        self.page, self.keys = page, keys
        self.tiles.blind = page is not None and page.kind is PageKind.CHECK
        self.tiles.only_waiting = not self.tiles.blind
        fill(self.tiles, page, keys)
        self.fit_page()

    def fit_page(self) -> None:
        """Make tiles as large as can be seen all at once."""
        self.fit(SMALLEST, LARGEST)

    @property
    def has_groups(self) -> bool:
        """Whether the page is an overview, on which a gesture means the whole of a group."""
        return self.page is not None and self.page.kind is PageKind.GROUPS

    def meant(self, rows: list[int]) -> list[int]:
        """Return what is left of the group of each tile; what was marked in it is meant alone."""
        if not self.has_groups:
            return rows
        found: list[int] = []
        for row in rows:
            whole = self.unmarked(self.section_rows(row)) if self.unmarked([row]) else [row]
            found += [one for one in whole if one not in found]
        return found

    def unmarked(self, rows: Iterable[int]) -> list[int]:
        """Return those of some tiles with which nothing was done."""
        return [row for row in rows if self.tiles.state(row).kind is TileMark.IN]

    def group_to_name(self) -> list[int]:
        """Return the group that a name is for: that pointed at, else the first without a name."""
        rows = self.target_rows()
        return rows or self.meant(self.unmarked(range(self.tiles.rowCount()))[:1])

    def heading(self, place: PlacedSection) -> str:
        """Return a group's name once it has one."""
        rows = range(place.first, place.first + place.section.count)
        sent = Counter(state.target for row in rows if (state := self.tiles.state(row)).target)
        if not self.has_groups or not sent:
            return super().heading(place)
        name = sent.most_common(1)[0][0]
        keys = self.worker.last.keys if self.worker.last else {}
        return f"{keys.get(name, '').upper()}  {name}".strip()


def fill(model: TileModel, page: ClassPage | None, keys: Mapping[str, str]) -> None:
    """Show the tiles of a page in a model; each stands for the samples of its stack."""
    tiles = page.tiles if page else ()
    proposed = {
        t.rows[0]: TileProposal(t.proposal.label, t.proposal.confidence or None, len(t.rows))
        for t in tiles
    }
    model.show(
        [t.rows[0] for t in tiles],
        sections_of(page, keys) if page else (),
        proposed,
        {t.rows[0]: t.rows for t in tiles},
    )


def sections_of(page: ClassPage, keys: Mapping[str, str]) -> list[Section]:
    """Return the doubtful ones first and larger; a page of several classes class by class, an
    overview group by group, side by side.
    """
    if page.kind is PageKind.GROUPS:
        alike = QCoreApplication.translate("PageGrid", "{count} alike")
        return [
            Section(
                f"{group.label}?  {group.size}" if group.label else alike.format(count=group.size),
                group.size,
                beside=len(page.groups) > 1,
            )
            for group in page.groups
        ]
    if page.kind is PageKind.LEFT:
        counts: dict[str, int] = {}
        for tile in page.tiles:
            label = tile.proposal.label or ""
            counts[label] = counts.get(label, 0) + 1
        return [
            Section(f"{keys.get(label, '').upper()}  {label}?".strip(), count)
            for label, count in counts.items()
        ]
    if not page.doubtful:
        return [Section("", len(page.tiles))]
    words = (
        QCoreApplication.translate("PageGrid", "Doubtful first"),
        QCoreApplication.translate("PageGrid", "Sure"),
    )
    return [
        Section(words[0], page.doubtful, LARGER),
        Section(words[1], len(page.tiles) - page.doubtful),
    ]


class ClassPagesView(SendingView):
    """Nothing moves until Enter; what is sent elsewhere is saved at once and stays in place."""

    view: PageGrid

    def __init__(self, context: ViewContext) -> None:
        super().__init__(context)
        self.view.set_lifts()
        self.page: ClassPage | None = None
        self._pages: Pages | None = None  # made and used on the worker's thread only
        self._filed: dict[int, ClassPage] = {}
        self._earlier: list[ClassPage] = []
        self._shown_at = 0.0
        self._asked = False
        self._label = ""
        self.header, self.hints = PageHeader(self.worker), PageHints(self.worker)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        for part in (self.header, self.view, self.hints):
            column.addWidget(part)
        self.model.dataChanged.connect(self._say)
        self.header.filed.connect(self.file_page)
        self.header.skipped.connect(self.skip_page)
        self.header.named.connect(self.name_page)
        self.header.offer.clicked.connect(self._check)
        self.view.page_key.connect(self._page_key)
        self._refit = QTimer(self)
        self._refit.setSingleShot(True)
        self._refit.timeout.connect(self.view.fit_page)

    def made_view(self) -> PageGrid:
        """Make a grid of pages."""
        return PageGrid(self.model, self.context.thumbs, self.worker)

    def enter(self) -> None:
        """Show a page, the same as before if there is one."""
        self.view.setFocus()
        if self.page is None:
            self._next()
        else:
            self.model.refresh()

    def settled(self) -> bool:
        """Return False until there is a page, or none is left."""
        return super().settled() and not self._asked

    # -- pages

    def _work(self, session: SortingSession) -> Pages:
        if self._pages is None:
            self._pages = Pages(session)
        return self._pages

    def _next(self) -> None:
        self._asked = True
        self.worker.ask(lambda session: self._work(session).next(), self._show, self._failed)
        self.worker.ask(lambda session: self._work(session).offer(), self.header.offer.show_offer)

    def _failed(self, error: GleansetError) -> None:
        self._asked = False
        self.worker.say(str(error), bad=True)

    def _show(self, page: ClassPage | None) -> None:
        self._asked = False
        self.page = page
        self.forget_sent()
        self.hints.turn()
        self.view.show_page(page, self.worker.last.keys if self.worker.last else {})
        self._shown_at = time.monotonic()
        self._say()
        if (
            page is not None
            and page.kind is PageKind.GROUPS
            and self.worker.last
            and not self.worker.last.keys
        ):
            self.header.name.setFocus()
        else:
            self.view.setFocus()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the tiles to another size of the window, once it stands still."""
        super().resizeEvent(event)
        self._refit.start(120)

    def _marked(self, *marks: TileMark) -> list[int]:
        return [row for row, state in self.model.states.items() if state.kind in marks]

    def _say(self) -> None:
        going = 0
        if self.page is not None:
            out = set(self._marked(TileMark.LIFTED, TileMark.SENT))
            going = sum(len(t.rows) for n, t in enumerate(self.page.tiles) if n not in out)
        nothing = self.tr("Everything is sorted.") if self.page is None else ""
        self.header.show_page(self.page, going, nothing)

    def file_page(self) -> None:
        """File all that are not marked, once all of them have been seen: the key is Enter."""
        if self.page is None or time.monotonic() - self._shown_at < ENTER_DEAD:
            return
        if not self.view.seen_to_the_end():
            bar = self.view.verticalScrollBar()
            bar.setValue(bar.value() + bar.pageStep())
            self.worker.say(self.tr("There are more faces below: Enter again files the page"))
        elif self.view.has_groups and not self._something_said():
            self.worker.say(self.tr("Point at a group and type who this is, or press a key"))
            self.header.name.setFocus()
        else:
            self._file(None)

    def _something_said(self) -> bool:
        """Return whether an overview may be left: a group has a name, or is offered one."""
        assert self.page is not None
        return bool(self.model.states) or any(group.label for group in self.page.groups)

    def name_page(self, label: str) -> None:
        """File the whole page as one class, a new one or one that was not proposed; on an
        overview the group that is pointed at, or else the first that has no name.
        """
        if self.page is not None and self.view.has_groups:
            if rows := self.view.group_to_name():
                self.send_rows(rows, label, WITH_PAGE)
            self.view.setFocus()
        elif self.page is not None:
            self._file(label)

    def send(self, target: str) -> bool:
        """Send tiles; with none, a name in the class list answers "Who is this?"."""
        if super().send(target):
            return True
        if self.view.has_groups:
            self.name_page(target)
            return True
        return False

    def send_rows(self, rows: Sequence[int], target: str, how: str) -> None:
        """Send tiles; several of a group that was named at once count as filed with the page."""
        whole = self.view.has_groups and len(rows) > 1
        super().send_rows(rows, target, WITH_PAGE if whole else how)

    def _page_key(self, key: str) -> None:
        label = self.class_of(key)
        if label is None:
            self.worker.say(self.tr("No class has the key {key}").format(key=key.upper()))
        else:
            self.name_page(label)

    def _file(self, label: str | None) -> None:
        page, self.page = self.page, None
        assert page is not None
        lifted, sent = self._marked(TileMark.LIFTED), self._marked(TileMark.SENT)
        self._asked = True
        self._label = label or page.label or self._label

        def filed(done: StepResult) -> None:
            self._filed[done.root] = page
            self._earlier.append(page)

        def carry_out(session: SortingSession) -> StepResult:
            if page.kind is PageKind.CHECK:
                return Checks(session).answer(page, lifted, sent)
            return self._work(session).file(page, lifted, sent, label)

        self.worker.decide(carry_out, filed)
        self._next()

    def _check(self) -> None:
        """Show for C a dozen of the class that is done, or of the last one, without its name."""
        label = self.header.offer.taken() or self._label

        def show(page: ClassPage | None) -> None:
            if page is not None:
                self._show(page)
            else:
                self.worker.say(self.tr("There is nothing to check yet"))

        self.worker.ask(lambda session: self._work(session).check(label) if label else None, show)

    def skip_page(self) -> None:
        """Show another page for PgDn; this one comes again at the end."""
        page = self.page
        if page is not None:
            self._earlier.append(page)
            self.worker.ask(lambda session: self._work(session).skip(page))
            self._next()

    def taken_back(self, done: StepResult) -> None:
        """Turn to a page that was undone; turn on where it was done again."""
        page = self._filed.get(done.root)
        if page is not None and done.kind is StepKind.UNDO:
            self._show(page)
        elif page is not None:
            self._next()

    # -- tiles

    def commanded(self, command: GridCommand, rows: list[int]) -> None:
        """Carry out what a page knows besides sending."""
        if command is GridCommand.LIFT:
            self._lift(rows)
        elif command is GridCommand.ENTER:
            self.file_page()
        elif command is GridCommand.NEXT_PAGE:
            self.skip_page()
        elif command is GridCommand.PREVIOUS_PAGE and self._earlier:
            self._show(self._earlier.pop())
        elif command in (GridCommand.SPLIT, GridCommand.OPEN):
            self._split(rows)
        elif command is GridCommand.CHECK:
            self._check()
        elif command is GridCommand.NEW:
            self.header.name.setFocus()
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
        """Show the samples of a stack one by one: S, or a double click."""
        ids = self.model.ids(rows)
        if len(ids) > len(rows):
            self.worker.ask(lambda session: self._work(session).split(ids))
            self._next()

    def show_details(self, row: int, tile: SampleTile) -> None:
        """Show the first three proposals in the panel, and the nearest of those decided."""
        details, page = self.context.details, self.page
        top = page.tiles[row].proposal.top if page and row < len(page.tiles) else ()

        def more() -> None:
            details.show_proposals([(self.key_of(label), label, sure) for label, sure in top])
            self.worker.ask(
                lambda s: list(s.tiles.of(self._work(s).nearest(tile.id)).values()),
                lambda near: details.show_neighbours(near, tile.id),
            )

        details.point(tile._replace(label=None) if self.model.blind else tile, more)
