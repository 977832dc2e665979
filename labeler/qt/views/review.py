"""A second look: outliers, disagreements, flags, or whatever a search finds.

The keys are those of sorting. Enter takes what is suggested for what is chosen, K confirms the
labels it has.
"""

from __future__ import annotations

from collections.abc import Sequence

from gleanset.db.views import ANYTHING
from gleanset.operations import Operation
from labeler.qt.grid.gesture_view import GestureView, GridCommand
from labeler.qt.grid.layout import Section
from labeler.qt.grid.model import TileMark, TileProposal, TileState
from labeler.qt.translations import counted, tr
from labeler.qt.views.base import ViewContext
from labeler.qt.views.filter_bar import FilterBar, FilteredView, flag_name
from labeler.qt.views.notices import nothing_fits, of_wall
from labeler.qt.widgets import pile
from labeler.review.session import Wall, keep_labels, take_suggestions, wall


def walls() -> list[tuple[str, object]]:
    """Return what can be looked at again: the title of each wall, and its name."""
    return [
        (tr("Classes, outliers first"), "outliers"),
        (tr("The model says otherwise"), "model"),
        (tr("Labels that are likely wrong"), "doubts"),
        (tr("Filed with a page, least sure first"), "page"),
        (tr("Quality flags"), "flags"),
        (tr("Everything"), "all"),
    ]


class ReviewGrid(GestureView):
    """Tiles that say what they may be instead."""

    def caption(self, row: int) -> str:
        """Return the suggestion, and how sure it is."""
        proposed = self.tiles.proposal(row)
        if proposed.label is None:
            return ""
        sure = f" {round(proposed.confidence * 100)} %" if proposed.confidence else ""
        return f"→ {proposed.label}{sure}"


class ReviewView(FilteredView):
    """A wall with its filters. What is relabelled stays in place until the next look."""

    grids = ReviewGrid

    def __init__(self, context: ViewContext) -> None:
        super().__init__(context)
        self.bar = FilterBar(walls())
        self._wall: Wall | None = None
        pile(self, self.bar, self.title, self.view)
        self.bar.changed.connect(self.reload)
        self.worker.classes_changed.connect(self._leave_out)

    def enter(self) -> None:
        """Read what can be chosen, and the wall anew."""
        self.read_choices()
        self.reload()
        self.take_focus()

    def class_changed(self, operation: Operation) -> None:
        """Call a class by its new name; no face moves."""
        self.read_choices()
        if self._wall is not None:
            self._wall = self._wall.renamed(self.names_now(operation))
            self.model.retitle(self._sections(self._wall), self._proposed(self._wall))
            self.view.lay_out()

    def _leave_out(self, gone: set[str]) -> None:
        """Suggest no class that is gone."""
        if self._wall is not None and any(s.label in gone for s in self._wall.suggested.values()):
            self.reload()

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
        self.ask_last(lambda session: wall(session.dataset, name, wanted), self._show)

    def _show(self, shown: Wall) -> None:
        self._wall = shown
        self.note_place(self.bar.label.currentData() or "")
        self.forget_sent()
        self.model.show(shown.ids, self._sections(shown), self._proposed(shown))
        self.title.setText(self._words(len(shown.ids)))
        name = self.bar.wall_name()
        if len(shown.ids):
            self.empty.show_notice(None)
        elif self.bar.wanted() != ANYTHING:
            self.empty.show_notice(nothing_fits(self.bar.clear))
        else:
            self.empty.show_notice(of_wall(self, name, self.worker.root))

    def _sections(self, shown: Wall) -> list[Section]:
        named = flag_name if self.bar.wall_name() == "flags" else str
        return [
            Section(f"{named(title)}  ·  {count:,}" if title else "", count)
            for title, count in shown.sections
        ]

    @staticmethod
    def _proposed(shown: Wall) -> dict[int, TileProposal]:
        return {sample: TileProposal(*suggested) for sample, suggested in shown.suggested.items()}

    def _words(self, count: int) -> str:
        words = counted(self.tr("{count} faces"), count)
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
        self.decide_rows(chosen, lambda session: take_suggestions(session, ids, suggested))

    def _keep(self, rows: Sequence[int]) -> None:
        if not rows:
            self.worker.say(self.tr("Point at a face first"))
            return
        if not self.view.all_seen(rows):
            return
        tiles = [tile for row in rows if (tile := self.model.tile(row)) is not None]
        seen = {tile.id: tile.label for tile in tiles if tile.label}
        self.model.set_state(rows, TileState(TileMark.DONE, "✓"))
        self.decide_rows(rows, lambda session: keep_labels(session, seen))
