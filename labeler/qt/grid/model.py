"""The tiles of a grid as an item model: numbers at once, details by the screenful."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    Signal,
)

from gleanset.db.sorting import SampleTile
from gleanset.errors import GleansetError
from labeler.qt.grid.layout import Section
from labeler.qt.session_worker import SessionWorker

Index = QModelIndex | QPersistentModelIndex
BLOCK = 256
MAX_KEPT_TILES = 20_000


class TileMark(StrEnum):
    """How a tile stands: as proposed, taken out of the page, sent, or decided by somebody else."""

    IN = "in"
    LIFTED = "lifted"
    SENT = "sent"
    DONE = "done"


class TileState(NamedTuple):
    """What a person did with a tile that still stands where it was.

    `key` is the letter shown, `target` where it went.
    """

    kind: TileMark = TileMark.IN
    key: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class TileProposal:
    """What is proposed for a tile, how sure that is, and how many samples the tile stands for."""

    label: str | None = None
    confidence: float | None = None
    count: int = 1


UNMARKED = TileState()
NO_PROPOSAL = TileProposal()


class TileModel(QAbstractListModel):
    """Rows are samples, or stacks of them. `sections_changed` tells the view to lay out anew."""

    sections_changed = Signal()
    replaced = Signal()
    """Just before other samples are shown: rows still mean those that a person saw."""

    def __init__(self, worker: SessionWorker, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker = worker
        self._ids: Sequence[int] = ()
        self._rows: dict[int, int] = {}
        self._tiles: dict[int, SampleTile] = {}
        self._asked: set[int] = set()
        self.generation = 0
        self.states: dict[int, TileState] = {}
        self.proposed: Mapping[int, TileProposal] = {}
        self.members: Mapping[int, Sequence[int]] = {}
        self.sections: tuple[Section, ...] = ()
        self.only_waiting = False
        """Whether everything shown waits: what does not any more is shown as done."""
        self.only_label: str | None = None
        """The class that everything shown has: what has another one by now is shown as done."""

    def show(
        self,
        ids: Sequence[int],
        sections: Sequence[Section] | None = None,
        proposed: Mapping[int, TileProposal] | None = None,
        members: Mapping[int, Sequence[int]] | None = None,
    ) -> None:
        """Show these samples (rows of the catalogue). `members` are all samples of a stack."""
        self.replaced.emit()
        self.beginResetModel()
        self._ids, self._rows = ids, {}
        self._asked.clear()
        self.generation += 1
        self.states = {}
        self.proposed, self.members = proposed or {}, members or {}
        self.sections = tuple(sections) if sections is not None else (Section("", len(ids)),)
        self.endResetModel()
        self.sections_changed.emit()

    def retitle(
        self, sections: Sequence[Section], proposed: Mapping[int, TileProposal] | None = None
    ) -> None:
        """Show the same samples under other titles, and as proposed under other names."""
        self.sections = tuple(sections)
        if proposed is not None:
            self.proposed = proposed
        self.refresh()

    def renew(self, ids: Sequence[int], sections: Sequence[Section]) -> None:
        """Show samples besides those that are shown: what was done with each stays with it."""
        before = {self._ids[row]: state for row, state in self.states.items()}
        self.show(ids, sections, self.proposed, self.members)
        self.states = {
            row: state for one, state in before.items() if (row := self.row_of(one)) >= 0
        }

    def rowCount(self, parent: Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._ids)

    def id(self, row: int) -> int:
        """Return the sample (row of the catalogue) of a tile."""
        return self._ids[row]

    def ids(self, rows: Iterable[int]) -> list[int]:
        """Return the samples that some tiles stand for, those of stacks included."""
        found: list[int] = []
        for row in rows:
            found += self.members.get(self._ids[row], (self._ids[row],))
        return found

    def row_of(self, sample: int) -> int:
        """Return the tile of a sample, -1 for none; of a stack, by its first one."""
        return self._places().get(sample, -1)

    def missing(self, samples: Iterable[int]) -> list[int]:
        """Return those of some samples, however many, that no tile is of."""
        places = self._places()
        return [sample for sample in samples if sample not in places]

    def _places(self) -> dict[int, int]:
        if not self._rows:
            self._rows = dict(zip(self._ids, range(len(self._ids)), strict=True))
        return self._rows

    def tile(self, row: int) -> SampleTile | None:
        """Return the details of a tile; None while they come."""
        if row // BLOCK not in self._asked:
            self._ask(row // BLOCK)
        return self._tiles.get(self._ids[row])

    def read_stack(
        self, samples: Sequence[int], take: Callable[[Sequence[SampleTile]], None]
    ) -> None:
        """Read the details of samples that one tile stands for, unless others are shown by then."""
        generation = self.generation

        def came(tiles: dict[int, SampleTile]) -> None:
            if generation == self.generation:
                take([tiles[sample] for sample in samples if sample in tiles])

        self._worker.ask(lambda session: session.tiles.get_many(samples), came)

    def _ask(self, block: int) -> None:
        self._asked.add(block)
        some = list(self._ids[block * BLOCK : (block + 1) * BLOCK])
        generation = self.generation
        self._worker.ask(
            lambda session: session.tiles.get_many(some),
            lambda tiles: self._take(block, generation, tiles),
            lambda error: self._fail(block, generation, error),
        )

    def _take(self, block: int, generation: int, tiles: dict[int, SampleTile]) -> None:
        first, last = block, block
        if len(self._tiles) > MAX_KEPT_TILES:
            # What is painted is asked for anew: all of it may be in sight.
            self._tiles.clear()
            self._asked &= {block} if generation == self.generation else set()
            first, last = 0, len(self._ids) // BLOCK
        self._tiles |= tiles
        if generation == self.generation:
            end = min((last + 1) * BLOCK, len(self._ids)) - 1
            self.dataChanged.emit(self.index(first * BLOCK), self.index(end))

    def _fail(self, block: int, generation: int, error: GleansetError) -> None:
        if generation == self.generation:
            self._asked.discard(block)
        self._worker.show_message(str(error), bad=True)

    def refresh(self) -> None:
        """Read what is shown anew, in place: somebody changed something.

        What is known is shown until then: nothing flashes.
        """
        self._asked.clear()
        if self._ids:
            self.dataChanged.emit(self.index(0), self.index(len(self._ids) - 1))

    def state(self, row: int) -> TileState:
        """Return what was done with a tile since it was shown, here or by another program."""
        found = self.states.get(row)
        if found is None and (tile := self._tiles.get(self._ids[row])) is not None:
            gone = self.only_waiting and tile.status != "queue"
            if gone or (self.only_label is not None and tile.label != self.only_label):
                return TileState(TileMark.DONE, "", tile.label or tile.status)
        return found or UNMARKED

    def set_state(self, rows: Iterable[int], state: TileState) -> None:
        changed = sorted(rows)
        for row in changed:
            if state == UNMARKED:
                self.states.pop(row, None)
            else:
                self.states[row] = state
        if changed:
            self.dataChanged.emit(self.index(changed[0]), self.index(changed[-1]))

    def proposal(self, row: int) -> TileProposal:
        return self.proposed.get(self._ids[row], NO_PROPOSAL)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return texts for screen readers; pictures are painted by the view from `tile`."""
        if not index.isValid() or index.row() >= len(self._ids):
            return None
        if role in (Qt.ItemDataRole.AccessibleTextRole, Qt.ItemDataRole.DisplayRole):
            return self.spoken(index.row())
        if role == Qt.ItemDataRole.ToolTipRole and (tile := self.tile(index.row())):
            return tile.title or tile.key[:8]
        return None

    def spoken(self, row: int) -> str:
        """Return a text such as 'Face 12 of 48, proposed Miku, 92 percent, lifted'."""
        tile, proposed, state = self._tiles.get(self._ids[row]), self.proposal(row), self.state(row)
        parts = [self.tr("Face {number} of {count}").format(number=row + 1, count=len(self._ids))]
        if proposed.count > 1:
            parts.append(self.tr("stack of {count}").format(count=proposed.count))
        if proposed.label is not None:
            parts.append(self.tr("suggested: {label}").format(label=proposed.label))
        if proposed.confidence is not None:
            parts.append(
                self.tr("{percent} percent").format(percent=round(proposed.confidence * 100))
            )
        if tile is not None and tile.label:
            parts.append(tile.label)
        if state.kind is TileMark.LIFTED:
            parts.append(self.tr("excluded"))
        elif state.kind in (TileMark.SENT, TileMark.DONE):
            parts.append(self.tr("moved to {target}").format(target=state.target))
        return ", ".join(parts)
