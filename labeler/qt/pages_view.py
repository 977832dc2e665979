"""Class pages: everybody who may be Miku at once; Enter files all that are not marked."""

from __future__ import annotations

import time

from PySide6.QtCore import QTimer
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QVBoxLayout

from gleanset.db.sorting import SampleTile
from gleanset.errors import GleansetError
from labeler.qt.page_grid import PageGrid
from labeler.qt.page_header import Hints, PageHeader
from labeler.qt.sending_view import ENTER_DEAD, SendingView
from labeler.qt.tile_model import IN, State
from labeler.qt.views import Workshop
from labeler.sorting.checks import Checks
from labeler.sorting.composing import Page
from labeler.sorting.pages import Pages
from labeler.sorting.session import Done, SortingSession


class PagesView(SendingView):
    """Nothing moves until Enter; what is sent elsewhere is saved at once and stays in place."""

    view: PageGrid

    def __init__(self, workshop: Workshop) -> None:
        super().__init__(workshop)
        self.view.lifts = True
        self.page: Page | None = None
        self._pages: Pages | None = None  # made and used on the desk's thread only
        self._filed: dict[int, Page] = {}
        self._earlier: list[Page] = []
        self._shown_at = 0.0
        self._asked = False
        self._label = ""
        self.header, self.hints = PageHeader(self.desk), Hints(self.desk)
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
        """Tiles with the name of their class, where they differ."""
        return PageGrid(self.model, self.workshop.thumbs, self.desk)

    def enter(self) -> None:
        """Show a page, the same as before if there is one."""
        self.view.setFocus()
        if self.page is None:
            self._next()
        else:
            self.model.refresh()

    def settled(self) -> bool:
        """Not before there is a page, or none is left."""
        return super().settled() and not self._asked

    # -- pages

    def _work(self, session: SortingSession) -> Pages:
        if self._pages is None:
            self._pages = Pages(session)
        return self._pages

    def _next(self) -> None:
        self._asked = True
        self.desk.ask(lambda session: self._work(session).next(), self._show, self._failed)
        self.desk.ask(lambda session: self._work(session).offer(), self.header.offer.show_offer)

    def _failed(self, error: GleansetError) -> None:
        self._asked = False
        self.desk.say(str(error), bad=True)

    def _show(self, page: Page | None) -> None:
        self._asked = False
        self.page = page
        self.forget_sent()
        self.hints.turn()
        self.view.show_page(page, self.desk.last.keys if self.desk.last else {})
        self._shown_at = time.monotonic()
        self._say()
        if page is not None and page.kind == "likes" and self.desk.last and not self.desk.last.keys:
            self.header.name.setFocus()
        else:
            self.view.setFocus()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another size of the window: tiles that fit it, once it stands still."""
        super().resizeEvent(event)
        self._refit.start(120)

    def _marked(self, *kinds: str) -> list[int]:
        return [row for row, state in self.model.states.items() if state.kind in kinds]

    def _say(self) -> None:
        going = 0
        if self.page is not None:
            out = set(self._marked("lifted", "sent"))
            going = sum(len(t.rows) for n, t in enumerate(self.page.tiles) if n not in out)
        nothing = self.tr("Everything is sorted.") if self.page is None else ""
        self.header.show_page(self.page, going, nothing)

    def file_page(self) -> None:
        """Enter: file all that are not marked, once all of them have been seen."""
        if self.page is None or time.monotonic() - self._shown_at < ENTER_DEAD:
            return
        if not self.view.seen_to_the_end():
            bar = self.view.verticalScrollBar()
            bar.setValue(bar.value() + bar.pageStep())
            self.desk.say(self.tr("There are more faces below: Enter again files the page"))
        elif self.page.kind == "likes":
            self.desk.say(self.tr("Say who this is: a name, or Shift and the key of a class"))
            self.header.name.setFocus()
        else:
            self._file(None)

    def name_page(self, label: str) -> None:
        """The whole page is somebody: a new class, or one that was not proposed."""
        if self.page is not None:
            self._file(label)

    def send(self, target: str) -> bool:
        """A name in the rail answers "Who is this?" where nothing else is meant by it."""
        if super().send(target):
            return True
        if self.page is not None and self.page.kind == "likes":
            self.name_page(target)
            return True
        return False

    def _page_key(self, key: str) -> None:
        label = self.class_of(key)
        if label is None:
            self.desk.say(self.tr("No class has the key {key}").format(key=key.upper()))
        else:
            self.name_page(label)

    def _file(self, label: str | None) -> None:
        page, self.page = self.page, None
        assert page is not None
        lifted, sent = self._marked("lifted"), self._marked("sent")
        self._asked = True
        self._label = label or page.label or self._label

        def filed(done: Done) -> None:
            self._filed[done.root] = page
            self._earlier.append(page)

        def carry_out(session: SortingSession) -> Done:
            if page.kind == "check":
                return Checks(session).answer(page, lifted, sent)
            return self._work(session).file(page, lifted, sent, label)

        self.desk.decide(carry_out, filed)
        self._next()

    def _check(self) -> None:
        """C: a dozen of the class that is done, or of the last one, without its name."""
        label = self.header.offer.taken() or self._label

        def show(page: Page | None) -> None:
            if page is not None:
                self._show(page)
            else:
                self.desk.say(self.tr("There is nothing to check yet"))

        self.desk.ask(lambda session: self._work(session).check(label) if label else None, show)

    def skip_page(self) -> None:
        """PgDn: another page; this one comes again at the end."""
        page = self.page
        if page is not None:
            self._earlier.append(page)
            self.desk.ask(lambda session: self._work(session).skip(page))
            self._next()

    def taken_back(self, done: Done) -> None:
        """Undoing a page turns to it; doing it again turns on."""
        page = self._filed.get(done.root)
        if page is not None and done.kind == "undo":
            self._show(page)
        elif page is not None:
            self._next()

    # -- tiles

    def commanded(self, command: str, rows: list[int]) -> None:
        """What a page knows besides sending."""
        if command == "lift":
            self._lift(rows)
        elif command == "enter":
            self.file_page()
        elif command == "next_page":
            self.skip_page()
        elif command == "previous_page" and self._earlier:
            self._show(self._earlier.pop())
        elif command in ("split", "open"):
            self._split(rows)
        elif command == "check":
            self._check()
        elif command == "new":
            self.header.name.setFocus()
        else:
            super().commanded(command, rows)
        self._say()

    def _lift(self, rows: list[int]) -> None:
        """A click takes a tile out of what Enter files, or puts it back."""
        lifted = [row for row in rows if self.model.state(row).kind == "in"]
        back = [row for row in rows if self.model.state(row).kind == "lifted"]
        self.model.set_state(lifted, State("lifted"))
        self.model.set_state(back, IN)
        if sent := [row for row in rows if self.model.state(row).kind == "sent"]:
            self.send_rows(sent, ":queue", "by hand")
            self.model.set_state(sent, IN)

    def _split(self, rows: list[int]) -> None:
        """S, or a double click: the samples of a stack are shown one by one."""
        ids = self.model.ids(rows)
        if len(ids) > len(rows):
            self.desk.ask(lambda session: self._work(session).split(ids))
            self._next()

    def look_at(self, row: int, tile: SampleTile) -> None:
        """The panel shows the first three proposals, and the nearest of those decided."""
        look, page = self.workshop.look, self.page
        top = page.tiles[row].proposal.top if page and row < len(page.tiles) else ()

        def more() -> None:
            look.show_proposals([(self.key_of(label), label, sure) for label, sure in top])
            self.desk.ask(
                lambda s: list(s.tiles.of(self._work(s).nearest(tile.id)).values()),
                lambda near: look.show_neighbours(near, tile.id),
            )

        look.point(tile._replace(label=None) if self.model.blind else tile, more)
