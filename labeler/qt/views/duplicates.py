"""Duplicate sets, one per card: the best copy is ticked, with the reason.

Enter marks the others on the page as duplicates, a click ticks another copy, K keeps all of a set.
Buttons decide all uncertain sets of the page at once.
Nothing is deleted, and every step can be undone.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from PySide6.QtCore import QRect

from gleanset import Dataset
from gleanset.db.duplicates import ImageHashes
from labeler.duplicates.advantages import KeepReason
from labeler.duplicates.plan import DuplicateSet, accept, keep_all
from labeler.qt.grid.gesture_view import GestureView, GridCommand
from labeler.qt.grid.layout import GridLayout, Section
from labeler.qt.grid.tile_view import Select, TileAppearance
from labeler.qt.session_worker import BackgroundTask
from labeler.qt.translations import report_change, tr
from labeler.qt.views.base import Notice, ViewContext
from labeler.qt.views.labeling import LabelingView
from labeler.qt.widgets import (
    HEAD,
    KeyHints,
    TitleLabel,
    button,
    row_layout,
    set_column,
)
from labeler.sorting.session import SortingSession, StepKind, StepResult


class DuplicateSetGrid(GestureView):
    """Grid of duplicate sets; one of each is ticked, captions show size and format."""

    sets: Sequence[DuplicateSet] = ()
    kept: Collection[str] = ()
    """The keys of the ticked copies."""

    is_page = True
    max_side = 400

    def member(self, row: int) -> tuple[int, int]:
        """Return the number of the set of a tile, and its index in the set."""
        for number, duplicates in enumerate(self.sets):
            if row < len(duplicates.members):
                return number, row
            row -= len(duplicates.members)
        return -1, 0

    def appearance(self, row: int) -> TileAppearance:
        number, index = self.member(row)
        is_kept = number >= 0 and self.sets[number].members[index].key in self.kept
        return super().appearance(row)._replace(selected=is_kept, fills=False)

    def caption(self, row: int) -> str:
        number, index = self.member(row)
        if number < 0:
            return ""
        member = self.sets[number].members[index]
        state = member.label or ("✗" if member.status == "rejected" else "")
        # The label first: what does not fit is cut off at the end.
        return f"{state} {member.width}x{member.height} {member.format}".strip()

    def selected_rows(self) -> list[int]:
        """Return nothing: ticks are not a selection."""
        return []

    def setSelection(self, rect: QRect, command: Select) -> None:
        """Do nothing: this view has no rubber band."""

    def target_rows(self) -> list[int]:
        """Return the tile under the pointer, or else the set under the mouse."""
        place = self.mouse.at
        return super().target_rows() or list(self.section_at(place) if place else ())

    def selectAll(self) -> None:
        """Do nothing: ticks mark what is kept."""


def section_of(copies: DuplicateSet, title: str) -> Section:
    """Return a set as a section; only the long titles of conflicts have a line of their own."""
    return Section(
        title,
        len(copies.members),
        shares_shelf=not copies.conflict,
    )


def reason_words(reasons: Iterable[KeepReason]) -> str:
    """Return the translated reasons without their details."""
    first, *others = [tr(reason.advantage.value) for reason in reasons]
    return "  ·  ".join([first, ", ".join(others)] if others else [first])


USUAL_SIDE = 104
"""Size in logical pixels that decides how many sets make a page; they are then fitted to it."""


class CopyChoice(NamedTuple):
    """A click on a copy of a set (its rows), and the last step before it."""

    last_step: int
    rows: tuple[int, ...]
    key: str


class DuplicatesView(LabelingView):
    """Pages of duplicate sets. The search is a command that runs next to the window."""

    grid_class = DuplicateSetGrid
    view: DuplicateSetGrid
    can_label = False

    def __init__(self, context: ViewContext):
        super().__init__(context)
        self.sets: list[DuplicateSet] = []
        self._choice_name = tr("Choose the copy to keep")
        self._choices: list[CopyChoice] = []
        self._undone_choices: list[CopyChoice] = []
        self._stale = True
        self._page_size = 1
        self._compared = self._missing = 0
        self._planning = self.worker.create_task()
        self.title = TitleLabel()
        self.hint = KeyHints(
            tr("Click: keep this one · K: not duplicates · PgDn: next page")
        )
        self.accept_button = button("", self.accept_page, primary=True)
        self.search_button = button(*self.find_duplicates())
        self.best_button = button("", self._keep_best)
        self.none_button = button("", self._keep_uncertain)
        for page_button in (self.best_button, self.none_button, self.accept_button):
            page_button.hide()
        head = row_layout(
            self.title,
            self.search_button,
            self.accept_button,
            grows=self.title,
            margins=HEAD,
        )

        foot = row_layout(
            self.hint,
            self.none_button,
            self.best_button,
            grows=self.hint,
            margins=(0, 0, HEAD[2], 0),
        )

        self._column = set_column(self, head, self.view, foot)
        self._planning.done.connect(self._show_plan)
        self._planning.failed.connect(self._planning_failed)
        self.worker.changed_outside.connect(self._mark_stale)
        self.worker.stepped.connect(self._mark_stale)  # it may be another view's
        context.imports.images_added.connect(self._search_ended)

    def fit_page(self) -> None:
        """Show as many sets as fit, starting with the same one."""
        if self._room() != self._page_size:
            self._show()
        else:
            self.view.fit_page()

    def enter(self) -> None:
        if self._stale:
            self._plan()
        elif not self.sets:
            self._show_title()

    def _search_ended(self) -> None:
        self._mark_stale()
        if self.isVisible():
            self._plan()

    def _plan(self) -> None:
        def work(
            dataset: Dataset, task: BackgroundTask
        ) -> tuple[list[DuplicateSet], int, int]:
            # Slow to import (OpenCV): not on the window's thread.
            from labeler.duplicates.finder import DuplicateFinder

            hashes = ImageHashes(dataset.db)
            return (
                DuplicateFinder(dataset).plan().open_sets(),
                hashes.count_hashed(),
                hashes.count_missing(),
            )

        if self._planning.start(work):
            self._stale = False
            self.title.setText(tr("Finding duplicates…"))
            if not self.sets:
                self.empty.show_notice(Notice(tr("Finding duplicates…")))

    def _planning_failed(self, error: str) -> None:
        self._mark_stale()
        self._show_title()
        self.worker.show_error(error)

    def _show_plan(self, answer: tuple[list[DuplicateSet], int, int]) -> None:
        self.sets, self._compared, self._missing = answer
        self._show()

    def _mark_stale(self) -> None:
        self._stale = True

    @property
    def shown_sets(self) -> list[DuplicateSet]:
        """The sets that are shown, with the copies to keep that were clicked."""
        sets = self.sets[: self._page_size]
        choices = ((copies, self._choice((*copies.rows,))) for copies in sets)
        return [copies.with_best(key) if key else copies for copies, key in choices]

    def _choice(self, rows: tuple[int, ...]) -> str:
        """Return the key of the copy of a set that was clicked; '' for none."""
        keys = (choice.key for choice in self._choices[::-1] if choice.rows == rows)
        return next(keys, "")

    def _show(self) -> None:
        self.hint.setVisible(bool(self.sets))
        self.none_button.setVisible(bool(self.sets))
        self._column.activate()  # both take room from the view
        self._page_size = self._room()
        page = self.shown_sets
        self.view.sets = self.sets[: self._page_size]
        self.view.kept = {copies.best_key for copies in page}
        self.model.show(
            [member.id for copies in self.view.sets for member in copies.members],
            [section_of(group, self._reason(group)) for group in page],
        )

        settled = sum(copies.is_settled for copies in page)
        uncertain = len(self._uncertain_sets())
        for page_button, text, count in (
            (
                self.accept_button,
                tr("Enter: keep the best of {count} sets", count=settled),
                settled,
            ),
            (
                self.best_button,
                tr("Uncertain: keep the best of {count} sets", count=uncertain),
                uncertain,
            ),
            (
                self.none_button,
                tr("Uncertain: no duplicates in {count} sets", count=uncertain),
                uncertain,
            ),
        ):
            page_button.setVisible(count > 0)
            page_button.setText(text)

        self.view.fit_page()
        self._show_title()

    def _room(self) -> int:
        # The number of sets that fill the window at the usual size.
        sections = []
        size = self.view.viewport().size()
        for group in self.sets:
            sections.append(section_of(group, " "))
            if GridLayout(sections, size.width(), USUAL_SIDE).height > size.height():
                return max(1, len(sections) - 1)
        return max(1, len(sections))

    def _reason(self, group: DuplicateSet) -> str:
        if group.conflict and not group.is_settled:
            return "⚠ " + tr(
                "Conflicting labels ({all}): click the correct one",
                all=", ".join(group.decisions),
            )
        if group.doubtful and not group.is_settled:
            return tr("Duplicates?")
        return "✓ " + reason_words(group.reasons)

    def _show_title(self) -> None:
        count = len(self.sets)
        notice = None
        text = tr("Duplicate sets left: {count}", count=count)
        if not count and self.context.imports.running:
            text = tr("A command is running…")
            notice = Notice(text)
        elif not count:
            is_compared = self._compared > 0
            text = tr(
                "{count} images compared, no duplicates to review"
                if is_compared
                else "Not searched yet",
                count=self._compared,
            )

            missing = ""
            steps = [self.find_duplicates()]
            if self._missing:
                missing = tr(
                    "{count} images are not searched for duplicates yet.",
                    count=self._missing,
                )
            elif is_compared:
                steps = self.next_steps(copies=False)
            notice = Notice(text, missing, tuple(steps))

        self.title.setText(text)
        self.empty.show_notice(notice)

    def run_command(self, command: GridCommand, rows: list[int]) -> None:
        if command is GridCommand.ENTER:
            self.accept_page()
        elif command not in (GridCommand.LIFT, GridCommand.KEEP_ALL):
            super().run_command(command, rows)
        elif not rows:
            self.worker.show_message(tr("Point at an image first"))
        elif command is GridCommand.LIFT:  # a click
            self._set_best(*self.view.member(rows[0]))
        else:
            number, _ = self.view.member(rows[0])
            copies = self.sets[number]
            if self.view.all_seen(
                self.model.row_of(member.id) for member in copies.members
            ):
                self._keep_all([copies])

    def _turn_pages(self, pages: int) -> None:
        if len(self.sets) <= self._page_size:
            self.worker.show_message(tr("All remaining sets are shown"))
            return
        self._turn_to(pages * self._page_size)

    def _turn_to(self, place: int) -> None:
        self.sets = self.sets[place:] + self.sets[:place]
        self._show()

    def _set_best(self, number: int, index: int) -> None:
        # A second click, as of a double click, takes it back.
        rows = (*self.sets[number].rows,)
        key = self.sets[number].members[index].key
        key = "" if key == self._choice(rows) else key
        self._choices.append(CopyChoice(self.last_step(), rows, key))
        self._undone_choices.clear()
        self._show_choice(rows)
        self.worker.ask(lambda session: session.history.forget_redo())
        self.changed.emit()

    def take_back(self, kind: StepKind) -> None:
        is_undo = kind is StepKind.UNDO
        stacks = (self._choices, self._undone_choices)
        choices, others = stacks if is_undo else stacks[::-1]
        # A click is not a step of the journal: it is taken back here if no step is newer.
        if self.worker.unsaved_count or not self._has_newest(choices):
            super().take_back(kind)
            return
        choice = choices.pop()
        others.append(choice)
        self._show_choice(choice.rows)
        self.worker.show_message(report_change(self._choice_name, kind))
        self.changed.emit()

    def undo_name(self) -> str:
        return self._choice_name if self._has_newest(self._choices) else ""

    def _has_newest(self, choices: list[CopyChoice]) -> bool:
        return bool(choices) and choices[-1].last_step == self.last_step()

    def _show_choice(self, rows: tuple[int, ...]) -> None:
        # If the set is on this page, tiles stay where they are, and need not be seen again before
        # Enter. `_show` would forget both.
        seen_samples = dict(self.view.seen_samples)
        bar = self.view.verticalScrollBar()
        scrolled = bar.value()
        row_lists = [(*group.rows,) for group in self.sets]
        if rows in row_lists[self._page_size :]:
            self._turn_to(row_lists.index(rows))
            return
        self._show()
        self.view.seen_samples = seen_samples
        bar.setValue(scrolled)

    def accept_page(self) -> None:
        """Mark all but the best copies on the page as duplicates; skip undecided sets."""
        self._accept([group for group in self.shown_sets if group.is_settled])

    def _keep_best(self) -> None:
        self._accept(
            [copies.with_best(copies.best_key) for copies in self._uncertain_sets()]
        )

    def _keep_uncertain(self) -> None:
        if self.view.all_seen():
            self._keep_all(self._uncertain_sets())

    def _uncertain_sets(self) -> list[DuplicateSet]:
        # Without sets of conflicting labels, which need a click. Of sets that share an image, only
        # the first is decided: its decision may change the others.
        sets = list[DuplicateSet]()
        rows = set[int]()
        for copies in self.shown_sets:
            if not (copies.is_settled or copies.conflict) and rows.isdisjoint(
                copies.rows
            ):
                sets.append(copies)
                rows.update(copies.rows)
        return sets

    def _keep_all(self, sets: list[DuplicateSet]) -> None:
        self._decide(
            lambda session: session.adopt(keep_all(session.dataset, sets)), sets
        )

    def _accept(self, page: list[DuplicateSet]) -> None:
        if not self.view.all_seen():
            return
        if not page:
            text = tr(
                "Nothing to accept: click the image to keep in each set"
                if self.model.rowCount()
                else "No duplicates to accept"
            )
            self.worker.show_message(text)
            return
        self._decide(
            lambda session: session.adopt(accept(session.dataset, page)),
            page,
        )

    def _decide(
        self,
        work: Callable[[SortingSession], StepResult],
        decided_sets: Sequence[DuplicateSet],
    ) -> None:
        # Compare members: several uncertain pairs may have the same name.
        decided_rows = [group.rows for group in decided_sets]
        self.sets = [group for group in self.sets if group.rows not in decided_rows]
        if self._planning.busy:  # that search does not know of this decision
            self._plan()
        self._show()
        # The plan is made again after the last decision, which may lead to another set, and after
        # one that was refused, whose sets are back.
        self.worker.decide(
            work, None if self.sets else self.step_reverted, self._search_ended
        )

    def send_rows(self, rows: Sequence[int], target: str, provenance: str) -> None:
        """Refuse all labels, of any tiles."""
        self.worker.show_message(
            tr("This view only marks duplicates: label faces in the grid (F2)")
        )

    def step_reverted(self, step: StepResult) -> None:
        """Read the sets again: some may have returned."""
        self._plan()
