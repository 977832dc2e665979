"""A second look: outliers, disagreements, flags, or whatever a search finds.

The keys are those of sorting. Enter takes what is suggested for what is chosen, K confirms the
labels it has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtWidgets import QLabel, QVBoxLayout

from gleanset.db.review import FilterChoices, Reviews
from labeler.qt.filter_bar import FilterBar
from labeler.qt.gesture_view import GestureView
from labeler.qt.grid_layout import Section
from labeler.qt.sending_view import SendingView
from labeler.qt.tile_model import Proposed, State
from labeler.qt.views import Workshop
from labeler.review.session import Wall, keep_labels, take_suggestions, wall
from labeler.sorting.session import Done, SortingSession


class ReviewGrid(GestureView):
    """Tiles that say what they may be instead."""

    def caption(self, row: int) -> str:
        """The suggestion, and how sure it is."""
        proposed = self.tiles.proposal(row)
        if proposed.label is None:
            return ""
        sure = f" {round(proposed.confidence * 100)} %" if proposed.confidence else ""
        return f"→ {proposed.label}{sure}"


class ReviewView(SendingView):
    """A wall with its filters. What is relabelled stays in place until the next look."""

    def __init__(self, workshop: Workshop) -> None:
        super().__init__(workshop)
        self.bar, self.title = FilterBar(), QLabel()
        self.title.setMargin(6)
        self._wall: Wall | None = None
        self._asked = 0
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        for part in (self.bar, self.title, self.view):
            column.addWidget(part)
        self.bar.changed.connect(self.look)

    def made_view(self) -> GestureView:
        """Tiles with suggestions."""
        return ReviewGrid(self.model, self.workshop.thumbs, self.desk)

    def enter(self) -> None:
        """Read what can be chosen, and the wall anew."""

        def read(session: SortingSession) -> tuple[FilterChoices, list[str]]:
            return Reviews(session.dataset.db).traits(), session.dataset.classes.names()

        self.desk.ask(read, self._offer)
        self.look()
        self.view.setFocus()

    def _offer(self, found: tuple[FilterChoices, list[str]]) -> None:
        self.bar.offer(*found)

    def open_place(self, place: str) -> bool:
        """A class of the rail: only that one. Places besides classes belong to the grid."""
        if place.startswith(":"):
            return False
        self.bar.label.setCurrentIndex(max(self.bar.label.findData(place), 0))
        return True

    def look(self) -> None:
        """Ask for the wall that is chosen; only the last answer counts."""
        name, wanted = self.bar.wall_name(), self.bar.wanted()
        self._asked += 1
        number = self._asked

        def show(found: Wall) -> None:
            if number == self._asked:
                self._show(found)

        self.desk.ask(lambda session: wall(session.dataset, name, wanted), show)

    def _show(self, found: Wall) -> None:
        self._wall = found
        self.forget_sent()
        flags = self._flag_names()
        sections = [
            Section(f"{flags.get(title, title)}  ·  {count:,}" if title else "", count)
            for title, count in found.sections
        ]
        proposed = {
            row: Proposed(one.label, one.confidence) for row, one in found.suggested.items()
        }
        self.model.show(found.ids, sections, proposed)
        self.title.setText(self._words(len(found.ids)))

    def _flag_names(self) -> dict[str, str]:
        if self.bar.wall_name() != "flags":
            return {}
        return {
            "blurred": self.tr("Blurred"),
            "black": self.tr("Nearly black"),
            "white": self.tr("Nearly white"),
            "tiny": self.tr("Tiny"),
            "odd_shape": self.tr("Odd shape"),
            "text": self.tr("Full of text"),
            "photo": self.tr("Looks like a photo"),
            "ai": self.tr("Made by a machine"),
            "outlier": self.tr("Far from its class"),
        }

    def _words(self, count: int) -> str:
        if count:
            hint = self.tr("Enter: as suggested · K: the label is right · a class key: that class")
            if self._wall is None or not self._wall.suggested:
                hint = self.tr("K: the label is right · a class key: that class")
            return self.tr("{count} faces").format(count=f"{count:,}") + "   ·   " + hint
        return {
            "outliers": self.tr("Nothing is labelled yet, or nothing fits the filters."),
            "model": self.tr(
                "No label differs from what the model says. To ask it: baseline presort -d {root}"
            ).format(root=self.desk.root),
            "doubts": self.tr(
                "No label is in doubt. To search for such: baseline doubts -d {root}"
            ).format(root=self.desk.root),
            "page": self.tr("Nothing was filed with a page."),
            "flags": self.tr("Nothing is flagged. To measure: labeler quality -d {root}").format(
                root=self.desk.root
            ),
        }.get(self.bar.wall_name(), self.tr("Nothing fits the filters."))

    def commanded(self, command: str, rows: list[int]) -> None:
        """Enter and K, besides what all grids know."""
        if command == "enter":
            self._take(rows)
        elif command == "keep_all":
            self._keep(rows)
        else:
            super().commanded(command, rows)

    def _take(self, rows: Sequence[int]) -> None:
        suggested = self._wall.suggested if self._wall else {}
        chosen = [row for row in rows if self.model.id(row) in suggested]
        if not chosen:
            self.desk.say(self.tr("Point at a face with a suggestion, or select some, first"))
            return
        ids = self.model.ids(chosen)
        for row in chosen:
            label = suggested[self.model.id(row)].label
            self.model.set_state([row], State("sent", self.key_of(label), label))
        self.desk.decide(
            lambda session: take_suggestions(session, ids, suggested),
            self._decided(chosen),
            self.not_sent(chosen),
        )

    def _keep(self, rows: Sequence[int]) -> None:
        if not rows:
            self.desk.say(self.tr("Point at a face first"))
            return
        tiles = [tile for row in rows if (tile := self.model.tile(row)) is not None]
        seen = {tile.id: tile.label for tile in tiles if tile.label}
        self.model.set_state(rows, State("done", "✓"))
        self.desk.decide(
            lambda session: keep_labels(session, seen), self._decided(rows), self.not_sent(rows)
        )

    def _decided(self, rows: Sequence[int]) -> Callable[[Done], None]:
        """Remembers, when it is saved, which tiles an undo has to put back."""
        self.view.selectionModel().clearSelection()
        kept, decided = self.model.generation, list(rows)

        def saved(done: Done) -> None:
            if kept == self.model.generation:
                self._sent[done.root] = decided

        return saved
