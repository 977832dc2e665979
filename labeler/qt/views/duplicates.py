"""Copies of one picture, a line for each group: the one to keep is ticked, with the reason.

Enter sets the others of the whole page aside, a click ticks another copy, K keeps all of a
group, B shows two in turn. Nothing is deleted, and every step can be undone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from PySide6.QtCore import QRect
from PySide6.QtWidgets import QProgressBar

from gleanset import Dataset
from gleanset.db.duplicates import GroupMember
from gleanset.errors import GleansetError
from gleanset.work.progress import Progress
from labeler.duplicates.decisions import accept, keep_all
from labeler.duplicates.plan import DuplicateSet
from labeler.qt.grid.gesture_view import GestureView, GridCommand, Select
from labeler.qt.grid.layout import GridLayout, Section
from labeler.qt.grid.model import UNMARKED
from labeler.qt.grid.painter import TileAppearance
from labeler.qt.views.base import ViewContext
from labeler.qt.views.labeling import PAGE_STEPS, PagedView
from labeler.qt.views.notices import finding_duplicates, no_duplicates
from labeler.qt.views.overlays import BlinkOverlay
from labeler.qt.widgets import HEAD, beside, button, hint_label, pile, title_label
from labeler.sorting.grid_rows import SET_ASIDE
from labeler.sorting.session import SortingSession, StepResult


class DuplicateSetGrid(GestureView):
    """The first copy of each group is ticked; each says its size and format."""

    groups: Sequence[DuplicateSet] = ()
    largest = 400

    def member(self, row: int) -> tuple[int, int]:
        """Return which group a tile is in, and its place there."""
        for number, group in enumerate(self.groups):
            if row < len(group.members):
                return number, row
            row -= len(group.members)
        return -1, 0

    def appearance(self, row: int) -> TileAppearance:
        """Return it with a tick on what is kept."""
        return super().appearance(row)._replace(selected=self.member(row)[1] == 0)

    def caption(self, row: int) -> str:
        number, place = self.member(row)
        if number < 0:
            return ""
        members = self.groups[number].members
        return describe_copy(members[place], formats=len({copy.format for copy in members}) > 1)

    def selected_rows(self) -> list[int]:
        """Return nothing: ticks are no selection."""
        return []

    def setSelection(self, rect: QRect, command: Select) -> None:
        """Draw no band: a drag over copies means nothing here."""

    def selectAll(self) -> None:
        """Select nothing: what is ticked is kept."""

    def invert_selection(self) -> None:
        """Select nothing."""


def describe_copy(member: GroupMember, *, formats: bool) -> str:
    """Describe a copy in a few words."""
    state = member.label or ("✗" if member.status == "rejected" else "")
    size = f"{member.width} x {member.height}"
    return " ".join(part for part in (size, member.format if formats else "", state) if part)


OF_COPIES = (
    GridCommand.LIFT,
    GridCommand.OPEN,
    GridCommand.KEEP_ALL,
    GridCommand.BLINK,
    GridCommand.ENLARGE,
)
"""What can be done with one copy or one group."""

SIDE = 104
"""Of a copy in logical pixels: as many groups make a page as are seen at once in the usual size;
what room is left makes them larger."""


class DuplicatesView(PagedView):
    """Pages of groups. Finding and grouping run on a thread of their own."""

    grid_class = DuplicateSetGrid
    view: DuplicateSetGrid
    can_label = False

    def __init__(self, context: ViewContext) -> None:
        super().__init__(context)
        self.groups: list[DuplicateSet] = []
        self._stale, self._decided = True, False
        self._fit = 1
        self._working = self.worker.create_task()
        self.title, self.bar = title_label(), QProgressBar()
        self.hint = hint_label(
            self.tr("Click: keep this one · B: blink · K: not duplicates · PgDn: skip")
        )
        self.accept_button = button(self.tr("Enter: mark as duplicates"), self.accept_page)
        self.look_button = button(self.tr("Find duplicates"), self.search)
        self.cancel_button = button(self.tr("Cancel"), self._working.cancel)
        self.aside_button = button("", lambda: self.window_actions.show_place(SET_ASIDE))
        self.aside_button.hide()
        self.worker.progressed.connect(self._count_aside)
        self.blink = BlinkOverlay(self.view, context.thumbs)
        self._lay_out()
        self._working.done.connect(self._planned)
        self._working.failed.connect(self._search_failed)
        self._working.progressed.connect(self._progressed)
        self.worker.changed_outside.connect(self._outside)
        self._at_work(False)

    def _lay_out(self) -> None:
        self.bar.setAccessibleName(self.tr("Progress"))
        buttons = (self.cancel_button, self.aside_button, self.look_button, self.accept_button)
        head = beside(self.title, self.bar, *buttons, grows=self.title, margins=HEAD)
        self._column = pile(self, head, self.view, self.hint)

    def fit_page(self) -> None:
        """Show as many groups as there is room for now, the same first."""
        if self._room() != self._fit:
            self.record_shown()
            self._show()
        else:
            self.view.fit_page()

    def enter(self) -> None:
        self.focus_home()
        self._count_aside()
        if self._stale:
            self._plan()

    def key_state(self) -> Hashable:
        return super().key_state(), self.blink.isVisible(), self.blink.second, self._working.busy

    def _count_aside(self) -> None:
        count = self.worker.progress.counts.aside if self.worker.progress else 0
        self.aside_button.setText(self.tr("Show duplicates: {count}").format(count=f"{count:,}"))
        self.aside_button.setVisible(count > 0)

    def is_settled(self) -> bool:
        return super().is_settled() and not self._working.busy and self.bar.isHidden()

    # -- finding

    def search(self) -> None:
        """Hash what is new, compare, and show the groups."""
        self._plan(search=True)

    def _plan(self, search: bool = False) -> None:
        def work(dataset: Dataset, progress: Progress) -> list[DuplicateSet]:
            # Loading OpenCV takes a while: the window does not wait for it.
            from labeler.duplicates.finder import DuplicateFinder

            finder = DuplicateFinder(dataset, progress=progress)
            if search:
                finder.search()
            plan = finder.plan()
            finder.remember(plan)
            return plan.open_sets()

        if self._working.start(work):
            self._stale = self._decided = False
            self._at_work(True)

    def _at_work(self, busy: bool) -> None:
        for part in (self.bar, self.cancel_button):
            part.setVisible(busy)
        self.look_button.setVisible(not busy)
        self.accept_button.setVisible(bool(self.groups) and not busy)
        if busy and not self.groups:
            self.empty.show_notice(finding_duplicates())
        if busy:
            self.bar.setRange(0, 0)
            self.title.setText(self.tr("Finding duplicates…"))

    def _progressed(self, what: str, done: int, total: int) -> None:
        self.bar.setRange(0, total)
        self.bar.setValue(done)

    def _search_failed(self, why: str) -> None:
        self._at_work(False)
        self._stale = True
        self._say()
        self.worker.show_message(why, bad=True)

    def _planned(self, groups: list[DuplicateSet]) -> None:
        if self._decided:  # something was, since this plan was begun
            self._plan()
            return
        self.groups = groups
        self._at_work(False)
        self.record_shown()
        self._show()

    def _outside(self) -> None:
        self._stale = True

    # -- pages

    @property
    def page(self) -> list[DuplicateSet]:
        return self.groups[: self._fit]

    def _show(self) -> None:
        self.hint.setVisible(bool(self.groups))
        self._column.activate()  # the room is what is left beside the hint
        self._fit = self._room()
        page = self.page
        self.view.groups = page
        reasons = [self._reason(group) for group in page]
        self.model.show(
            [member.id for group in page for member in group.members],
            [Section(why, len(group.members)) for why, group in zip(reasons, page, strict=True)],
        )
        self.accept_button.setVisible(bool(page))
        self.view.fit_page()
        self._say()

    def _room(self) -> int:
        """Return how many groups fill the window, in lines of copies of the usual size."""
        sections, size = [], self.view.viewport().size()
        for group in self.groups:
            sections.append(Section(" ", len(group.members)))
            if GridLayout(sections, size.width(), SIDE).height > size.height():
                return max(1, len(sections) - 1)
        return max(1, len(sections))

    def _reason(self, group: DuplicateSet) -> str:
        if group.conflict and not group.settled:
            return "⚠ " + self.tr("Conflicting labels ({all}): click the correct one").format(
                all=", ".join(group.decisions)
            )
        if group.doubtful and not group.settled:
            return "? " + self.tr("Duplicates?  Click the one to keep, or press K if they are not")
        return self.tr("Best copy: {reason}").format(reason=group.reason)

    def _say(self) -> None:
        count = len(self.groups)
        self.title.setText(self.tr("Duplicate sets left: {count}").format(count=f"{count:,}"))
        self.empty.show_notice(None if count else no_duplicates(self.search))

    def commanded(self, command: GridCommand, rows: list[int]) -> None:
        if command is GridCommand.ENTER:
            self.accept_page()
        elif command in PAGE_STEPS:
            self._turn_pages(PAGE_STEPS[command])
        elif command not in OF_COPIES:
            self.worker.show_message(
                self.tr("This view only marks duplicates: label faces in the grid (F2)")
            )
        elif not rows:
            self.worker.show_message(self.tr("Point at an image first"))
        else:
            self._do(command, rows[0], *self.view.member(rows[0]))

    def _turn_pages(self, pages: int) -> None:
        if len(self.groups) <= self._fit:
            self.worker.show_message(self.tr("All remaining sets are shown"))
            return
        place = pages * self._fit
        self.groups = self.groups[place:] + self.groups[:place]
        self._show()

    def _do(self, command: GridCommand, row: int, number: int, place: int) -> None:
        if command is GridCommand.ENLARGE:
            self.enlarged.show_row(row)
        elif command is GridCommand.KEEP_ALL:
            group = self.groups[number]
            if self.view.all_seen(self.model.row_of(member.id) for member in group.members):
                self._decide(lambda s: s.adopt(keep_all(s.dataset, group)), [group])
        elif command is GridCommand.BLINK:
            self._blink(number, place)
        else:
            self._keep(number, place)

    def _keep(self, number: int, place: int) -> None:
        """Another copy is the one to keep; the tiles stay where they are."""
        group = self.groups[number]
        self.groups[number] = group.with_best(group.members[place].key)
        seen, bar = set(self.view.seen), self.view.verticalScrollBar()
        scrolled = bar.value()
        self._show()
        self.view.seen = seen
        bar.setValue(scrolled)

    def _blink(self, number: int, place: int) -> None:
        members = self.groups[number].members
        rows = [self.model.row_of(members[n].id) for n in (0, place or min(1, len(members) - 1))]
        tiles = [self.model.tile(row) for row in rows]
        if tiles[0] is not None and tiles[1] is not None:
            words = [self.view.caption(row) for row in rows]
            self.blink.show_pair((tiles[0].seen, words[0]), (tiles[1].seen, words[1]))

    # -- decisions

    def accept_page(self) -> None:
        """Set the others of every group of the page aside, not of one that has just come."""
        if self.is_too_recent() or not self.view.all_seen():
            return
        page = [group for group in self.page if group.settled]
        if not page:
            self.worker.show_message(
                self.tr("Nothing to accept: click the correct image where labels conflict")
            )
            return
        aside = sum(len(group.members) - 1 for group in page)
        self._decide(lambda session: session.adopt(accept(session.dataset, page), aside), page)

    def _decide(
        self, work: Callable[[SortingSession], StepResult], decided: Sequence[DuplicateSet]
    ) -> None:
        # By their members: several doubtful pairs may have the same name.
        gone = {frozenset(member.id for member in group.members) for group in decided}
        self.groups = [
            group
            for group in self.groups
            if frozenset(member.id for member in group.members) not in gone
        ]
        self._show()

        # A plan that is being made now does not know of this decision yet.
        self._decided |= self._working.busy
        self.worker.decide(work, failed=self._not_decided)

    def _not_decided(self, error: GleansetError) -> None:
        """Show the groups as they are: those of the page were taken away too early."""
        self.worker.show_message(str(error), bad=True)
        self._stale = True
        self._plan()

    def _keyed(self, rows: list[int], key: str, swept: bool) -> None:
        self.model.set_state(rows, UNMARKED)
        self.worker.show_message(
            self.tr("This view only marks duplicates: label faces in the grid (F2)")
        )

    def step_reverted(self, done: StepResult) -> None:
        """Show the groups that come back with an undo."""
        self._plan()
