"""The tiles of a grid as an item model; details are loaded in blocks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
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
from labeler.qt.grid.layout import Section
from labeler.qt.keyboard import PLACE_KEYS
from labeler.qt.session_worker import SessionWorker
from labeler.qt.translations import target_name, tr
from labeler.sorting.session import Place

Index = QModelIndex | QPersistentModelIndex
BLOCK_SIZE = 256
MAX_CACHED_TILES = 6_000
"""Details of tiles take about a kilobyte each."""


class TileMark(StrEnum):
    """The mark of a tile: as predicted, taken off the page, sent, or decided by another program."""

    IN = "in"
    LIFTED = "lifted"
    SENT = "sent"
    DONE = "done"


class TileState(NamedTuple):
    """What a person did with a tile that is still in its position.

    `key` is the displayed letter, `target` where the sample went.
    """

    mark: TileMark = TileMark.IN
    key: str = ""
    target: str = ""


@dataclass(frozen=True)
class TilePrediction:
    """The prediction for a tile, the number of samples it stands for, and the likeliest classes."""

    label: str | None = None
    confidence: float | None = None
    count: int = 1
    top: tuple[tuple[str, float], ...] = ()


UNMARKED = TileState()
AS_STORED = TileState(TileMark.SENT)
"""As predicted; sent to what the catalogue says, once it is read."""
NO_PREDICTION = TilePrediction()


class TileModel(QAbstractListModel):
    """Rows are samples, or stacks of them. `sections_changed` requests a new layout."""

    sections_changed = Signal()
    replaced = Signal()
    """Emitted before other samples are shown, while rows still refer to the previous ones."""

    def __init__(self, worker: SessionWorker, parent: QObject | None):
        super().__init__(parent)
        self._worker = worker
        self._ids: Sequence[int] = ()
        self._rows: dict[int, int] = {}
        self._tiles: dict[int, SampleTile] = {}
        self._requested_blocks: set[int] = set()
        self.states: dict[int, TileState] = {}
        self.predictions: Mapping[int, TilePrediction] = {}
        self.members: Mapping[int, Sequence[int]] = {}
        self.sections: tuple[Section, ...] = ()
        self.only_waiting = False
        """Whether only waiting samples are shown; decided ones are marked as done."""
        self.only_label: str | None = None
        """The class that all shown samples have; those with another class are marked as done."""

    def show(
        self,
        ids: Sequence[int],
        sections: Sequence[Section],
        predictions: Mapping[int, TilePrediction] | None = None,
        members: Mapping[int, Sequence[int]] | None = None,
    ) -> None:
        """Show samples (rows of the catalogue). `members` are all samples of a stack."""
        self.replaced.emit()
        # What was decided here stays visible until the tiles are read again: a target in the place
        # of the status says that a tile waits no longer.
        for row, state in self.states.items():
            if state.target and (tile := self._tiles.get(self._ids[row])) is not None:
                self._tiles[tile.id] = tile._replace(
                    status=state.target, label=None, mark=None
                )

        self.beginResetModel()
        self._ids = ids
        self._rows = {}
        self._requested_blocks.clear()
        self.states = {}
        self.predictions = predictions or {}
        self.members = members or {}
        self.sections = tuple(sections)
        self.endResetModel()
        self.sections_changed.emit()

    def set_titles(
        self, sections: Sequence[Section], predictions: Mapping[int, TilePrediction]
    ) -> None:
        """Change titles, and names of predicted classes, of the same samples."""
        self.sections = tuple(sections)
        self.predictions = predictions
        self.refresh()

    def rowCount(self, parent: Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._ids)

    def id(self, row: int) -> int:
        """Return the sample (row of the catalogue) of a tile."""
        return self._ids[row]

    def ids(self, rows: Iterable[int]) -> list[int]:
        """Return the samples that tiles stand for, including all samples of stacks."""
        samples: list[int] = []
        for row in rows:
            samples += self.members.get(
                self._ids[row],
                (self._ids[row],),
            )
        return samples

    def row_of(self, sample: int) -> int:
        """Return the tile of a sample, -1 for none; of a stack, by its first sample."""
        if not self._rows:
            self._rows = dict(zip(self._ids, range(len(self._ids)), strict=True))
        return self._rows.get(sample, -1)

    def tile(self, row: int) -> SampleTile | None:
        """Return the details of a tile; None while they are loading."""
        if row // BLOCK_SIZE not in self._requested_blocks:
            self._request_block(row // BLOCK_SIZE)
        return self._tiles.get(self._ids[row])

    def _request_block(self, block: int) -> None:
        self._requested_blocks.add(block)
        # When the answer arrives, other samples may be shown.
        ids = self._ids
        samples = list(ids[block * BLOCK_SIZE : (block + 1) * BLOCK_SIZE])
        self._worker.ask(
            lambda session: session.tiles.get_many(samples),
            lambda tiles: self._store_block(block, ids, tiles),
            lambda: self._forget_block(block, ids),
        )

    def _store_block(
        self, block: int, ids: Sequence[int], tiles: dict[int, SampleTile]
    ) -> None:
        first = block
        last = block
        if len(self._tiles) > MAX_CACHED_TILES:
            # Drop all others. Any of them may be visible: repainting all requests those again.
            self._tiles.clear()
            self._requested_blocks &= {block} if ids is self._ids else set()
            first = 0
            last = len(self._ids) // BLOCK_SIZE

        self._tiles |= tiles
        if ids is self._ids:
            end = min((last + 1) * BLOCK_SIZE, len(self._ids)) - 1
            self.dataChanged.emit(
                self.index(first * BLOCK_SIZE),
                self.index(end),
            )

    def _forget_block(self, block: int, ids: Sequence[int]) -> None:
        if ids is self._ids:
            self._requested_blocks.discard(block)

    def refresh(self) -> None:
        """Read the shown samples again; previous details are shown until then."""
        self._requested_blocks.clear()
        if self._ids:
            self.dataChanged.emit(
                self.index(0),
                self.index(len(self._ids) - 1),
            )

    def state(self, row: int) -> TileState:
        """Return what was done with a tile since it was shown, here or elsewhere."""
        state = self.states.get(row, UNMARKED)
        tile = self._tiles.get(self._ids[row])
        if tile is None:
            return state
        # Decided here, and perhaps changed since by an undo or elsewhere: use what is stored.
        if state == AS_STORED:
            is_back = self.only_waiting and tile.waits
            return UNMARKED if is_back else self._read_state(tile, TileMark.SENT)
        # Nothing was decided here: what left this list was decided elsewhere.
        if state.mark in (TileMark.IN, TileMark.LIFTED):
            is_gone = self.only_waiting and not tile.waits
            if is_gone or (
                self.only_label is not None and tile.label != self.only_label
            ):
                return self._read_state(tile, TileMark.DONE)

        return state

    def _read_state(self, tile: SampleTile, mark: TileMark) -> TileState:
        # A sample without a class is named by its mark, or else by its status.
        place = Place.REJECT if tile.status == "rejected" else tile.status
        target = tile.label or tile.mark or place
        return TileState(
            mark,
            self.key_of(tile.label or f":{target}"),
            target,
        )

    def key_of(self, target: str) -> str:
        return PLACE_KEYS.get(target) or self._worker.keys.get(target, "")

    def send_state(self, target: str) -> TileState:
        """Return the state of a tile that is sent to a class or place."""
        return TileState(
            TileMark.SENT,
            self.key_of(target),
            target.removeprefix(":"),
        )

    def set_state(self, rows: Iterable[int], state: TileState) -> None:
        self.set_states(dict.fromkeys(rows, state))

    def set_states(self, states: Mapping[int, TileState]) -> None:
        """Give each row its state."""
        all_states = {**self.states, **states}
        self.states = {
            row: state for row, state in all_states.items() if state != UNMARKED
        }
        if states:
            self.dataChanged.emit(
                self.index(min(states)),
                self.index(max(states)),
            )

    def withdraw_labels(self, rows: Iterable[int]) -> None:
        """Show samples as waiting until they are read: their labels are being removed."""
        for sample in {self._ids[row] for row in rows} & self._tiles.keys():
            self._tiles[sample] = self._tiles[sample]._replace(
                status="queue", label=None, mark=None
            )
        self.refresh()

    def prediction(self, row: int) -> TilePrediction:
        return self.predictions.get(self._ids[row], NO_PREDICTION)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return texts for screen readers; images are painted by the view."""
        is_tile = index.isValid() and index.row() < len(self._ids)
        is_text = role in (
            Qt.ItemDataRole.AccessibleTextRole,
            Qt.ItemDataRole.DisplayRole,
        )
        return self.accessible_text(index.row()) if is_tile and is_text else None

    def accessible_text(self, row: int) -> str:
        """Return a text such as 'Face 12 of 48, 16 similar, suggested: Miku, 92 percent'."""
        tile = self._tiles.get(self._ids[row])
        predictions = self.prediction(row)
        state = self.state(row)
        number = tr("Face {number} of {count}", number=row + 1, count=len(self._ids))
        ends = accumulate(section.count for section in self.sections)
        title = next(
            (s.title for s, end in zip(self.sections, ends, strict=True) if row < end),
            "",
        )

        parts = [number, title]
        if predictions.count > 1:
            parts.append(tr("stack of {count}", count=predictions.count))
        if predictions.label is not None:
            parts.append(tr("suggested: {label}", label=predictions.label))
        if predictions.confidence is not None:
            parts.append(
                tr("{percent} percent", percent=round(predictions.confidence * 100))
            )
        if tile is not None and tile.label:
            parts.append(tile.label)
        if state.mark is TileMark.LIFTED:
            parts.append(tr("excluded"))
        elif state.mark in (TileMark.SENT, TileMark.DONE):
            parts.append(tr("moved to {target}", target=target_name(state.target)))

        return ", ".join(filter(None, parts))
