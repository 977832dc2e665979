"""A second look: outliers, disagreements, flags, or whatever a search finds.

The keys are those of sorting. Enter takes what is suggested for what is chosen, K confirms the
labels it has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication
from PySide6.QtWidgets import QLabel, QVBoxLayout

from gleanset.db.filters import ANYTHING
from gleanset.db.review import FilterChoices, Reviews
from gleanset.operations import Operation
from labeler.qt.classes.watch import ClassWatch
from labeler.qt.grid.gesture_view import GestureView, GridCommand
from labeler.qt.grid.layout import Section
from labeler.qt.grid.model import TileMark, TileProposal, TileState
from labeler.qt.translations import singular
from labeler.qt.views.base import ViewContext
from labeler.qt.views.empty import EmptyNotice
from labeler.qt.views.filter_bar import FilterBar, flag_name
from labeler.qt.views.notices import nothing_fits, of_wall
from labeler.qt.views.sending import SendingView
from labeler.review.session import Wall, keep_labels, take_suggestions, wall
from labeler.sorting.session import SortingSession, StepResult

WALL_NAMES = (
    ("outliers", QT_TRANSLATE_NOOP("ReviewView", "Classes, outliers first")),
    ("model", QT_TRANSLATE_NOOP("ReviewView", "The model says otherwise")),
    ("doubts", QT_TRANSLATE_NOOP("ReviewView", "Labels that are likely wrong")),
    ("page", QT_TRANSLATE_NOOP("ReviewView", "Filed with a page, least sure first")),
    ("flags", QT_TRANSLATE_NOOP("ReviewView", "Quality flags")),
    ("all", QT_TRANSLATE_NOOP("ReviewView", "Everything")),
)


class ReviewGrid(GestureView):
    """Tiles that say what they may be instead."""

    def caption(self, row: int) -> str:
        """Return the suggestion, and how sure it is."""
        proposed = self.tiles.proposal(row)
        if proposed.label is None:
            return ""
        sure = f" {round(proposed.confidence * 100)} %" if proposed.confidence else ""
        return f"→ {proposed.label}{sure}"


class ReviewView(SendingView):
    """A wall with its filters. What is relabelled stays in place until the next look."""

    def __init__(self, context: ViewContext) -> None:
        super().__init__(context)
        walls = [
            (QCoreApplication.translate("ReviewView", str(title)), name)
            for name, title in WALL_NAMES
        ]
        self.bar, self.title = FilterBar(walls), QLabel()
        self.title.setMargin(6)
        self._wall: Wall | None = None
        self._asked = 0
        self.empty = EmptyNotice(self.view)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        for part in (self.bar, self.title, self.view):
            column.addWidget(part)
        self.bar.changed.connect(self.reload)
        ClassWatch(self.worker, self).changed.connect(self._leave_out)

    def made_view(self) -> GestureView:
        """Make a grid of tiles with suggestions."""
        return ReviewGrid(self.model, self.context.thumbs, self.worker)

    def enter(self) -> None:
        """Read what can be chosen, and the wall anew."""
        self._read_choices()
        self.reload()
        self.take_focus()

    def _read_choices(self) -> None:
        def read(session: SortingSession) -> tuple[FilterChoices, list[str]]:
            return Reviews(session.dataset.db).traits(), session.dataset.classes.names()

        self.worker.ask(read, self._offer)

    def class_changed(self, operation: Operation) -> None:
        """Call a class by its new name; no face moves."""
        self._read_choices()
        if self._wall is not None:
            self._wall = self._wall.renamed(self.names_now(operation))
            self.model.retitle(self._sections(self._wall), self._proposed(self._wall))
            self.view.lay_out()

    def _leave_out(self, gone: set[str]) -> None:
        """Suggest no class that is gone."""
        if self._wall is not None and any(s.label in gone for s in self._wall.suggested.values()):
            self.reload()

    def _offer(self, found: tuple[FilterChoices, list[str]]) -> None:
        self.bar.offer(*found)

    def open_place(self, place: str) -> bool:
        """Show only one class. Places besides classes belong to the grid."""
        if place.startswith(":"):
            return False
        self.bar.label.setCurrentIndex(max(self.bar.label.findData(place), 0))
        return True

    def reload(self) -> None:
        """Ask for the wall that is chosen; only the last answer counts."""
        name, wanted = self.bar.wall_name(), self.bar.wanted()
        self._asked += 1
        number = self._asked

        def show(found: Wall) -> None:
            if number == self._asked:
                self._show(found)

        self.worker.ask(lambda session: wall(session.dataset, name, wanted), show)

    def _show(self, found: Wall) -> None:
        self._wall = found
        self.forget_sent()
        self.model.show(found.ids, self._sections(found), self._proposed(found))
        self.title.setText(self._words(len(found.ids)))
        name = self.bar.wall_name()
        if len(found.ids):
            self.empty.show_notice(None)
        elif self.bar.wanted() != ANYTHING:
            self.empty.show_notice(nothing_fits(self.bar.clear))
        else:
            self.empty.show_notice(of_wall(self, name, self.worker.root))

    def _sections(self, found: Wall) -> list[Section]:
        named = flag_name if self.bar.wall_name() == "flags" else str
        return [
            Section(f"{named(title)}  ·  {count:,}" if title else "", count)
            for title, count in found.sections
        ]

    @staticmethod
    def _proposed(found: Wall) -> dict[int, TileProposal]:
        return {
            row: TileProposal(one.label, one.confidence) for row, one in found.suggested.items()
        }

    def _words(self, count: int) -> str:
        words = singular(self.tr("{count} faces"), count).format(count=f"{count:,}")
        if not count:
            return words
        hint = self.tr("Enter: as suggested · K: the label is right · a class key: that class")
        if self._wall is None or not self._wall.suggested:
            hint = self.tr("K: the label is right · a class key: that class")
        return f"{words}   ·   {hint}"

    def commanded(self, command: GridCommand, rows: list[int]) -> None:
        """Carry out Enter and K, besides what all grids know."""
        if command is GridCommand.ENTER:
            self._take(rows)
        elif command is GridCommand.KEEP_ALL:
            self._keep(rows)
        else:
            super().commanded(command, rows)

    def _take(self, rows: Sequence[int]) -> None:
        suggested = self._wall.suggested if self._wall else {}
        chosen = [row for row in rows if self.model.id(row) in suggested]
        if not chosen:
            self.worker.say(self.tr("Point at a face with a suggestion, or select some, first"))
            return
        if not self.view.all_seen(chosen):
            return
        ids = self.model.ids(chosen)
        for row in chosen:
            label = suggested[self.model.id(row)].label
            self.model.set_state([row], TileState(TileMark.SENT, self.key_of(label), label))
        self.worker.decide(
            lambda session: take_suggestions(session, ids, suggested),
            self._decided(chosen),
            self.not_sent(chosen),
        )

    def _keep(self, rows: Sequence[int]) -> None:
        if not rows:
            self.worker.say(self.tr("Point at a face first"))
            return
        if not self.view.all_seen(rows):
            return
        tiles = [tile for row in rows if (tile := self.model.tile(row)) is not None]
        seen = {tile.id: tile.label for tile in tiles if tile.label}
        self.model.set_state(rows, TileState(TileMark.DONE, "✓"))
        self.worker.decide(
            lambda session: keep_labels(session, seen), self._decided(rows), self.not_sent(rows)
        )

    def _decided(self, rows: Sequence[int]) -> Callable[[StepResult], None]:
        """Remember, when it is saved, which tiles an undo has to put back."""
        self.view.selectionModel().clearSelection()
        shown = self._shown_ids(rows)
        return lambda done: self._note_sent(done, shown)
